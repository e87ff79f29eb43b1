"""The Niggli cell of a lattice, compiled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from genmat.representation.compilation import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    type FloatArray = NDArray[np.float64]

_MOST_ROUNDS = 1000
"""Rounds of a reduction; rounding could make a lattice go in circles."""


@compiled
def reduce_lattice(vectors: FloatArray, steps: FloatArray, epsilon: float) -> None:
    """Turn a lattice into its Niggli cell, and the unit matrix into the multiples of the lattice that give it.

    Steps 1 to 8 of Křivý and Gruber, Acta Cryst. A32, 297 (1976), doi:10.1107/S0567739476000636, with the tolerance of
    Grosse-Kunstleve et al., Acta Cryst. A60, 1 (2004), doi:10.1107/S010876730302186X. A, B, C are the squares of the
    edges; ξ, η, ζ twice the scalar products of b and c, a and c, a and b.

    Parameters
    ----------
    vectors
        Rows a, b, c in Å, shape (3, 3); changed in place.
    steps
        The unit matrix, shape (3, 3); changed in place.
    epsilon
        Difference of scalar products that counts as none, Å².
    """
    form = np.empty(6)
    for _ in range(_MOST_ROUNDS):
        _fill_form(vectors, form)
        if _is_behind(form, 0, epsilon):  # step 1
            _swap(vectors, steps, 0)
            _fill_form(vectors, form)
        if _is_behind(form, 1, epsilon):  # step 2
            _swap(vectors, steps, 1)
            continue
        _choose_signs(vectors, steps, form, epsilon)  # steps 3 and 4
        _fill_form(vectors, form)
        if not _shorten(vectors, steps, form, epsilon):  # steps 5 to 8
            break


@compiled
def _fill_form(vectors: FloatArray, form: FloatArray) -> None:
    """Fill in A, B, C, ξ, η, ζ."""
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        form[i] = vectors[i, 0] ** 2 + vectors[i, 1] ** 2 + vectors[i, 2] ** 2
        form[3 + i] = 2.0 * (
            vectors[j, 0] * vectors[k, 0] + vectors[j, 1] * vectors[k, 1] + vectors[j, 2] * vectors[k, 2]
        )


@compiled
def _is_behind(form: FloatArray, edge: int, epsilon: float) -> bool:
    """Return whether an edge belongs behind the next one: it is longer, or as long with a larger product."""
    difference = form[edge] - form[edge + 1]
    if abs(difference) > epsilon:
        longer: bool = difference > 0.0
        return longer
    larger: bool = abs(form[3 + edge]) > abs(form[4 + edge]) + epsilon
    return larger


@compiled
def _swap(vectors: FloatArray, steps: FloatArray, edge: int) -> None:
    """Exchange an edge and the next one and turn all round, so that the hand of the cell stays."""
    for rows in (vectors, steps):
        for axis in range(3):
            rows[edge, axis], rows[edge + 1, axis] = -rows[edge + 1, axis], -rows[edge, axis]
            rows[(edge + 2) % 3, axis] = -rows[(edge + 2) % 3, axis]


@compiled
def _choose_signs(vectors: FloatArray, steps: FloatArray, form: FloatArray, epsilon: float) -> None:
    """Turn two edges round, so that ξ, η, ζ are all positive or none is."""
    n_negative, zero = 0, -1
    for place in range(3):
        if form[3 + place] < -epsilon:
            n_negative += 1
        elif form[3 + place] <= epsilon:
            zero = place
    sign = -1.0 if zero < 0 and n_negative % 2 == 0 else 1.0  # of the products that are turned
    n_turned = 0
    for place in range(3):
        if sign * form[3 + place] > epsilon:
            _add(vectors, steps, place, place, -2.0)
            n_turned += 1
    if n_turned == 1:
        _add(vectors, steps, zero, zero, -2.0)


@compiled
def _shorten(vectors: FloatArray, steps: FloatArray, form: FloatArray, epsilon: float) -> bool:
    """Add edges to a longer one where that shortens it, or leaves its length and is the convention; return whether."""
    a, b, _, xi, eta, zeta = form
    if _is_too_large(xi, b, 2.0 * eta, zeta, epsilon):
        _add(vectors, steps, 2, 1, -_times(xi, b))
    elif _is_too_large(eta, a, 2.0 * xi, zeta, epsilon):
        _add(vectors, steps, 2, 0, -_times(eta, a))
    elif _is_too_large(zeta, a, 2.0 * xi, eta, epsilon):
        _add(vectors, steps, 1, 0, -_times(zeta, a))
    else:
        total = xi + eta + zeta + a + b
        if not (total < -epsilon or (abs(total) <= epsilon and 2.0 * (a + eta) + zeta > epsilon)):
            return False
        _add(vectors, steps, 2, 0, 1.0)
        _add(vectors, steps, 2, 1, 1.0)
    return True


@compiled
def _is_too_large(product: float, square: float, double: float, third: float, epsilon: float) -> bool:
    """Return whether a product is larger than the square of the shorter edge, or as large against the convention."""
    if abs(product) > square + epsilon:
        return True
    if abs(product - square) <= epsilon:
        return double < third - epsilon
    return abs(product + square) <= epsilon and third < -epsilon


@compiled
def _times(product: float, square: float) -> float:
    """Return how often an edge is taken from another one, given twice their product: as often as that shortens it."""
    return math.copysign(max(1.0, math.floor(0.5 * abs(product) / square + 0.5)), product)


@compiled
def _add(vectors: FloatArray, steps: FloatArray, edge: int, other: int, times: float) -> None:
    """Add a multiple of an edge to another one."""
    for axis in range(3):
        vectors[edge, axis] += times * vectors[other, axis]
        steps[edge, axis] += times * steps[other, axis]
