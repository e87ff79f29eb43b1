"""x: a crystal as space group, orbits and lattice."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pymatgen.core.composition import Composition
from pymatgen.core.periodic_table import Element

from genmat.errors import RepresentationError, did_you_mean
from genmat.representation.lattice import (
    LatticeParameters,
    check_lattice,
    constrain,
    conventional_volume,
    lattice_is_compatible,
)
from genmat.representation.wyckoff import SpaceGroup, space_group

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ELEMENTS = frozenset(element.symbol for element in Element)
"""Symbols that an orbit may bear."""

_N_LATTICE_PARAMETERS = 6


@dataclass(frozen=True, slots=True, order=True)
class Orbit:
    """One orbit of symmetry-equivalent atoms.

    Parameters
    ----------
    element
        Chemical symbol.
    letter
        Wyckoff letter in the standard setting.
    free
        Free coordinates of the first image, fractional; brought into [0, 1) on construction.
    """

    element: str
    letter: str
    free: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check the element, reduce the free coordinates."""
        if self.element not in ELEMENTS:
            msg = f"{self.element!r} is no element." + did_you_mean(self.element, ELEMENTS)
            raise RepresentationError(msg)
        free = tuple(map(float, self.free))
        if not all(map(math.isfinite, free)):
            msg = f"free coordinates {free} of {self.element} on {self.letter} are not all finite"
            raise RepresentationError(msg)
        object.__setattr__(self, "free", tuple(map(into_unit_interval, free)))


@dataclass(frozen=True, slots=True)
class Crystal:
    """An ordered crystal, x in the notation of Recatala-Gomez et al.: reconstructible, symmetric by construction.

    Parameters
    ----------
    number
        Space group number, 1 to 230, in its standard setting (:mod:`genmat.representation.wyckoff`).
    orbits
        At least one; a position without free coordinates holds at most one orbit.
    lattice
        Conventional a, b, c (Å), alpha, beta, gamma (degrees).

    Raises
    ------
    RepresentationError
        If a letter is not in the group, a free coordinate is missing or too many, a point is taken twice, or the
        lattice does not suit the crystal system; :func:`genmat.representation.lattice.constrain` makes it suit.
    """

    number: int
    orbits: tuple[Orbit, ...]
    lattice: LatticeParameters

    def __post_init__(self) -> None:
        """Check everything that makes a crystal reconstructible; make the numbers plain ones."""
        object.__setattr__(self, "number", int(self.number))
        object.__setattr__(self, "lattice", tuple(map(float, self.lattice)))
        _check_orbits(self.orbits, space_group(self.number))
        if len(self.lattice) != _N_LATTICE_PARAMETERS:
            msg = f"lattice has {len(self.lattice)} parameters, expected a, b, c, alpha, beta, gamma"
            raise RepresentationError(msg)
        check_lattice(self.lattice)
        if not lattice_is_compatible(self.number, self.lattice):
            group = space_group(self.number)
            msg = (
                f"lattice {self.lattice} is not {group.crystal_system}, which space group {self.number} "
                f"({group.symbol}) needs: constrain({self.number}, lattice) imposes it"
            )
            raise RepresentationError(msg)

    @property
    def n_atoms_conventional(self) -> int:
        """Atoms in the conventional cell."""
        positions = space_group(self.number).positions
        return sum(positions[orbit.letter].multiplicity for orbit in self.orbits)

    @property
    def n_atoms(self) -> int:
        """Atoms in the primitive cell."""
        return self.n_atoms_conventional // space_group(self.number).n_centring

    @property
    def element_counts(self) -> dict[str, int]:
        """Atoms of each element in the primitive cell, symbols in alphabetical order."""
        group = space_group(self.number)
        counts: dict[str, int] = {}
        for orbit in self.orbits:
            atoms = group.positions[orbit.letter].multiplicity // group.n_centring
            counts[orbit.element] = counts.get(orbit.element, 0) + atoms
        return dict(sorted(counts.items()))

    @property
    def composition(self) -> Composition:
        """Composition of the primitive cell."""
        return Composition(self.element_counts)

    @property
    def volume(self) -> float:
        """Volume of the primitive cell in Å³."""
        return conventional_volume(self.lattice) / space_group(self.number).n_centring

    @property
    def degrees_of_freedom(self) -> int:
        """Free coordinates of all orbits; the lattice is not counted."""
        return sum(len(orbit.free) for orbit in self.orbits)

    def replace_elements(self, mapping: Mapping[str, str]) -> Crystal:
        """Return the crystal with other elements on the same sites.

        Parameters
        ----------
        mapping
            Old symbol to new symbol; elements that it does not name stay.

        Raises
        ------
        RepresentationError
            If a new symbol is no element.
        """
        return replace(self, orbits=tuple(replace(o, element=mapping.get(o.element, o.element)) for o in self.orbits))

    def scale_volume(self, factor: float) -> Crystal:
        """Return the crystal with its volume multiplied by ``factor`` > 0, angles and free coordinates kept."""
        if not (math.isfinite(factor) and factor > 0.0):
            msg = f"volume factor {factor} must be positive and finite"
            raise RepresentationError(msg)
        scale = math.cbrt(factor)
        a, b, c, alpha, beta, gamma = self.lattice
        return replace(self, lattice=(a * scale, b * scale, c * scale, alpha, beta, gamma))

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"number": 225, "orbits": [["Na", "a", []], ["Cl", "b", []]], "lattice": [a, …, gamma]}``."""
        return {
            "number": self.number,
            "orbits": [[orbit.element, orbit.letter, list(orbit.free)] for orbit in self.orbits],
            "lattice": list(self.lattice),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Crystal:
        """Return the crystal that :meth:`to_dict` wrote.

        Raises
        ------
        RepresentationError
            If a key is missing or of the wrong shape, or the crystal is not valid.
        """
        try:
            number = int(value["number"])
            orbits = tuple(Orbit(str(element), str(letter), tuple(free)) for element, letter, free in value["orbits"])
            lattice = tuple(map(float, value["lattice"]))
        except (KeyError, TypeError, ValueError) as err:
            msg = f"a crystal needs number, orbits of [element, letter, [free …]] and lattice of 6 numbers: {err!r}"
            raise RepresentationError(msg) from err
        return cls(number, orbits, lattice)  # type: ignore[arg-type]  # the length is checked on construction

    @classmethod
    def from_parts(cls, number: int, orbits: Sequence[Orbit], lattice: LatticeParameters) -> Crystal:
        """Return a crystal from a lattice that may break the crystal system: its constraints are imposed."""
        check_lattice(lattice)
        return cls(number, tuple(orbits), constrain(number, lattice))


def into_unit_interval(value: float) -> float:
    """Return a fractional coordinate in [0, 1); tiny negative numbers become 0, not 1."""
    reduced = value % 1.0
    return 0.0 if reduced == 1.0 else reduced


def _check_orbits(orbits: tuple[Orbit, ...], group: SpaceGroup) -> None:
    """Raise unless ``orbits`` can stand in ``group``."""
    if not orbits:
        msg = f"a crystal of space group {group.number} needs at least one orbit"
        raise RepresentationError(msg)
    points = set()
    for orbit in orbits:
        position = group.position(orbit.letter)
        if len(orbit.free) != position.dof:
            msg = (
                f"{orbit.element} on {orbit.letter} of space group {group.number} has {len(orbit.free)} free "
                f"coordinates, expected {position.dof}"
            )
            raise RepresentationError(msg)
        if position.dof == 0:
            if orbit.letter in points:
                msg = f"Wyckoff letter {orbit.letter} of space group {group.number} is a point, it holds one orbit only"
                raise RepresentationError(msg)
            points.add(orbit.letter)
