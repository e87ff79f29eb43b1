"""What a crystal must fulfil to be read from a user's file."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.errors import StructureError, did_you_mean
from genmat.reference.entries import ATOMIC_NUMBERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

MAX_ATOMS = 1000
"""Largest cell that is read; everything behind it assumes tens of atoms."""

MIN_VOLUME_PER_ATOM = 1.0
"""Å^3/atom; the densest crystal there is, diamond, has 5.7."""

LABELS = (
    "energy_above_hull",
    "formation_energy_per_atom",
    "energy_per_atom",
    "uncorrected_energy_per_atom",
)
"""Numbers that a source may give with a crystal, all eV/atom."""


@dataclass(frozen=True, slots=True, eq=False)
class SourceCrystal:
    """One crystal of a source, as light as tens of thousands at once must be.

    Parameters
    ----------
    material_id
        Its id there.
    species
        Element symbol of every site, length n.
    lattice
        Rows a, b, c, Å, shape (3, 3).
    frac_coords
        Shape (n, 3).
    labels
        Those of ``LABELS`` that the source gives.
    run_type
        Functional as pymatgen names it, such as ``GGA+U``; empty where the source does not say.
    corrections
        Names of the corrections that ``energy_per_atom`` contains, where the source lists them.
    """

    material_id: str
    species: tuple[str, ...]
    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    labels: Mapping[str, float] = field(default_factory=dict)
    run_type: str = ""
    corrections: tuple[str, ...] = ()

    @property
    def energy_above_hull(self) -> float | None:
        """Distance to the hull that the source states, eV/atom; ``None`` where it states none."""
        return self.labels.get("energy_above_hull")

    @property
    def counts(self) -> dict[str, int]:
        """Number of atoms of each element."""
        return dict(Counter(self.species))

    def structure(self) -> Structure:
        """Return the crystal as a structure."""
        return Structure(Lattice(self.lattice), list(self.species), self.frac_coords)


def check_structure(structure: Structure, *, name: str) -> Structure:
    """Return a structure that can be used.

    Parameters
    ----------
    structure
        As read.
    name
        File or row, for the message.

    Raises
    ------
    StructureError
        If it is empty, too large, flat, not finite or has partial occupancies or sites that are no element.
    """
    check_size(len(structure), name=name)
    if not structure.is_ordered:
        site = next(site for site in structure if not site.is_ordered)
        msg = f"{name} has partial occupancies ({site.species_string}): give an ordered model of the crystal"
        raise StructureError(msg)
    for site in structure:
        symbol = getattr(site.specie, "symbol", "")
        if symbol not in ATOMIC_NUMBERS:
            msg = f"{name} has a site of {site.species_string!r}, which is no element"
            raise StructureError(msg)
    check_geometry(structure.lattice.matrix, structure.frac_coords, name=name)
    return structure


def check_size(n_atoms: int, *, name: str) -> None:
    """Raise unless a cell has 1 to ``MAX_ATOMS`` atoms.

    Raises
    ------
    StructureError
        If it has not.
    """
    if not 1 <= n_atoms <= MAX_ATOMS:
        msg = f"{name} has {n_atoms:,} atoms, expected 1 to {MAX_ATOMS:,}: give the primitive cell of a crystal"
        raise StructureError(msg)


def crystal_from_arrays(
    material_id: str,
    *,
    species: Sequence[str],
    lattice: ArrayLike,
    frac_coords: ArrayLike,
    labels: Mapping[str, float] | None = None,
    run_type: str = "",
    corrections: tuple[str, ...] = (),
    name: str,
) -> SourceCrystal:
    """Return the crystal of a table's row.

    Parameters
    ----------
    material_id
        Id of the row.
    species
        Element symbols, length n.
    lattice
        Nine numbers, rows a, b, c, Å.
    frac_coords
        3 n numbers.
    labels
        Those of ``LABELS`` that the row gives.
    run_type, corrections
        As in :class:`SourceCrystal`.
    name
        The row, for messages.

    Raises
    ------
    StructureError
        If the numbers do not fit together or the structure cannot be used.
    """
    check_size(len(species), name=name)
    try:
        matrix, coordinates = np.asarray(lattice, dtype=np.float64), np.asarray(frac_coords, dtype=np.float64)
    except (TypeError, ValueError) as err:
        msg = f"{name} has a lattice or frac_coords that are not numbers"
        raise StructureError(msg) from err
    if matrix.size != 9 or coordinates.size != 3 * len(species):
        msg = (
            f"{name} has {matrix.size} lattice numbers and {coordinates.size} frac_coords for {len(species)} species, "
            f"expected 9 and {3 * len(species)}"
        )
        raise StructureError(msg)
    unknown = next((symbol for symbol in species if symbol not in ATOMIC_NUMBERS), None)
    if unknown is not None:
        msg = f"{name} names the unknown element {unknown!r}.{did_you_mean(str(unknown), ATOMIC_NUMBERS)}"
        raise StructureError(msg)
    matrix, coordinates = matrix.reshape(3, 3), coordinates.reshape(-1, 3)
    check_geometry(matrix, coordinates, name=name)
    return SourceCrystal(material_id, tuple(species), matrix, coordinates, labels or {}, run_type, corrections)


def label_value(given: object, label: str, *, name: str) -> float | None:
    """Return the number that a row gives for a label; ``None`` for none, and for one that is not finite.

    Raises
    ------
    StructureError
        If it is no number.
    """
    if given is None or given == "":
        return None
    try:
        value = float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError) as err:
        msg = f"{name} has the {label} {given!r}, expected a number in eV"
        raise StructureError(msg) from err
    return value if math.isfinite(value) else None


def check_geometry(lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], *, name: str) -> None:
    """Raise unless a cell has finite numbers and a volume.

    Raises
    ------
    StructureError
        If it has not.
    """
    if not (np.isfinite(lattice).all() and np.isfinite(frac_coords).all()):
        msg = f"{name} has a lattice vector or coordinate that is not a finite number"
        raise StructureError(msg)
    volume = abs(float(np.linalg.det(lattice))) / len(frac_coords)
    if volume < MIN_VOLUME_PER_ATOM:
        msg = f"{name} has a cell of {volume:.3g} Å^3/atom, expected at least {MIN_VOLUME_PER_ATOM}: check the lattice"
        raise StructureError(msg)
