"""Lattices: systems, constraints, matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest

from genmat.errors import RepresentationError
from genmat.representation.lattice import (
    check_lattice,
    constrain,
    conventional_volume,
    crystal_system,
    free_lattice_parameters,
    lattice_is_compatible,
    lattice_matrix,
    lattice_parameters,
    matrix_parameters,
)

GENERIC = (4.0, 5.0, 6.0, 80.0, 95.0, 105.0)
ONE_OF_EACH_SYSTEM = [2, 14, 62, 136, 166, 194, 225]


@pytest.mark.parametrize(
    ("number", "system"),
    [(1, "triclinic"), (2, "triclinic"), (3, "monoclinic"), (74, "orthorhombic"), (75, "tetragonal"),
     (143, "trigonal"), (194, "hexagonal"), (195, "cubic"), (230, "cubic")],
)  # fmt: skip
def test_crystal_system_follows_the_number(number, system):
    assert crystal_system(number) == system


@pytest.mark.parametrize("number", [0, -3, 231])
def test_impossible_space_group_is_refused(number):
    with pytest.raises(RepresentationError, match="expected 1 to 230"):
        crystal_system(number)


@pytest.mark.parametrize("number", ONE_OF_EACH_SYSTEM)
def test_constrained_lattice_is_compatible(number):
    assert lattice_is_compatible(number, constrain(number, GENERIC))


@pytest.mark.parametrize("number", ONE_OF_EACH_SYSTEM)
def test_constraining_twice_changes_nothing(number):
    once = constrain(number, GENERIC)
    assert constrain(number, once) == once


@pytest.mark.parametrize("number", ONE_OF_EACH_SYSTEM[1:])
def test_generic_lattice_is_compatible_with_triclinic_only(number):
    assert lattice_is_compatible(2, GENERIC)
    assert not lattice_is_compatible(number, GENERIC)


@pytest.mark.parametrize("number", ONE_OF_EACH_SYSTEM)
def test_free_parameters_rebuild_the_lattice(number):
    lattice = constrain(number, GENERIC)
    names = ("a", "b", "c", "alpha", "beta", "gamma")
    free = tuple(lattice[names.index(name)] for name in free_lattice_parameters(number))
    assert lattice_parameters(number, free) == lattice


def test_wrong_count_of_free_parameters_is_refused():
    with pytest.raises(RepresentationError, match="has 2 free: a, c"):
        lattice_parameters(194, (3.0,))


@pytest.mark.parametrize("number", ONE_OF_EACH_SYSTEM)
def test_matrix_has_the_parameters_it_was_made_from(number):
    lattice = constrain(number, GENERIC)
    assert matrix_parameters(lattice_matrix(lattice)) == pytest.approx(lattice, rel=1e-12)


def test_matrix_is_right_handed_and_has_the_volume():
    assert np.linalg.det(lattice_matrix(GENERIC)) == pytest.approx(conventional_volume(GENERIC), rel=1e-12)


def test_cubic_matrix_is_exactly_diagonal():
    assert lattice_matrix((4.1, 4.1, 4.1, 90.0, 90.0, 90.0)).tolist() == np.diag([4.1] * 3).tolist()


@pytest.mark.parametrize(
    ("lattice", "complaint"),
    [
        ((math.nan, 1, 1, 90, 90, 90), "finite"),
        ((0.0, 1, 1, 90, 90, 90), "positive"),
        ((1, 1, -1, 90, 90, 90), "positive"),
        ((1, 1, 1, 60, 60, 120), "span no cell"),
        ((1, 1, 1, 90, 180, 90), "span no cell"),
    ],
)
def test_impossible_lattice_is_refused(lattice, complaint):
    with pytest.raises(RepresentationError, match=complaint):
        check_lattice(lattice)
