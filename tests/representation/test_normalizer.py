"""Affine normalisers: the packaged permutations really come from automorphisms of the group."""

from __future__ import annotations

import numpy as np
import pytest

from genmat.errors import RepresentationError
from genmat.representation.affine import Affine, parse_affine
from genmat.representation.build_tables import ENANTIOMORPHS
from genmat.representation.io import read_wyckoff_table
from genmat.representation.normalizer import (
    ExactGroup,
    ExactPosition,
    candidate_matrices,
    enantiomorph_letter_map,
    normalizer_letter_maps,
)
from genmat.representation.wyckoff import space_group


def exact_group(number):
    """Return the exact group of the packaged table."""
    table = read_wyckoff_table()
    entry = table["groups"][number - 1]
    return ExactGroup(
        space_group(number).crystal_system,
        tuple(parse_affine(text) for text in entry["operations"]),
        np.array([parse_affine(text).shift for text in table["centrings"][entry["symbol"][0]]]),
        tuple(ExactPosition(letter, parse_affine(first)) for letter, _, first in entry["positions"]),
    )


@pytest.mark.parametrize("number", range(1, 231, 7))
def test_normalizer_elements_conjugate_the_group_into_itself(number):
    group = space_group(number)
    own = {rotation.tobytes(): shift for rotation, shift in zip(group.rotations, group.shifts, strict=True)}
    for element in group.normalizer[:50]:
        inverse = np.rint(np.linalg.inv(element.matrix)).astype(int)
        for rotation, shift in zip(group.rotations, group.shifts, strict=True):
            rotated = element.matrix @ rotation @ inverse
            moved = element.matrix @ shift + element.shift - rotated @ element.shift
            excess = moved - own[rotated.tobytes()] - group.centring
            assert (np.abs(excess - np.rint(excess)).max(axis=1) < 1e-9).any()


@pytest.mark.parametrize("number", range(1, 231, 7))
def test_normalizer_permutes_letters_of_equal_multiplicity_and_freedom(number):
    group = space_group(number)
    for element in group.normalizer:
        assert sorted(element.letters.values()) == sorted(group.positions)
        for letter, image in element.letters.items():
            here, there = group.positions[letter], group.positions[image]
            assert (here.multiplicity, here.dof) == (there.multiplicity, there.dof)


@pytest.mark.parametrize("number", [2, 10, 47, 123, 166, 216, 221])
def test_letter_permutations_form_a_group(number):
    maps = {tuple(p.letters.values()) for p in space_group(number).normalizer}
    letters = list(space_group(number).positions)
    some = sorted(maps)[:: max(1, len(maps) // 20)]
    assert {tuple(b[letters.index(x)] for x in a) for a in some for b in some} <= maps


@pytest.mark.parametrize(
    ("number", "count"), [(1, 1), (2, 1344), (16, 48), (47, 48), (62, 2), (139, 2), (216, 8), (221, 2), (230, 1)]
)
def test_number_of_letter_permutations_is_known(number, count):
    assert len(space_group(number).normalizer) == count


@pytest.mark.parametrize("number", [62, 225])
def test_packaged_permutations_are_those_computed_afresh(number):
    computed = {element.letters for element in normalizer_letter_maps(exact_group(number))}
    assert {tuple(p.letters.values()) for p in space_group(number).normalizer} == computed


def test_every_enantiomorph_of_higher_number_points_to_the_lower():
    pairs = {n: space_group(n).enantiomorph[0] for n in range(1, 231) if space_group(n).enantiomorph is not None}
    assert pairs == ENANTIOMORPHS


def test_groups_that_are_no_mirror_images_are_refused():
    with pytest.raises(RepresentationError, match="no enantiomorphic pair"):
        enantiomorph_letter_map(exact_group(75), exact_group(76))


def test_unknown_crystal_system_is_refused():
    with pytest.raises(RepresentationError, match="quasicrystal"):
        candidate_matrices("quasicrystal")


def test_exact_maps_with_equal_effect_have_equal_keys():
    identity = np.eye(3, dtype=np.int64)
    assert Affine(identity, np.array([25, 0, 0])).modulo().key == Affine(identity, np.array([1, 0, 0])).key
