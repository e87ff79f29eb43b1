import math

import pytest

from genmat.errors import InputError
from genmat.generation import NEUTRAL, Draw, ProposalWeights
from genmat.generation.draw import random_stream
from genmat.representation.conversion import to_structure
from tests.generation.textbook import context, rock_salt


def test_weights_survive_a_round_trip() -> None:
    weights = ProposalWeights(elements={"O": 0.5, "Fe": -1.0}, templates={"225:A.a,B.b": 2.0})
    assert ProposalWeights.from_dict(weights.to_dict()) == weights
    assert ProposalWeights.from_dict({}) == NEUTRAL


def test_only_zeros_are_neutral() -> None:
    assert NEUTRAL.is_neutral
    assert ProposalWeights(elements={"O": 0.0}).is_neutral
    assert not ProposalWeights(templates={"225:A.a,B.b": 0.1}).is_neutral


def test_a_weight_must_be_finite() -> None:
    with pytest.raises(InputError, match=r"'O'.*inf"):
        ProposalWeights(elements={"O": math.inf})


def test_an_unknown_kind_of_weight_is_refused() -> None:
    with pytest.raises(InputError, match="'pairs'"):
        ProposalWeights.from_dict({"pairs": {}})


def test_a_draw_is_a_crystal_or_a_failure() -> None:
    crystal = rock_salt("Na", "Cl")
    structure = to_structure(crystal)
    assert Draw(0, crystal, structure, 1.0, {}, None).failure is None
    assert Draw.failed(1, "nothing fits").crystal is None
    with pytest.raises(ValueError, match="draw 2"):
        Draw(2, crystal, structure, 1.0, {}, "but why")
    with pytest.raises(ValueError, match="draw 3"):
        Draw(3, None, None, 1.0, {}, None)


def test_streams_differ_by_everything_that_causes_a_draw() -> None:
    def first(**changes: object) -> float:
        configuration_id, index = changes.pop("configuration_id", "c"), changes.pop("index", 0)
        return random_stream(context(**changes), configuration_id=configuration_id, index=index).random()

    others = [first(), first(seed=8), first(campaign="b"), first(round=1), first(configuration_id="d"), first(index=1)]
    assert len(set(others)) == len(others)
    assert first() == others[0]


def test_weights_do_not_select_the_stream() -> None:
    weighted = context(weights=ProposalWeights(elements={"O": 1.0}))
    left, right = (random_stream(c, configuration_id="c", index=0).random() for c in (context(), weighted))
    assert left == right
