from __future__ import annotations

import pytest

from genmat.report import ReportedCandidate, RoundRecord, StageVerdict
from genmat.report.outcome import (
    Rate,
    RoundSummary,
    compare_rounds,
    difference_interval,
    element_outcomes,
    funnel,
    reasons,
    space_group_counts,
    summaries,
)


def summary(number: int, successes: int, total: int) -> RoundSummary:
    rate = Rate(successes, total)
    return RoundSummary(number, rate, rate, rate, rate, 0.1)


def test_funnel_begins_with_every_draw_and_ends_with_the_accepted(report):
    steps = funnel(report)
    assert steps[0].total == len(report.candidates)
    assert steps[-1].total == len(report.accepted)


def test_funnel_never_widens(report):
    for place in range(len(report.rounds)):
        counts = [step.by_round[place] for step in funnel(report)]
        assert counts == sorted(counts, reverse=True)


def test_every_draw_is_accepted_or_fell_for_one_reason(report):
    fell = sum(row.total for row in reasons(report))
    assert fell + len(report.accepted) == len(report.candidates)


def test_reasons_follow_the_stages(report):
    stages = list(dict.fromkeys(row.stage for row in reasons(report)))
    assert stages == ["generate", "validity", "novelty", "uniqueness", "selection", "relax", "stability", "target"]


def test_summaries_add_up_to_the_campaign(report):
    assert sum(entry.accepted_of_draws.successes for entry in summaries(report)) == len(report.accepted)
    assert sum(entry.accepted_of_draws.total for entry in summaries(report)) == len(report.candidates)


def test_element_outcomes_count_each_relaxed_candidate_once_an_element(report):
    counted = sum(outcome.accepted for outcome in element_outcomes(report).values())
    assert counted == sum(len(candidate.elements) for candidate in report.accepted)


def test_space_groups_are_compared_for_converged_candidates_only(report):
    drawn, after, kept = space_group_counts(report)
    assert drawn.total() == after.total() == funnel(report)[6].total
    assert 0 < kept < drawn.total()


def test_difference_interval_agrees_with_newcombe():
    # Newcombe (1998), table II, example (a): 56/70 against 48/80 has the interval 0.0524 to 0.3339 by method 10.
    low, high = difference_interval(Rate(48, 80), Rate(56, 70))
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ((5, 50), (30, 50), "Round 2 did better"),
        ((30, 50), (5, 50), "Round 2 did worse"),
        ((5, 50), (8, 50), "Round 2 looks better, but chance can explain it"),
        ((8, 50), (5, 50), "Round 2 looks worse, but chance can explain it"),
        ((5, 50), (5, 50), "Round 2 did as well as the first"),
    ],
)
def test_comparison_claims_no_more_than_its_interval(first, second, words):
    assert compare_rounds([summary(0, *first), summary(1, *second)]).startswith(words)


def test_one_round_is_compared_with_nothing():
    assert "nothing can be compared" in compare_rounds([summary(0, 3, 10)])


def test_a_round_without_relaxations_is_compared_with_nothing():
    assert "nothing can be compared" in compare_rounds([summary(0, 3, 10), summary(1, 0, 0)])


def test_an_unknown_stage_comes_last(report):
    strange = ReportedCandidate("x", 0, 0, (StageVerdict("dft", passed=False, reason="scf_failed"),))
    changed = type(report)(
        campaign=report.campaign,
        state="running",
        code_version="9",
        created_at=report.created_at,
        rounds=(RoundRecord(0),),
        candidates=(strange, *[c for c in report.candidates if c.round == 0]),
    )
    assert reasons(changed)[-1].reason == "scf_failed"
