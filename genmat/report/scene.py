"""A crystal as something to look at: atoms of one conventional cell with their images on its faces, bonds, edges."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from genmat.screening.validity import covalent_radius

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.core.structure import Structure

BOND_FACTOR = 1.2
"""Two atoms are bonded if they are closer than this times the sum of their covalent radii (dimensionless)."""

MAX_ATOMS = 120
"""A conventional cell with more atoms is replaced by the cell given."""

ON_FACE = 0.02
"""Fractional coordinate below which an atom is repeated on the opposite face."""

SYMPREC = 0.01
"""Tolerance of the search for the conventional cell, Å."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a picture of a crystal shows.

    Parameters
    ----------
    symbols
        Element of each atom, length n.
    positions
        Å, about the centre of the cell, shape (n, 3).
    bonds
        Pairs of atoms, each once.
    edges
        Ends of the twelve edges of the cell, Å, shape (12, 2, 3).
    lattice
        a, b, c (Å), alpha, beta, gamma (degrees) of the cell.
    """

    symbols: tuple[str, ...]
    positions: NDArray[np.float64]
    bonds: tuple[tuple[int, int], ...]
    edges: NDArray[np.float64]
    lattice: tuple[float, ...]

    @property
    def radii(self) -> NDArray[np.float64]:
        """Radius at which each atom is drawn, Å: a good half of the covalent one, so that bonds stay visible."""
        return np.asarray([0.24 + 0.27 * covalent_radius(symbol) for symbol in self.symbols])

    @property
    def elements(self) -> tuple[str, ...]:
        """Distinct symbols, in the order of their first atoms."""
        return tuple(dict.fromkeys(self.symbols))


def scene(structure: Structure, *, repeat: int = 1) -> Scene:
    """Return the conventional cell of a crystal as a scene, or a block of ``repeat`` cells along each axis."""
    cell = _conventional(structure)
    if repeat > 1:
        cell = cell.make_supercell([repeat] * 3, in_place=False)
    symbols: list[str] = []
    fractional: list[NDArray[np.float64]] = []
    for site in cell:
        inside = site.frac_coords - np.floor(site.frac_coords + 1e-6)
        inside[inside > 1.0 - ON_FACE] -= 1.0
        for shift in product(*[(0.0, 1.0) if abs(x) < ON_FACE else (0.0,) for x in inside]):
            symbols.append(site.specie.symbol)
            fractional.append(inside + shift)
    matrix = np.asarray(cell.lattice.matrix)
    centre = 0.5 * matrix.sum(axis=0)
    positions = np.asarray(fractional) @ matrix - centre
    return Scene(
        tuple(symbols),
        positions,
        _bonds(symbols, positions),
        _edges(matrix) - centre,
        tuple(map(float, cell.lattice.parameters)),
    )


def _conventional(structure: Structure) -> Structure:
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError

    try:
        cell = SpacegroupAnalyzer(structure, symprec=SYMPREC).get_conventional_standard_structure()
    except (SymmetryUndeterminedError, ValueError, TypeError):
        return structure
    return cell if len(cell) <= MAX_ATOMS else structure


def _bonds(symbols: list[str], positions: NDArray[np.float64]) -> tuple[tuple[int, int], ...]:
    """Return pairs of atoms close enough to be bonded; metals bind to each other only where there is nothing else."""
    from pymatgen.core.periodic_table import Element

    radii = np.asarray([covalent_radius(symbol) for symbol in symbols])
    is_metal: NDArray[np.bool_] = np.asarray([Element(symbol).is_metal for symbol in symbols], dtype=np.bool_)
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    near: NDArray[np.bool_] = np.less(distances, BOND_FACTOR * (radii[:, None] + radii[None]))
    if not is_metal.all():
        near &= ~(is_metal[:, None] & is_metal[None])
    first, second = np.nonzero(np.triu(near, k=1))
    return tuple((int(i), int(j)) for i, j in zip(first, second, strict=True))


def _edges(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ends of the twelve edges of a cell, Å, shape (12, 2, 3)."""
    edges = []
    for axis in range(3):
        others = [k for k in range(3) if k != axis]
        for i, j in product((0.0, 1.0), repeat=2):
            start = i * matrix[others[0]] + j * matrix[others[1]]
            edges.append((start, start + matrix[axis]))
    return np.asarray(edges)
