"""Average minimum distances: a geometric fingerprint that does not depend on cell, origin or order of atoms.

Widdowson, Mosca, Pulido, Cooper, Kurlin, MATCH Communications in Mathematical and in Computer Chemistry 87, 529
(2022), doi:10.46793/match.87-3.529W: AMD_k is the distance from an atom to its k-th nearest neighbour, averaged over
the atoms of a primitive cell. It is invariant under isometries (mirror images included) and continuous: moving every
atom by ε changes no component by more than 2ε.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import spglib
from numpy.typing import NDArray

from genmat.errors import RepresentationError

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

FloatArray = NDArray[np.float64]

DEFAULT_NEIGHBOURS = 60

_FIRST_GUESS = 1.15
_GROWTH = 1.25


def average_minimum_distances(structure: Structure, *, k: int = DEFAULT_NEIGHBOURS) -> FloatArray:
    """Return AMD_1 … AMD_k in Å, shape (k,), ascending.

    Parameters
    ----------
    structure
        Any cell of the crystal; the elements are ignored.
    k
        Neighbours of each atom.
    """
    return neighbour_distances(structure.lattice.matrix, structure.frac_coords, k=k).mean(axis=0)


def neighbour_distances(lattice: FloatArray, frac_coords: FloatArray, *, k: int = DEFAULT_NEIGHBOURS) -> FloatArray:
    """Return the distances of each atom to its k nearest neighbours in Å, ascending, shape (n, k).

    Parameters
    ----------
    lattice
        Rows a, b, c in Å, shape (3, 3); any cell, however skew.
    frac_coords
        Fractional coordinates, shape (n, 3).
    k
        Neighbours; periodic images of the atom itself count.

    Raises
    ------
    RepresentationError
        If there are no atoms, k is not positive or the lattice is degenerate.
    """
    n_atoms = len(frac_coords)
    volume = abs(float(np.linalg.det(lattice)))
    if not n_atoms or k < 1 or not (math.isfinite(volume) and volume > 0.0):
        msg = f"neighbour distances need atoms, k ≥ 1 and a cell volume > 0, got {n_atoms} atoms, k {k}, {volume} Å³"
        raise RepresentationError(msg)
    basis = _reduced(lattice)
    fractional = frac_coords @ (lattice @ np.linalg.inv(basis))
    fractional = fractional - np.floor(fractional)
    points = fractional @ basis
    radius = _FIRST_GUESS * math.cbrt(3.0 * (k + 1) * volume / (4.0 * math.pi * n_atoms))
    while True:
        distances = _distances_within(basis, fractional, points, radius)
        if distances.shape[1] > k:
            nearest = np.partition(distances, k, axis=1)[:, : k + 1]
            nearest.sort(axis=1)
            if nearest[:, k].max() <= radius * radius:
                return np.sqrt(np.maximum(nearest[:, 1:], 0.0))
        radius *= _GROWTH


def _reduced(lattice: FloatArray) -> FloatArray:
    """Return a Delaunay-reduced basis of the lattice, or the basis itself where the reduction fails."""
    try:
        reduced = spglib.delaunay_reduce(lattice, eps=1e-8)
    except spglib.SpglibError:
        return lattice
    return lattice if reduced is None else np.asarray(reduced, dtype=np.float64)


def _distances_within(basis: FloatArray, fractional: FloatArray, points: FloatArray, radius: float) -> FloatArray:
    """Return squared distances from each atom to a set of periodic atoms that holds all within ``radius``.

    An image in cell t lies within r only if |t + Δ| h ≤ r along each axis, h the distance between lattice planes and
    Δ the difference of fractional coordinates.

    Returns
    -------
    ndarray
        Å², shape (n, m).
    """
    heights = 1.0 / np.sqrt((np.linalg.inv(basis) ** 2).sum(axis=0))
    spread = fractional.max(axis=0) - fractional.min(axis=0)
    counts = np.floor(radius / heights + spread + 1e-9).astype(int)
    cells = _cells(*counts.tolist()) @ basis
    centre = 0.5 * (points.max(axis=0) + points.min(axis=0))
    images = (cells[:, None, :] + (points - centre)[None]).reshape(-1, 3)
    reach = radius + math.sqrt(float(((points - centre) ** 2).sum(axis=1).max()))
    images = images[(images**2).sum(axis=1) <= reach * reach + 1e-9]
    difference = (points - centre)[:, None, :] - images[None]
    return np.asarray((difference * difference).sum(axis=2))


@lru_cache(maxsize=512)
def _cells(a: int, b: int, c: int) -> FloatArray:
    """Return all cells from (-a, -b, -c) to (a, b, c), shape (m, 3)."""
    axes = (np.arange(-a, a + 1.0), np.arange(-b, b + 1.0), np.arange(-c, c + 1.0))
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
