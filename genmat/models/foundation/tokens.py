"""x as arrays: what the networks read, and what a decoded sequence means.

A crystal is its space group, its orbits in sorted order (Wyckoff letter a … z, A; then atomic number; then free
coordinates) and its conventional lattice. Letters are ranks: a is 0, A is 26. Everything is padded to ``MAX_ORBITS``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Self

import numpy as np

from genmat.errors import RepresentationError
from genmat.representation import Crystal, Orbit, space_group
from genmat.representation.conversion import to_arrays
from genmat.representation.descriptors import N_ENVIRONMENT, site_environments
from genmat.representation.lattice import LatticeParameters, lattice_parameters, volume_factor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

MAX_ORBITS = 20
"""Orbits of the largest crystal that a table holds."""
N_GROUPS = 231
"""Space groups, with 0 for nothing."""
N_LETTERS = 27
STOP = 27
"""Rank that ends the orbits of a gene."""
N_SHAPE = 6
"""Numbers of a lattice: ln(volume/atom in Å³), ln(b/a), ln(c/a), cos alpha, cos beta, cos gamma."""
LETTERS = "abcdefghijklmnopqrstuvwxyzA"


@dataclass(frozen=True, slots=True, eq=False)
class WyckoffArrays:
    """The Wyckoff positions of all groups as arrays that (space group, rank of the letter) index.

    Parameters
    ----------
    index
        Number of the position among all, from 1; 0 where the group has no such letter. Shape (231, 27).
    dof
        Free coordinates, shape (231, 27).
    atoms
        Atoms of one orbit in the primitive cell, shape (231, 27).
    site_symmetry
        Number of the site symmetry symbol, from 1, shape (231, 27).
    free_shape
        Which numbers of a lattice the crystal system leaves free, shape (231, 6), bool.
    n_positions, n_site_symmetries
        Counts, with 0 for nothing.
    """

    index: NDArray[np.int64]
    dof: NDArray[np.int64]
    atoms: NDArray[np.int64]
    site_symmetry: NDArray[np.int64]
    free_shape: NDArray[np.bool_]
    n_positions: int
    n_site_symmetries: int


@cache
def wyckoff_arrays() -> WyckoffArrays:
    """Return the Wyckoff positions of all groups; computed once (a second)."""
    index, dof, atoms, symmetry = (np.zeros((N_GROUPS, N_LETTERS), dtype=np.int64) for _ in range(4))
    free = np.zeros((N_GROUPS, N_SHAPE), dtype=np.bool_)
    symbols: dict[str, int] = {}
    count = 1
    for number in range(1, N_GROUPS):
        group = space_group(number)
        free[number] = _FREE_SHAPE[group.crystal_system]
        for letter, position in group.positions.items():
            rank = LETTERS.index(letter)
            index[number, rank], count = count, count + 1
            dof[number, rank] = position.dof
            atoms[number, rank] = position.multiplicity // group.n_centring
            symbol = position.site_symmetry.replace(".", "")
            symmetry[number, rank] = symbols.setdefault(symbol, len(symbols) + 1)
    return WyckoffArrays(index, dof, atoms, symmetry, free, count, len(symbols) + 1)


_FREE_SHAPE = {
    "triclinic": (True, True, True, True, True, True),
    "monoclinic": (True, True, True, False, True, False),
    "orthorhombic": (True, True, True, False, False, False),
    "tetragonal": (True, False, True, False, False, False),
    "trigonal": (True, False, True, False, False, False),
    "hexagonal": (True, False, True, False, False, False),
    "cubic": (True, False, False, False, False, False),
}


@dataclass(frozen=True, slots=True, eq=False)
class TokenTable:
    """The tokens of n crystals.

    Parameters
    ----------
    numbers
        Space groups, shape (n,), int16.
    ranks
        Ranks of the letters, shape (n, MAX_ORBITS), int8; -1 pads.
    elements
        Atomic numbers, shape (n, MAX_ORBITS), int16; 0 pads.
    free
        Free coordinates in [0, 1), shape (n, MAX_ORBITS, 3), float32; 0 pads.
    shapes
        Lattices as in ``N_SHAPE``, shape (n, 6), float32.
    environments
        Site environments of each orbit, shape (n, MAX_ORBITS, N_ENVIRONMENT), float16.
    """

    numbers: NDArray[np.int16]
    ranks: NDArray[np.int8]
    elements: NDArray[np.int16]
    free: NDArray[np.float32]
    shapes: NDArray[np.float32]
    environments: NDArray[np.float16]

    @classmethod
    def from_crystals(cls, crystals: Sequence[Crystal]) -> Self:
        """Return the tokens of crystals, geometry included.

        Raises
        ------
        RepresentationError
            If a crystal has more than ``MAX_ORBITS`` orbits.
        """
        table = cls.empty(len(crystals))
        for row, crystal in enumerate(crystals):
            orbits = sorted(crystal.orbits, key=_sorting_key)
            table._set_gene(row, crystal.number, [(atomic_number(o.element), _rank(o.letter)) for o in orbits])  # noqa: SLF001
            for slot, orbit in enumerate(orbits):
                table.free[row, slot, : len(orbit.free)] = orbit.free
            table.shapes[row] = to_shape(crystal)
            table.environments[row, : len(orbits)] = _orbit_environments(crystal, orbits)
        return table

    @classmethod
    def from_genes(cls, genes: Sequence[tuple[int, Iterable[tuple[str, str]]]]) -> Self:
        """Return the tokens of genes, given as space group and (element, letter) pairs; the geometry is zero."""
        table = cls.empty(len(genes))
        for row, (number, occupations) in enumerate(genes):
            pairs = sorted((_rank(letter), atomic_number(element)) for element, letter in occupations)
            table._set_gene(row, number, [(z, rank) for rank, z in pairs])  # noqa: SLF001
        return table

    @classmethod
    def empty(cls, n: int) -> Self:
        """Return ``n`` rows of padding."""
        return cls(
            numbers=np.zeros(n, dtype=np.int16),
            ranks=np.full((n, MAX_ORBITS), -1, dtype=np.int8),
            elements=np.zeros((n, MAX_ORBITS), dtype=np.int16),
            free=np.zeros((n, MAX_ORBITS, 3), dtype=np.float32),
            shapes=np.zeros((n, N_SHAPE), dtype=np.float32),
            environments=np.zeros((n, MAX_ORBITS, N_ENVIRONMENT), dtype=np.float16),
        )

    def _set_gene(self, row: int, number: int, pairs: list[tuple[int, int]]) -> None:
        if len(pairs) > MAX_ORBITS:
            msg = f"a crystal has {len(pairs)} orbits, the foundation model reads at most {MAX_ORBITS}"
            raise RepresentationError(msg)
        self.numbers[row] = number
        for slot, (z, rank) in enumerate(pairs):
            self.elements[row, slot], self.ranks[row, slot] = z, rank

    def __len__(self) -> int:
        """Return the number of crystals."""
        return len(self.numbers)

    def __getitem__(self, rows: NDArray[np.intp] | slice) -> Self:
        """Return some rows as another table."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def n_orbits(self) -> NDArray[np.int64]:
        """Orbits of each crystal, shape (n,)."""
        return (self.ranks >= 0).sum(axis=1)

    @property
    def amounts(self) -> NDArray[np.int64]:
        """Atoms of each orbit in the primitive cell, 0 where padded, shape (n, MAX_ORBITS)."""
        found = wyckoff_arrays().atoms[self.numbers[:, None].astype(np.int64), np.maximum(self.ranks, 0)]
        return np.where(self.ranks >= 0, found, 0)

    def crystal(self, row: int) -> Crystal:
        """Return x of one row.

        Raises
        ------
        RepresentationError
            If its numbers span no lattice or its gene is not valid.
        """
        number = int(self.numbers[row])
        dof = wyckoff_arrays().dof
        orbits = [
            Orbit(symbol(int(z)), LETTERS[rank], tuple(self.free[row, slot, : dof[number, rank]].tolist()))
            for slot, (z, rank) in enumerate(zip(self.elements[row], self.ranks[row].tolist(), strict=True))
            if rank >= 0
        ]
        lattice = from_shape(number, self.shapes[row], n_atoms=int(self.amounts[row].sum()))
        return Crystal.from_parts(number, orbits, lattice)

    def occupations(self, row: int) -> list[tuple[str, str]]:
        """Return (element, letter) of each orbit of one row."""
        pairs = zip(self.elements[row].tolist(), self.ranks[row].tolist(), strict=True)
        return [(symbol(z), LETTERS[rank]) for z, rank in pairs if rank >= 0]


def concatenate(tables: Sequence[TokenTable]) -> TokenTable:
    """Return the rows of several tables as one."""
    return TokenTable(*(np.concatenate([getattr(t, field.name) for t in tables]) for field in fields(TokenTable)))


def to_shape(crystal: Crystal) -> NDArray[np.float32]:
    """Return the lattice of a crystal as ln(volume/atom in Å³), ln(b/a), ln(c/a) and the cosines of its angles."""
    a, b, c, *angles = crystal.lattice
    cosines = [math.cos(math.radians(angle)) for angle in angles]
    return np.asarray(
        [math.log(crystal.volume / crystal.n_atoms), math.log(b / a), math.log(c / a), *cosines], dtype=np.float32
    )


def from_shape(number: int, shape: NDArray[np.float32], *, n_atoms: int) -> LatticeParameters:
    """Return conventional lattice parameters, the inverse of :func:`to_shape`.

    Parameters
    ----------
    number
        Space group.
    shape
        The six numbers of a lattice; those that the crystal system fixes are not read.
    n_atoms
        Atoms in the primitive cell.

    Raises
    ------
    RepresentationError
        If the angles close no cell.
    """
    group = space_group(number)
    b, c = math.exp(float(shape[1])), math.exp(float(shape[2]))
    alpha, beta, gamma = (math.degrees(math.acos(min(1.0, max(-1.0, float(cosine))))) for cosine in shape[3:])
    values = {"a": 1.0, "b": b, "c": c, "alpha": alpha, "beta": beta, "gamma": gamma}
    names = ("a", "b", "c", "alpha", "beta", "gamma")
    free = _FREE_SHAPE[group.crystal_system]
    unit = lattice_parameters(number, tuple(values[n] for n, f in zip(names, free, strict=True) if f or n == "a"))
    factor = volume_factor(unit)
    if factor <= 0.0:
        msg = f"angles {unit[3:]} degrees of space group {number} span no cell"
        raise RepresentationError(msg)
    volume = math.exp(float(shape[0])) * n_atoms * group.n_centring
    a = math.cbrt(volume / (unit[0] * unit[1] * unit[2] * math.sqrt(factor)))
    return (unit[0] * a, unit[1] * a, unit[2] * a, *unit[3:])


@cache
def _symbols() -> tuple[str, ...]:
    from pymatgen.core.periodic_table import Element

    return ("", *(Element.from_Z(z).symbol for z in range(1, 119)))


def symbol(z: int) -> str:
    """Return the symbol of an atomic number."""
    return _symbols()[z]


@cache
def _numbers() -> dict[str, int]:
    return {name: z for z, name in enumerate(_symbols())} | {"D": 1, "T": 1}


def atomic_number(name: str) -> int:
    """Return the atomic number of a symbol."""
    return _numbers()[name]


def _rank(letter: str) -> int:
    return LETTERS.index(letter)


def _sorting_key(orbit: Orbit) -> tuple[int, int, tuple[float, ...]]:
    return (_rank(orbit.letter), atomic_number(orbit.element), orbit.free)


def _orbit_environments(crystal: Crystal, orbits: list[Orbit]) -> NDArray[np.float64]:
    """Return the environment of the first atom of each orbit, shape (n_orbits, N_ENVIRONMENT)."""
    ordered = Crystal(crystal.number, tuple(orbits), crystal.lattice)
    matrix, symbols, points = to_arrays(ordered)
    group = space_group(crystal.number)
    counts = [group.positions[orbit.letter].multiplicity // group.n_centring for orbit in orbits]
    first = np.cumsum([0, *counts[:-1]])
    return site_environments(matrix, [atomic_number(name) for name in symbols], points)[first]
