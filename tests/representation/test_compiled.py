"""Compiled lattices and distances are those of spglib and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import spglib

from genmat.reference.fingerprint import fingerprint
from genmat.representation.distances import mean_distances
from genmat.representation.fingerprint import neighbour_distances
from genmat.representation.niggli import reduce_lattice

CUBIC_F = np.array([[0.0, 2.0, 2.0], [2.0, 0.0, 2.0], [2.0, 2.0, 0.0]])
HEXAGONAL = np.array([[3.0, 0.0, 0.0], [-1.5, 1.5 * 3**0.5, 0.0], [0.0, 0.0, 4.0]])


def lattices(number: int) -> list[np.ndarray]:
    """Return lattices with and without symmetry, in skew cells."""
    dice = np.random.default_rng(0)
    found = []
    for index in range(number):
        lattice = (CUBIC_F, HEXAGONAL, np.diag([3.0, 3.0, 8.0]), dice.normal(size=(3, 3)) * 4.0)[index % 4]
        skew = np.eye(3)
        for _ in range(4):
            one, other = dice.permutation(3)[:2]
            skew[one] += dice.integers(-3, 4) * skew[other]
        found.append(skew @ lattice)
    return found


def metric(lattice: np.ndarray) -> np.ndarray:
    return lattice @ lattice.T


def test_the_compiled_niggli_cell_is_that_of_spglib():
    for lattice in lattices(80):
        reduced, steps = lattice.copy(), np.eye(3)
        reduce_lattice(reduced, steps, 1e-5)
        assert metric(reduced) == pytest.approx(metric(spglib.niggli_reduce(lattice, eps=1e-5)), abs=1e-4)
        assert steps @ lattice == pytest.approx(reduced, abs=1e-6)
        assert np.linalg.det(steps) == pytest.approx(1.0)
        assert np.all(steps == np.round(steps))


def test_a_cell_that_is_thousands_of_edges_askew_is_reduced():
    reduced = np.array([[3.0, 0.0, 0.0], [30_000.0, 4.0, 0.0], [12_345.0, -40_000.0, 5.0]])
    reduce_lattice(reduced, np.eye(3), 1e-5)
    assert np.diag(metric(reduced)) == pytest.approx([9.0, 16.0, 25.0])


def test_compiled_neighbours_are_as_far_as_those_of_arrays():
    dice = np.random.default_rng(1)
    for lattice in lattices(24):
        points = dice.random((int(dice.integers(1, 6)), 3)) - 3.0
        expected = neighbour_distances(lattice, points, k=16).mean(axis=0)
        assert mean_distances(lattice, points, 16) == pytest.approx(expected, abs=1e-9)


def test_compiled_fingerprints_are_the_same(prototype):
    assert np.array_equal(fingerprint(prototype.structure, compiled=True), fingerprint(prototype.structure))
