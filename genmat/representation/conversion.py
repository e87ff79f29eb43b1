"""χ ↔ x: structures to crystals and back."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.lattice import Lattice
from pymatgen.core.sites import PeriodicSite
from pymatgen.core.structure import Structure

from genmat.errors import RepresentationError
from genmat.representation.crystal import ELEMENTS, Crystal, Orbit
from genmat.representation.lattice import constrain, lattice_matrix, matrix_parameters
from genmat.representation.symmetry import (
    DEFAULT_ANGLE_TOLERANCE,
    DEFAULT_SYMPREC,
    Standardized,
    standardize,
)
from genmat.representation.wyckoff import space_group

if TYPE_CHECKING:
    from collections.abc import Sequence

FloatArray = NDArray[np.float64]

_PRIMITIVE_VECTORS = {
    "P": np.eye(3),
    "A": np.array([[2, 0, 0], [0, 1, -1], [0, 1, 1]]) / 2,
    "C": np.array([[1, -1, 0], [1, 1, 0], [0, 0, 2]]) / 2,
    "I": np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2,
    "F": np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2,
    "R": np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3,
}
"""Rows: primitive basis vectors in units of the conventional ones, as in spglib."""

_TO_PRIMITIVE = {name: np.rint(np.linalg.inv(vectors)) for name, vectors in _PRIMITIVE_VECTORS.items()}
"""Integer matrices M with x_primitive = x_conventional @ M."""

_ON_IMAGE = (1e-5, 2e-3)
"""Fractional distances of an idealised atom from the image it lies on: as it should be, and at the very worst."""

_ORDERING_STEP = 1e-6
"""Free coordinates of equivalent atoms are compared in steps of this when the representative is chosen."""


def from_structure(
    structure: Structure, *, symprec: float = DEFAULT_SYMPREC, angle_tolerance: float = DEFAULT_ANGLE_TOLERANCE
) -> Crystal:
    """Return x of an ordered structure, idealised to its symmetry (see :mod:`genmat.representation.symmetry`).

    Parameters
    ----------
    structure
        Ordered; oxidation states and site properties are dropped.
    symprec
        Distance tolerance of the symmetry search in Å.
    angle_tolerance
        Angle tolerance in degrees; negative lets spglib derive it from ``symprec``, which it recommends.

    Raises
    ------
    RepresentationError
        If the structure is empty, disordered or not finite, or the symmetry search fails.
    """
    symbols = _symbols(structure)
    return from_arrays(
        structure.lattice.matrix, symbols, structure.frac_coords, symprec=symprec, angle_tolerance=angle_tolerance
    )


def from_arrays(
    lattice: FloatArray,
    symbols: Sequence[str],
    frac_coords: FloatArray,
    *,
    symprec: float = DEFAULT_SYMPREC,
    angle_tolerance: float = DEFAULT_ANGLE_TOLERANCE,
) -> Crystal:
    """Return x of a structure given as arrays.

    Parameters
    ----------
    lattice
        Rows a, b, c in Å, shape (3, 3).
    symbols
        Element of each atom.
    frac_coords
        Fractional coordinates, shape (n, 3).
    symprec, angle_tolerance
        As for :func:`from_structure`.
    """
    if not (np.isfinite(lattice).all() and np.isfinite(frac_coords).all()):
        msg = "the structure has coordinates or lattice vectors that are not finite"
        raise RepresentationError(msg)
    elements = sorted(set(symbols))
    kinds = {symbol: kind for kind, symbol in enumerate(elements)}
    cell = standardize(
        lattice, frac_coords, [kinds[symbol] for symbol in symbols], symprec=symprec, angle_tolerance=angle_tolerance
    )
    orbits = _solve_orbits(cell, [elements[kind] for kind in cell.kinds])
    number = cell.group.number
    crystal = Crystal(number, orbits, constrain(number, matrix_parameters(cell.lattice)))
    if crystal.n_atoms_conventional != len(cell.points):
        msg = (
            f"the orbits of space group {number} hold {crystal.n_atoms_conventional} atoms, the standardised cell "
            f"{len(cell.points)}: try another symprec than {symprec}"
        )
        raise RepresentationError(msg)
    return crystal


def to_structure(crystal: Crystal, *, primitive: bool = True) -> Structure:
    """Return the structure of x, exactly symmetric.

    Parameters
    ----------
    crystal
        x.
    primitive
        Return the primitive cell rather than the conventional one.
    """
    matrix, symbols, points = to_arrays(crystal, primitive=primitive)
    lattice = Lattice(matrix)
    return Structure.from_sites(
        [PeriodicSite(symbol, point, lattice) for symbol, point in zip(symbols, points, strict=True)]
    )


def to_arrays(crystal: Crystal, *, primitive: bool = True) -> tuple[FloatArray, list[str], FloatArray]:
    """Return lattice (rows, Å, shape (3, 3)), element of each atom, fractional coordinates in [0, 1), shape (n, 3).

    Atoms come orbit by orbit in the order of ``crystal.orbits``. As many as the multiplicity says: atoms that
    coincide because a free coordinate has a special value are kept.
    """
    group = space_group(crystal.number)
    symbols: list[str] = []
    blocks: list[FloatArray] = []
    for orbit in crystal.orbits:
        position = group.positions[orbit.letter]
        count = position.multiplicity // group.n_centring if primitive else position.multiplicity
        symbols.extend([orbit.element] * count)
        block = position.translations[:count]
        if orbit.free:
            block = block + position.rotations[:count][:, :, list(position.free_axes)] @ np.array(orbit.free)
        blocks.append(block)
    points = np.concatenate(blocks)
    matrix = lattice_matrix(constrain(crystal.number, crystal.lattice))
    if primitive:
        centring = group.symbol[0]
        matrix = _PRIMITIVE_VECTORS[centring] @ matrix
        points = points @ _TO_PRIMITIVE[centring]
    points = points % 1.0
    points[points == 1.0] = 0.0
    return matrix, symbols, points


def _symbols(structure: Structure) -> list[str]:
    """Return the element of each site."""
    if not len(structure):
        msg = "the structure has no atoms"
        raise RepresentationError(msg)
    symbols = []
    for site in structure:
        if not site.is_ordered:
            msg = f"site {site.species_string} of {structure.formula} is disordered: x describes ordered crystals only"
            raise RepresentationError(msg)
        symbol = str(site.specie.symbol)
        if symbol not in ELEMENTS:
            msg = f"site {site.species_string} of {structure.formula} is no element"
            raise RepresentationError(msg)
        symbols.append(symbol)
    return symbols


@cache
def _first_images(number: int) -> tuple[dict[str, int], FloatArray, FloatArray, FloatArray]:
    """Return, stacked by letter: index of each letter, solvers, matrices and translations of the first images."""
    positions = space_group(number).positions
    return (
        {letter: index for index, letter in enumerate(positions)},
        np.array([p.solver for p in positions.values()], dtype=np.float64),
        np.array([p.rotations[0] for p in positions.values()], dtype=np.float64),
        np.array([p.translations[0] for p in positions.values()]),
    )


def _solve_orbits(cell: Standardized, symbols: list[str]) -> tuple[Orbit, ...]:
    """Return the orbits by letter, element and free coordinates.

    An atom x of an orbit lies on the first image A u + t if x - t - A u is an integer vector for u = S (x - t). Among
    those that do, the one with the smallest free coordinates represents the orbit.

    Parameters
    ----------
    cell
        Standardised conventional cell.
    symbols
        Element of each of its atoms.
    """
    group, letters = cell.group, cell.letters
    index, solvers, matrices, translations = _first_images(group.number)
    kind = np.array([index[letter] for letter in letters])
    relative = cell.points - translations[kind]
    solved = np.einsum("nij,nj->ni", solvers[kind], relative) % 1.0
    residual = relative - np.einsum("nij,nj->ni", matrices[kind], solved)
    off = np.digitize(np.abs(residual - np.rint(residual)).max(axis=1), _ON_IMAGE)  # 0 on the image, 2 elsewhere
    steps = np.rint(solved / _ORDERING_STEP) % round(1 / _ORDERING_STEP)
    order = np.lexsort((steps[:, 2], steps[:, 1], steps[:, 0], off, cell.orbit_of))
    representatives = order[np.unique(cell.orbit_of[order], return_index=True)[1]]
    if off[representatives].max() == len(_ON_IMAGE):
        atom = int(representatives[off[representatives].argmax()])
        msg = (
            f"{symbols[atom]} at {cell.points[atom].round(4).tolist()} does not lie on Wyckoff position "
            f"{letters[atom]} of space group {group.number}: try another symprec"
        )
        raise RepresentationError(msg)
    orbits = []
    for atom in representatives.tolist():
        axes = group.positions[letters[atom]].free_axes
        orbits.append(Orbit(symbols[atom], letters[atom], tuple(solved[atom, list(axes)].tolist())))
    return tuple(sorted(orbits, key=lambda orbit: (index[orbit.letter], orbit.element, orbit.free)))
