"""Exact convex hulls in composition space, cached per chemical system.

A crystal of the chemical system S can only be a vertex of the hull of a larger system if it is a vertex of the hull of
S itself, since whatever it decomposes into consists of elements of S. The points of a system's hull are therefore the
stable crystals of its sub-systems, found recursively, and the crystals of the system itself: few points even for seven
elements.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genmat.energy import EnergyScale, check_same_scale
from genmat.errors import InputError, MissingReferenceError
from genmat.reference.cache import FacetCache, hull_key
from genmat.reference.entries import (
    SYMBOLS,
    Fractions,
    HullEntries,
    fractions_of,
    sub_systems,
    system_numbers,
)
from genmat.reference.facets import System, lower_hull

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

ON_FACET = 1e-9
"""Planes this close (eV/atom) to the highest one at a composition count as the facet that holds it."""

SMALLEST_FRACTION = 1e-9
"""A phase with a smaller share of a decomposition is not part of it."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of a decomposition.

    Parameters
    ----------
    material_id
        Id of the entry.
    formula
        Its reduced formula.
    fraction
        Share of the atoms that go into this phase; the shares of a decomposition sum to 1.
    """

    material_id: str
    formula: str
    fraction: float


@dataclass(frozen=True, slots=True)
class _Index:
    """What a hull knows of its chemical systems, by key.

    ``rows`` holds the entries with exactly these elements; ``stable``, filled on demand, those of them that are
    vertices; ``systems``, filled on demand, the hulls.
    """

    rows: dict[int, NDArray[np.intp]]
    stable: dict[int, NDArray[np.intp]]
    systems: dict[int, System]

    def extended(self, added: Mapping[int, NDArray[np.intp]]) -> _Index:
        """Return the index with further rows; what is known of systems that hold none of them is kept."""
        rows = dict(self.rows)
        for key, new in added.items():
            rows[key] = np.concatenate([rows[key], new]) if key in rows else new
        return _Index(
            rows,
            {key: value for key, value in self.stable.items() if not _holds_any(key, added)},
            {key: value for key, value in self.systems.items() if not _holds_any(key, added)},
        )


class Hull:
    """Lower convex hull over all chemical systems of a table of entries.

    Parameters
    ----------
    entries
        Crystals with energies on one scale.
    scale
        The energy scale of ``entries``.

    Notes
    -----
    An instance is a snapshot: its entries never change, and :meth:`with_entries` returns another one. The first query
    of a chemical system computes its facets (milliseconds); later ones evaluate them (microseconds). What hulls made
    by :meth:`with_entries` share with the one that they extend is computed by that one.
    """

    __slots__ = ("_base", "_cache", "_index", "entries", "scale")

    def __init__(self, entries: HullEntries, *, scale: EnergyScale) -> None:
        self.entries = entries
        self.scale = scale
        self._index = _Index(_rows_by_system(entries.compositions, first=0), {}, {})
        self._base: tuple[Hull, frozenset[int]] | None = None
        self._cache: FacetCache | None = None

    def with_cache(self, file: Path) -> Hull:
        """Return the same hull, which reads facets from a file and adds what it computes."""
        cached = copy(self)
        cached._cache = FacetCache(file, hull=hull_key(self.entries, self.scale))  # noqa: SLF001 - of this class
        return cached

    def with_entries(self, entries: HullEntries, *, scale: EnergyScale) -> Hull:
        """Return the hull of these and further entries; facets that cannot have changed are kept.

        Parameters
        ----------
        entries
            What to add, ids other than those of the hull.
        scale
            Scale of their energies; must be that of the hull.

        Raises
        ------
        EnergyScaleError
            If the scales differ.
        ReferenceDataError
            If an id is already in the hull.
        """
        check_same_scale(self.scale, scale, what="adding entries to a hull")
        extended = copy(self)
        extended.entries = self.entries.extended(entries)
        added = _rows_by_system(entries.compositions, first=len(self.entries))
        extended._index = self._index.extended(added)  # noqa: SLF001 - another instance of this class
        extended._base = self, frozenset(added)  # noqa: SLF001
        extended._cache = None  # noqa: SLF001
        return extended

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the elements that have a reference, by atomic number."""
        return tuple(SYMBOLS[z] for z in range(1, len(SYMBOLS)) if 1 << z in self._index.rows)

    def check_elements(self, symbols: Iterable[str]) -> None:
        """Raise unless every element has a reference.

        Raises
        ------
        MissingReferenceError
            If one is missing.
        """
        known = set(self.elements)
        missing = [symbol for symbol in symbols if symbol not in known]
        if missing:
            raise MissingReferenceError(_missing_text(missing))

    def hull_energy_per_atom(self, composition: Mapping[Any, float]) -> float:
        """Return the energy of the hull at a composition, eV/atom.

        Raises
        ------
        MissingReferenceError
            If an element has no reference.
        """
        fractions = fractions_of(composition)
        return self._hull_energy(fractions)

    def energy_above_hull(
        self, composition: Mapping[Any, float], energy_per_atom: float, *, scale: EnergyScale
    ) -> float:
        """Return the distance to the convex hull.

        Parameters
        ----------
        composition
            Amounts of the elements, of any total.
        energy_per_atom
            Energy, eV/atom, on ``scale``.
        scale
            Scale of ``energy_per_atom``; must be that of the hull.

        Returns
        -------
        float
            Energy in eV/atom; negative if the crystal lies below the hull.

        Raises
        ------
        MissingReferenceError
            If an element has no reference.
        EnergyScaleError
            If the scales differ.
        """
        self._check_energy(energy_per_atom, scale)
        return energy_per_atom - self._hull_energy(fractions_of(composition))

    def energies_above_hull(
        self, compositions: Sequence[Mapping[Any, float]], energies_per_atom: ArrayLike, *, scale: EnergyScale
    ) -> NDArray[np.float64]:
        """Return the distances of many crystals to the hull, eV/atom, shape (n,).

        Parameters
        ----------
        compositions
            Amounts of the elements, length n.
        energies_per_atom
            Energies, eV/atom, shape (n,), on ``scale``.
        scale
            Scale of the energies; must be that of the hull.
        """
        check_same_scale(self.scale, scale, what="the distance to the hull")
        energies = np.asarray(energies_per_atom, dtype=np.float64)
        return energies - self._hull_energies([fractions_of(composition) for composition in compositions])

    def entries_above_hull(self) -> NDArray[np.float64]:
        """Return the distance of every entry to the hull that it helps to span, eV/atom, shape (n,); 0 for vertices."""
        distances = self.entries.energies - self._hull_energies(self.entries.compositions)
        distances[distances < ON_FACET] = 0.0
        return distances

    def formation_energy_per_atom(
        self, composition: Mapping[Any, float], energy_per_atom: float, *, scale: EnergyScale
    ) -> float:
        """Return the energy of formation from the elements' most stable references, eV/atom.

        Raises
        ------
        MissingReferenceError
            If an element has no reference.
        EnergyScaleError
            If the scales differ.
        """
        self._check_energy(energy_per_atom, scale)
        fractions = fractions_of(composition)
        elements = [self._stable_rows(1 << z) for z in self._checked(fractions.numbers)]
        references = [float(self.entries.energies[rows[0]]) for rows in elements]
        return energy_per_atom - sum(x * e for x, e in zip(fractions.values, references, strict=True))

    def decomposition(self, composition: Mapping[Any, float]) -> list[Phase]:
        """Return the phases that the hull consists of at a composition, largest share first.

        For a crystal above the hull these are the phases it competes with; for a vertex it is the vertex.

        Raises
        ------
        MissingReferenceError
            If an element has no reference.
        """
        fractions = fractions_of(composition)
        system = self._system(fractions.key)
        x = np.asarray(fractions.values)
        heights = system.hull.potentials @ x
        best = np.full(len(x), -np.inf)
        phases = system.hull.simplices[0]
        # Coplanar facets are triangulated: the one that holds x is the one with no negative share.
        for facet in np.flatnonzero(heights >= heights.max() - ON_FACET):
            rows = system.hull.simplices[facet]
            shares, _, rank, _ = np.linalg.lstsq(system.fractions[rows].T, x)
            if rank == len(x) and shares.min() > best.min():
                best, phases = shares, rows
        names, formulas = self.entries.material_ids, self.entries.formulas
        found = [
            Phase(names[row], formulas[row], float(share))
            for row, share in zip(system.points[phases], best, strict=True)
            if share > SMALLEST_FRACTION
        ]
        return sorted(found, key=lambda phase: (-phase.fraction, phase.material_id))

    def stable_ids(self, composition: Mapping[Any, float]) -> list[str]:
        """Return the ids of all vertices of the hull of a composition's chemical system, sorted."""
        key = fractions_of(composition).key
        self._system(key)
        keys = [key, *sub_systems(key)]
        return sorted(self.entries.material_ids[row] for part in keys for row in self._stable_rows(part))

    def _check_energy(self, energy_per_atom: float, scale: EnergyScale) -> None:
        check_same_scale(self.scale, scale, what="the distance to the hull")
        if not np.isfinite(energy_per_atom):
            msg = f"energy_per_atom is {energy_per_atom} eV/atom, expected a finite number"
            raise InputError(msg)

    def _checked(self, numbers: tuple[int, ...]) -> tuple[int, ...]:
        """Return ``numbers``, each of which has a reference."""
        missing = [SYMBOLS[z] for z in numbers if 1 << z not in self._index.rows]
        if missing:
            raise MissingReferenceError(_missing_text(missing))
        return numbers

    def _hull_energy(self, fractions: Fractions) -> float:
        potentials = self._system(fractions.key).hull.potentials
        return float((potentials @ np.asarray(fractions.values)).max())

    def _hull_energies(self, compositions: Sequence[Fractions]) -> NDArray[np.float64]:
        by_system: dict[int, list[int]] = {}
        for index, fractions in enumerate(compositions):
            by_system.setdefault(fractions.key, []).append(index)
        result = np.empty(len(compositions))
        for key, indices in by_system.items():
            x = np.asarray([compositions[index].values for index in indices])
            result[indices] = self._system(key).hull.energies(x)
        return result

    def _system(self, key: int) -> System:
        """Return the hull of a chemical system, reading or computing it on the first call."""
        system = self._index.systems.get(key)
        if system is not None:
            return system
        if self._base is not None and not _holds_any(key, self._base[1]):
            system = self._base[0]._system(key)  # noqa: SLF001 - another instance of this class
        else:
            system = None if self._cache is None else self._cache.get(key)
            if system is None:
                system = self._compute(key)
                if self._cache is not None:
                    self._cache.put(key, system)
        self._index.systems[key] = system
        return system

    def _compute(self, key: int) -> System:
        numbers = self._checked(system_numbers(key))
        known = self._index.rows
        parts = [self._stable_rows(1 << z)[:1] for z in numbers]
        parts += [self._stable_rows(part) for part in sub_systems(key) if part in known and part.bit_count() > 1]
        if len(numbers) > 1 and key in known:
            parts.append(np.asarray(self._lowest_rows(key), dtype=np.intp))
        points = np.concatenate(parts)
        columns = {z: column for column, z in enumerate(numbers)}
        fractions = np.zeros((len(points), len(numbers)))
        for place, row in enumerate(points.tolist()):
            composition = self.entries.compositions[row]
            for z, share in zip(composition.numbers, composition.values, strict=True):
                fractions[place, columns[z]] = share
        return System(numbers, points, fractions, lower_hull(fractions, self.entries.energies[points]))

    def _stable_rows(self, key: int) -> NDArray[np.intp]:
        """Return the rows of a system's own crystals (all of its elements in each) that are vertices of its hull."""
        rows = self._index.stable.get(key)
        if rows is None:
            if key not in self._index.rows:
                rows = np.empty(0, dtype=np.intp)
            elif key.bit_count() == 1:
                rows = np.asarray(self._lowest_rows(key), dtype=np.intp)
            else:
                system = self._system(key)
                vertices = system.points[np.unique(system.hull.simplices)].tolist()
                mine = [row for row in vertices if self.entries.compositions[row].numbers == system.numbers]
                rows = np.asarray(mine, dtype=np.intp)
            self._index.stable[key] = rows
        return rows

    def _lowest_rows(self, key: int) -> list[int]:
        """Return the lowest entry of each composition that has exactly the elements of ``key``; the id breaks ties."""
        lowest: dict[tuple[float, ...], int] = {}
        names, energies = self.entries.material_ids, self.entries.energies
        for row in self._index.rows.get(key, ()):
            composition = tuple(round(value, 12) for value in self.entries.compositions[row].values)
            other = lowest.setdefault(composition, int(row))
            if (energies[row], names[row]) < (energies[other], names[other]):
                lowest[composition] = int(row)
        return sorted(lowest.values(), key=lambda row: names[row])


def _rows_by_system(compositions: Sequence[Fractions], *, first: int) -> dict[int, NDArray[np.intp]]:
    rows: dict[int, list[int]] = {}
    for row, fractions in enumerate(compositions, start=first):
        rows.setdefault(fractions.key, []).append(row)
    return {key: np.asarray(indices, dtype=np.intp) for key, indices in rows.items()}


def _holds_any(key: int, others: Iterable[int]) -> bool:
    """Say whether one of ``others`` is a sub-system of ``key`` (or ``key`` itself)."""
    return any(other & ~key == 0 for other in others)


def _missing_text(symbols: Sequence[str]) -> str:
    names = ", ".join(symbols)
    return (
        f"the hull has no reference crystal of {names}, expected one for every element: exclude {names} from the "
        "target, or rebuild the reference with it (genmat data build-reference)"
    )
