"""Uniqueness: the first draw of a crystal counts, whatever the order in which draws are looked at."""

from __future__ import annotations

from itertools import permutations

import pytest

from genmat.screening.identity import Evidence, describe
from genmat.screening.uniqueness import Candidate, check_uniqueness, find_duplicates
from genmat.screening.verdict import Reason, Stage

from .conftest import CRYSTALS, gene_of


def candidate(identifier: str, name: str, *, order: tuple[int, int], volume: float = 1.0) -> Candidate:
    structure = CRYSTALS[name].copy()
    structure.scale_lattice(volume * structure.volume)
    return Candidate(identifier, order, describe(structure, gene=gene_of(structure)))


@pytest.fixture(scope="module")
def draws() -> list[Candidate]:
    return [
        candidate("z-first", "rock-salt", order=(0, 0)),
        candidate("a-later", "rock-salt", order=(0, 7), volume=1.06),
        candidate("b-next-round", "rock-salt", order=(1, 0), volume=0.96),
        candidate("c-other", "caesium-chloride", order=(0, 3)),
        candidate("d-quartz", "quartz", order=(0, 4)),
    ]


def test_the_lowest_round_and_index_is_the_one_that_counts(draws):
    found = find_duplicates(draws)
    assert found["z-first"] is None
    assert found["a-later"].id == found["b-next-round"].id == "z-first"
    assert found["a-later"].evidence is Evidence.MATCHER


def test_different_crystals_are_all_unique(draws):
    found = find_duplicates(draws)
    assert found["c-other"] is None
    assert found["d-quartz"] is None


def test_the_order_of_the_input_does_not_matter(draws):
    expected = find_duplicates(draws)
    assert all(find_duplicates(order) == expected for order in permutations(draws))


def test_a_duplicate_is_told_with_the_candidate_that_it_repeats(draws):
    verdict = check_uniqueness(draws[1], find_duplicates(draws)["a-later"])
    assert verdict.reason is Reason.DUPLICATE
    assert verdict.values["duplicate_of"] == "z-first"


def test_after_relaxation_the_reason_says_so(draws):
    verdict = check_uniqueness(draws[1], find_duplicates(draws)["a-later"], stage=Stage.UNIQUENESS_RELAXED)
    assert verdict.reason is Reason.DUPLICATE_AFTER_RELAXATION


def test_the_first_of_its_kind_passes(draws):
    assert check_uniqueness(draws[0], None).passed


def test_no_draws_have_no_duplicates():
    assert find_duplicates([]) == {}
