"""The compiled part of :func:`genmat.screening.matching.reduce_cell`: the Niggli cell, and if it may be smaller."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from genmat.representation.compilation import compiled
from genmat.representation.niggli import reduce_lattice
from genmat.screening.comparison import change_basis, determinant

if TYPE_CHECKING:
    from numpy.typing import NDArray

    type FloatArray = NDArray[np.float64]
    type IntArray = NDArray[np.int64]


@compiled
def reduced_cell(
    lattice: FloatArray, points: FloatArray, counts: IntArray, epsilon: float, tolerance: float
) -> tuple[FloatArray, FloatArray, float, bool]:
    """Return the Niggli cell of a crystal, and whether it may be a multiple of a smaller one.

    Parameters
    ----------
    lattice
        Rows a, b, c in Å, shape (3, 3).
    points
        Fractional coordinates, shape (n, 3), sorted by element.
    counts
        Number of atoms of each element, shape (n_elements,).
    epsilon
        Difference of scalar products that counts as none, Å².
    tolerance
        Distance along each axis up to which a translation maps atoms onto atoms, Å.

    Returns
    -------
    lattice, points
        Of the Niggli cell.
    length
        Cube root of the volume per atom, Å.
    repeats
        Whether a translation maps every atom near one of its element, within the tolerance along each axis.
    """
    reduced, steps, moved = lattice.copy(), np.eye(3), np.empty_like(points)
    reduce_lattice(reduced, steps, epsilon)
    change_basis(points, steps, moved)
    length = (abs(determinant(reduced)) / len(points)) ** (1.0 / 3.0)
    return reduced, moved, length, _repeats(reduced, moved, counts, tolerance)


@compiled
def _repeats(lattice: FloatArray, points: FloatArray, counts: IntArray, tolerance: float) -> bool:
    """Return whether a translation between atoms of the rarest element maps every atom near one of its element."""
    begin, start, fewest, divisor = 0, 0, len(points) + 1, 0
    for count in counts:
        divisor = math.gcd(divisor, count)
        if count < fewest:
            begin, fewest = start, count
        start += count
    if divisor == 1:
        return False
    limit, shift = np.empty(3), np.empty(3)
    for axis in range(3):
        limit[axis] = tolerance / math.sqrt(lattice[axis, 0] ** 2 + lattice[axis, 1] ** 2 + lattice[axis, 2] ** 2)
    for chosen in range(begin + 1, begin + fewest):
        for axis in range(3):
            shift[axis] = points[chosen, axis] - points[begin, axis]
        if _maps_all(points, counts, shift, limit):
            return True
    return False


@compiled
def _maps_all(points: FloatArray, counts: IntArray, shift: FloatArray, limit: FloatArray) -> bool:
    """Return whether a translation maps every atom near one of its element."""
    start = 0
    for count in counts:
        for atom in range(start, start + count):
            found = False
            for other in range(start, start + count):
                found = True
                for axis in range(3):
                    between = points[atom, axis] + shift[axis] - points[other, axis]
                    if abs(between - math.floor(between + 0.5)) > limit[axis]:
                        found = False
                        break
                if found:
                    break
            if not found:
                return False
        start += count
    return True
