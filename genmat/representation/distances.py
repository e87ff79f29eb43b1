"""The compiled part of :mod:`genmat.representation.fingerprint`: mean distances to the nearest neighbours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from genmat.representation.compilation import compiled
from genmat.representation.niggli import reduce_lattice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    type FloatArray = NDArray[np.float64]


@compiled
def mean_distances(lattice: FloatArray, frac_coords: FloatArray, k: int) -> FloatArray:
    """Return the distance of an atom to its 1st … k-th nearest neighbour in Å, the mean over all atoms, shape (k,).

    Parameters
    ----------
    lattice
        Rows a, b, c in Å, shape (3, 3); any cell, however skew.
    frac_coords
        Fractional coordinates, shape (n, 3).
    k
        Neighbours; periodic images of the atom itself count.
    """
    basis, steps = lattice.copy(), np.eye(3)
    reduce_lattice(basis, steps, 1e-8)
    points = frac_coords @ np.linalg.inv(steps)
    inverse, heights = np.linalg.inv(basis), np.empty(3)
    for axis in range(3):
        heights[axis] = 1.0 / math.sqrt((inverse[:, axis] ** 2).sum())
    volume = abs(np.linalg.det(basis))
    radius = 1.15 * (3.0 * (k + 1) * volume / (4.0 * math.pi * len(points))) ** (1.0 / 3.0)
    squares = np.empty((len(points), k))
    while not _fill_nearest(basis, heights, points, radius, squares):
        radius *= 1.25
    means = np.zeros(k)
    for atom in range(len(points)):
        means += np.sqrt(squares[atom])
    return means / len(points)


@compiled
def _fill_nearest(
    basis: FloatArray, heights: FloatArray, points: FloatArray, radius: float, squares: FloatArray
) -> bool:
    """Fill in the smallest squared distances of each atom, ascending; return whether all lie within a radius.

    An atom that lies Δ (fractional) away along an axis is no nearer than |Δ| times the distance of lattice planes.
    """
    limit = radius * radius
    squares[:] = math.inf
    for atom in range(len(points)):
        found = squares[atom]
        for other in range(len(points)):
            x0, y0 = points[other, 0] - points[atom, 0], points[other, 1] - points[atom, 1]
            z0 = points[other, 2] - points[atom, 2]
            for i in range(math.ceil(-radius / heights[0] - x0), math.floor(radius / heights[0] - x0) + 1):
                x = x0 + i
                if (x * heights[0]) ** 2 >= found[-1]:
                    continue
                for j in range(math.ceil(-radius / heights[1] - y0), math.floor(radius / heights[1] - y0) + 1):
                    y = y0 + j
                    if (y * heights[1]) ** 2 >= found[-1]:
                        continue
                    u = x * basis[0, 0] + y * basis[1, 0]
                    v = x * basis[0, 1] + y * basis[1, 1]
                    w = x * basis[0, 2] + y * basis[1, 2]
                    for k in range(math.ceil(-radius / heights[2] - z0), math.floor(radius / heights[2] - z0) + 1):
                        z = z0 + k
                        square = (u + z * basis[2, 0]) ** 2 + (v + z * basis[2, 1]) ** 2 + (w + z * basis[2, 2]) ** 2
                        itself = other == atom and i == 0 and j == 0 and k == 0
                        if square <= limit and square < found[-1] and not itself:
                            _insert(found, square)
        if found[-1] > limit:
            return False
    return True


@compiled
def _insert(found: FloatArray, square: float) -> None:
    """Put a value in its place among ascending ones; the last one is lost."""
    place = len(found) - 1
    while place and found[place - 1] > square:
        found[place] = found[place - 1]
        place -= 1
    found[place] = square
