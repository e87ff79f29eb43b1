"""S.S.U.N.: fractions over all draws, with intervals and bounds."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from scipy.stats import binomtest

from genmat.screening.ssun import (
    Audit,
    DrawOutcome,
    SsunDefinition,
    engine_ssun,
    engine_ssun_words,
    outcome_from_verdicts,
    ssun,
    wilson_interval,
)
from genmat.screening.verdict import Reason, Stage, Verdict

DEFINITION = SsunDefinition(
    hull_tolerance=0.08,
    hull="chgnet",
    potential="chgnet-0.3.0",
    potential_sha256="0" * 64,
    relaxation="FIRE",
    reference_id="ref",
    snapshot_id="snap",
    matcher="StructureMatcher",
    symprec=0.01,
)
NAMES = ("valid", "symmetric_before", "symmetric_after", "stable", "unique", "novel")
GOOD = DrawOutcome(**dict.fromkeys(NAMES, True))
REFUSED = Verdict.reject


@pytest.mark.parametrize(("successes", "total"), [(0, 10), (1, 10), (28, 100), (100, 100), (37, 1000)])
def test_interval_is_that_of_wilson(successes, total):
    expected = binomtest(successes, total).proportion_ci(0.95, method="wilson")
    assert wilson_interval(successes, total) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_interval_without_draws_is_everything():
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_more_successes_than_draws_are_refused():
    with pytest.raises(ValueError, match="from 0 to 3"):
        wilson_interval(4, 3)


def test_denominator_is_all_draws():
    failed = DrawOutcome(valid=False, symmetric_before=False, symmetric_after=False, stable=False)
    report = ssun([GOOD, failed, failed, failed], definition=DEFINITION)
    assert report.proportions["ssun_after"].fraction == 0.25
    assert report.proportions["ssun_after"].upper_bound == 0.25
    assert report.proportions["valid"].total == 4


def test_undecided_draws_count_as_failures_and_raise_the_upper_bound():
    waiting = DrawOutcome(valid=True, symmetric_before=True, novel=None)
    report = ssun([GOOD, waiting], definition=DEFINITION)
    assert report.proportions["sun"].fraction == 0.5
    assert report.proportions["sun"].upper_bound == 1.0


def test_lost_symmetry_separates_before_from_after():
    lost = replace(GOOD, symmetric_after=False)
    report = ssun([lost, GOOD], definition=DEFINITION)
    assert report.proportions["ssun_before"].fraction == 1.0
    assert report.proportions["ssun_after"].fraction == 0.5
    assert report.proportions["sun"].fraction == 1.0


def test_no_subset_is_larger_than_its_parts():
    outcomes = [GOOD, *(replace(GOOD, **{name: False}) for name in NAMES)]
    proportions = ssun(outcomes, definition=DEFINITION).proportions
    assert proportions["ssun_after"].successes <= proportions["sun"].successes
    assert proportions["sun"].successes <= min(proportions[name].successes for name in ("stable", "unique", "novel"))


def test_report_is_json_with_all_definitions():
    stored = json.loads(json.dumps(ssun([GOOD], definition=DEFINITION).to_dict()))
    assert stored["definition"]["hull_tolerance"] == 0.08
    assert stored["definition"]["denominator"] == "all draws"
    assert stored["proportions"]["sun"]["fraction"] == 1.0


def test_a_full_pass_is_a_success_everywhere():
    passed = [
        Verdict.accept(stage)
        for stage in (
            Stage.VALIDITY,
            Stage.NOVELTY,
            Stage.UNIQUENESS,
            Stage.RELAX,
            Stage.STABILITY,
            Stage.NOVELTY_RELAXED,
            Stage.UNIQUENESS_RELAXED,
        )
    ]
    assert outcome_from_verdicts(passed, number_before=225, number_after=225) == GOOD


def test_a_failed_draw_is_nothing():
    verdicts = [REFUSED(Stage.GENERATE, Reason.GENERATOR_FAILED, "no template")]
    outcome = outcome_from_verdicts(verdicts, number_before=None, number_after=None)
    assert outcome.valid is False
    assert outcome.stable is False
    assert outcome.symmetric_after is False


def test_an_unrelaxed_draw_is_undecided():
    verdicts = [
        Verdict.accept(Stage.VALIDITY),
        Verdict.accept(Stage.NOVELTY),
        REFUSED(Stage.SELECTION, Reason.NOT_SELECTED, "others were better"),
    ]
    outcome = outcome_from_verdicts(verdicts, number_before=62, number_after=None)
    assert outcome == DrawOutcome(valid=True, symmetric_before=True)


def test_a_relaxation_that_failed_is_not_stable():
    verdicts = [Verdict.accept(Stage.VALIDITY), REFUSED(Stage.RELAX, Reason.NOT_CONVERGED, "300 steps")]
    outcome = outcome_from_verdicts(verdicts, number_before=62, number_after=None)
    assert outcome.stable is False
    assert outcome.symmetric_after is False


def test_a_crystal_known_after_relaxation_is_not_novel():
    verdicts = [
        Verdict.accept(Stage.NOVELTY),
        Verdict.accept(Stage.STABILITY),
        REFUSED(Stage.NOVELTY_RELAXED, Reason.KNOWN_AFTER_RELAXATION, "mp-1"),
    ]
    outcome = outcome_from_verdicts(verdicts, number_before=62, number_after=1)
    assert outcome.novel is False
    assert outcome.stable is True
    assert outcome.symmetric_after is False


def test_a_duplicate_is_not_unique_and_otherwise_open():
    verdicts = [
        Verdict.accept(Stage.VALIDITY),
        Verdict.accept(Stage.NOVELTY),
        REFUSED(Stage.UNIQUENESS, Reason.DUPLICATE, "a"),
    ]
    outcome = outcome_from_verdicts(verdicts, number_before=62, number_after=None)
    assert outcome.unique is False
    assert outcome.stable is None


def test_an_engine_that_confirms_all_of_an_audit_agrees_with_the_potential():
    found = engine_ssun(30, 100, Audit(confirmed=9))
    assert (found.fraction, found.high) == pytest.approx((0.3, 0.3))
    assert found.low == pytest.approx(0.3 * wilson_interval(9, 9)[0])


def test_an_engine_that_refutes_half_of_an_audit_halves_the_share():
    found = engine_ssun(30, 100, Audit(confirmed=4, refuted=4))
    assert found.fraction == pytest.approx(0.15)
    assert 0 < found.low < 0.15 < found.high < 0.3


def test_failed_calculations_widen_the_interval_and_leave_the_estimate():
    plain, failed = engine_ssun(30, 100, Audit(4, 4)), engine_ssun(30, 100, Audit(4, 4, failed=3))
    assert failed.fraction == plain.fraction
    assert failed.low < plain.low < plain.high < failed.high


@pytest.mark.parametrize("audit", [Audit(), Audit(failed=2)])
def test_without_a_result_nothing_but_the_share_of_the_potential_bounds_it(audit):
    found = engine_ssun(30, 100, audit)
    assert found.fraction is None
    assert found.low == 0.0
    assert found.high == pytest.approx(0.3)
    words = engine_ssun_words({**found.to_dict(), "engine": "gpaw"})
    assert words == f"by gpaw 0.0 to 30.0 %: {'no audit came to a result' if audit.total else 'there was no audit'}"
