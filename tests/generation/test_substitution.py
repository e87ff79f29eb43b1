import numpy as np
import pytest

from genmat.generation.library import template_library
from genmat.generation.substitution import compatibility, replaceability
from genmat.reference.entries import ATOMIC_NUMBERS as Z
from genmat.reference.table import Reference

VOLUMES = np.full(119, 15.0)


def test_elements_seen_in_each_others_place_are_similar() -> None:
    contexts = [(0, (Z[a], Z[x])) for a in ("Na", "K") for x in ("F", "Cl", "Br", "I")]
    odds = replaceability([*contexts, (1, (Z["Fe"], Z["S"])), (1, (Z["Ni"], Z["S"]))], volumes=VOLUMES)
    assert odds[Z["Na"], Z["K"]] > 0.5
    assert odds[Z["F"], Z["Cl"]] > 0.0
    assert odds[Z["Na"], Z["Ni"]] < odds[Z["Fe"], Z["Ni"]]


def test_odds_are_symmetric_with_a_zero_diagonal(textbook: Reference) -> None:
    library = template_library(textbook)
    for odds in (library.similarity, library.compatibility):
        assert (odds == odds.T).all()
        assert not np.diag(odds).any()
        assert np.isfinite(odds).all()


def test_the_order_of_crystals_does_not_matter() -> None:
    given = [(0, (Z[a], Z[x])) for a in ("Na", "K", "Rb") for x in ("F", "Cl", "Br")]
    assert (replaceability(given, volumes=VOLUMES) == replaceability(given[::-1], volumes=VOLUMES)).all()


def test_unlike_elements_without_data_are_unlikely_to_replace_each_other(textbook: Reference) -> None:
    similarity = template_library(textbook).similarity
    assert similarity[Z["Na"], Z["Te"]] < 0.0 < similarity[Z["Na"], Z["K"]]


def test_elements_of_many_common_compounds_get_along() -> None:
    odds = compatibility([(Z["Na"], Z["Cl"])] * 5 + [(Z["Fe"], Z["Al"])] * 5)
    assert odds[Z["Na"], Z["Cl"]] > 0.0 > odds[Z["Na"], Z["Al"]]


def test_compounds_of_many_elements_say_nothing_about_pairs() -> None:
    assert not compatibility([tuple(range(1, 6))]).any()


def test_nothing_known_gives_no_odds() -> None:
    assert replaceability([], volumes=VOLUMES) == pytest.approx(np.zeros((119, 119)))
