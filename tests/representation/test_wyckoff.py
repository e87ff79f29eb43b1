"""The packaged table against group theory and against spglib."""

from __future__ import annotations

import numpy as np
import pytest
import spglib

from genmat.errors import RepresentationError
from genmat.representation.lattice import constrain, lattice_matrix
from genmat.representation.wyckoff import space_group, wyckoff_positions

ALL_GROUPS = range(1, 231)


def images(position, free):
    """Return all images of a point of a position in [0, 1)."""
    point = np.zeros(3)
    point[list(position.free_axes)] = free
    return (position.rotations @ point + position.translations) % 1.0


def distance_to_integers(values):
    return np.abs(values - np.rint(values))


def test_table_holds_all_1731_positions():
    assert sum(len(wyckoff_positions(number)) for number in ALL_GROUPS) == 1731


def test_general_position_has_one_image_for_each_operation():
    for number in ALL_GROUPS:
        group = space_group(number)
        general = list(group.positions.values())[-1]
        assert general.dof == 3
        assert general.site_symmetry == "1"
        assert general.multiplicity == len(group.rotations) * group.n_centring


def test_images_are_distinct_and_closed_under_the_group():
    generator = np.random.default_rng(7)
    for number in ALL_GROUPS:
        group = space_group(number)
        for position in group.positions.values():
            points = images(position, generator.random(position.dof))
            assert len(points) == position.multiplicity
            moved = (points[:, None] @ group.rotations[-1].T + group.shifts[-1]).reshape(-1, 3)
            apart = distance_to_integers(moved[:, None] - points[None]).max(axis=2)
            assert (apart < 1e-9).sum(axis=1).tolist() == [1] * len(points), (number, position.letter)


def test_primitive_images_come_first_and_differ_by_more_than_centring():
    generator = np.random.default_rng(8)
    for number in (5, 15, 38, 70, 139, 166, 225, 227):
        group = space_group(number)
        for position in group.positions.values():
            count = position.multiplicity // group.n_centring
            points = images(position, generator.random(position.dof))[:count]
            shifted = points[:, None, None] + group.centring[None, :, None] - points[None, None]
            same = (distance_to_integers(shifted).max(axis=3) < 1e-9).any(axis=1)
            assert same.sum() == count


def test_solver_finds_the_free_coordinates_of_the_first_image():
    generator = np.random.default_rng(9)
    for number in ALL_GROUPS:
        for position in wyckoff_positions(number).values():
            free = generator.random(position.dof)
            solved = position.solver @ (images(position, free)[0] - position.translations[0])
            assert distance_to_integers(solved[list(position.free_axes)] - free).max(initial=0.0) < 1e-9


@pytest.mark.parametrize("number", range(1, 231, 3))
def test_spglib_names_the_letters_of_the_table(number):
    group = space_group(number)
    generator = np.random.default_rng(number)
    kinds, points, letters = [], [], []
    for position in group.positions.values():
        for _ in range(3 if position.dof else 1):
            block = images(position, generator.random(position.dof)) - group.spglib_shift
            points.append(block)
            kinds.extend([len(points)] * len(block))
            letters.extend([position.letter] * len(block))
    lattice = lattice_matrix(constrain(number, (7.1, 8.3, 9.7, 81.0, 97.0, 103.0)))
    dataset = spglib.get_symmetry_dataset((lattice, np.concatenate(points), kinds), symprec=1e-5)
    assert dataset.number == number
    images_of = {tuple(p.letters.values()) for p in group.normalizer}
    names = dict(zip(letters, dataset.wyckoffs, strict=True))
    assert tuple(names[letter] for letter in group.positions) in images_of


def test_unknown_letter_names_those_that_exist():
    with pytest.raises(RepresentationError, match=r"space group 225 \(Fm-3m\) has no Wyckoff letter 'q'.*abcdefghijkl"):
        space_group(225).position("q")


def test_diamond_origin_is_choice_two():
    assert wyckoff_positions(227)["a"].translations[0].tolist() == [0.125, 0.125, 0.125]
