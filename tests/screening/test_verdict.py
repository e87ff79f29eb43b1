"""Verdicts: consistent, and equal after a round trip."""

from __future__ import annotations

import json

import pytest

from genmat.screening.verdict import Reason, Stage, Verdict


def test_verdict_survives_json():
    verdict = Verdict.reject(Stage.STABILITY, Reason.ABOVE_HULL, "0.2 eV/atom", energy_above_hull=0.2, competing="NaCl")
    assert Verdict.from_dict(json.loads(json.dumps(verdict.to_dict()))) == verdict


@pytest.mark.parametrize(("passed", "reason"), [(True, Reason.KNOWN), (False, Reason.OK)])
def test_reason_and_outcome_cannot_contradict(passed, reason):
    with pytest.raises(ValueError, match="expected 'ok' exactly if passed"):
        Verdict(Stage.NOVELTY, passed=passed, reason=reason)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_words(reason):
    assert reason.text


def test_stages_are_ordered_from_generation_to_rank():
    assert Stage.GENERATE.order == 0
    assert Stage.RELAX.order < Stage.STABILITY.order < Stage.RANK.order
