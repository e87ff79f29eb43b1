"""Conformal intervals of the distance to the hull: on residuals of a known distribution, and on the shipped ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pymatgen.core.composition import Composition

from genmat.energy import EnergyScale
from genmat.errors import InputError
from genmat.reference.entries import HullEntries
from genmat.reference.hull import Hull
from genmat.screening.stability import check_stability
from genmat.screening.uncertainty import (
    CONFIDENCES,
    MIN_AUDIT,
    Calibration,
    ChemistryClass,
    HullInterval,
    Residual,
    audited_calibration,
    band,
    chemistry_class,
    shipped_calibration,
)

SCALE = EnergyScale("chgnet-0.3.0", "PBE", "MP", "PBE", "MP2020")
OXIDE, SALT = Composition("MgO"), Composition("NaCl")


def residuals(composition: Composition, spread: float, number: int, *, seed: int) -> list[Residual]:
    """Return residuals with a skewed error, far enough above the hull that nothing is cut off."""
    random = np.random.default_rng(seed)
    return [
        Residual(composition, 1.0, 1.0 + error) for error in (spread * (random.gamma(2.0, size=number) - 1.5)).tolist()
    ]


def calibrate(found: list[Residual]) -> Calibration:
    return Calibration.from_residuals(found, scale=SCALE, population="invented")


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_an_interval_holds_as_many_further_labels_as_it_says_in_each_class(confidence):
    known = residuals(OXIDE, 0.01, 2000, seed=0) + residuals(SALT, 0.1, 2000, seed=1)
    calibration = calibrate(known)
    for composition, spread in ((OXIDE, 0.01), (SALT, 0.1)):
        interval = calibration.interval(composition, 1.0, confidence=confidence)
        further = [item.label for item in residuals(composition, spread, 4000, seed=2)]
        covered = np.mean([interval.low <= label <= interval.high for label in further])
        assert covered == pytest.approx(confidence, abs=0.03)


def test_on_the_hull_only_the_upper_end_can_fail_and_coverage_is_not_wasted():
    random = np.random.default_rng(3)
    labels = random.exponential(0.02, 6000).tolist()
    calibration = calibrate([Residual(OXIDE, -0.01, label) for label in labels[:2000]])
    interval = calibration.interval(OXIDE, -0.03)
    assert interval.low == 0.0
    covered = np.mean([label <= interval.high for label in labels[2000:]])
    assert covered == pytest.approx(0.9, abs=0.03)


def test_the_order_of_residuals_does_not_matter():
    known = residuals(OXIDE, 0.05, 300, seed=0)
    assert calibrate(known) == calibrate(known[::-1])


def test_a_small_category_borrows_from_all_classes():
    known = residuals(OXIDE, 0.01, 500, seed=0) + residuals(SALT, 0.1, 10, seed=1)
    assert calibrate(known).interval(SALT, 1.0).n == 510


def test_too_few_residuals_have_no_upper_end():
    interval = calibrate(residuals(OXIDE, 0.01, 5, seed=0)).interval(OXIDE, 1.0)
    assert (interval.low, interval.high) == (0.0, math.inf)
    assert interval.to_dict()["energy_above_hull_high"] == "inf"


def test_no_residuals_are_refused():
    with pytest.raises(InputError, match="no residuals"):
        calibrate([])


def test_a_confidence_that_is_not_kept_is_refused_with_those_that_are():
    with pytest.raises(InputError, match=r"expected one of 0\.5, 0\.68"):
        calibrate(residuals(OXIDE, 0.01, 50, seed=0)).interval(OXIDE, 0.0, confidence=0.99)


def test_a_calibration_survives_being_written():
    calibration = calibrate([Residual(OXIDE, 0.25, round(0.25 + 0.001 * k, 3)) for k in range(60)])
    again = Calibration.from_dict(calibration.to_dict())
    assert again.interval(OXIDE, 0.3) == calibration.interval(OXIDE, 0.3)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("LiFePO4", ChemistryClass.CORRELATED),
        ("CrF3", ChemistryClass.CORRELATED),
        ("FeS2", ChemistryClass.CHALCOGENIDE),
        ("MgO", ChemistryClass.OXIDE),
        ("NaCl", ChemistryClass.HALIDE),
        ("Ni3Al", ChemistryClass.INTERMETALLIC),
        ("GaN", ChemistryClass.OTHER),
    ],
)
def test_a_composition_belongs_to_one_class(formula, expected):
    assert chemistry_class(Composition(formula)) is expected


def test_bands_begin_at_their_lower_end():
    assert [band(x) for x in (-1.0, 0.0, 0.01, 0.02, 0.1, 0.2, 9.0)] == [0, 0, 1, 2, 3, 4, 4]


def test_an_interval_straddles_a_tolerance_that_lies_inside():
    interval = HullInterval(0.05, 0.11, 0.9, 100, "invented", is_calibrated=True)
    assert interval.straddles(0.08)
    assert not interval.straddles(0.04)
    assert not interval.straddles(0.11)


def test_the_shipped_calibration_holds_for_its_own_scale_alone():
    calibration = shipped_calibration(SCALE)
    assert calibration is not None
    interval = calibration.interval(OXIDE, 0.03)
    assert 0.0 <= interval.low < 0.03 < interval.high < 0.3
    assert shipped_calibration(EnergyScale("chgnet-r2scan", "R2SCAN", "none", "PBE_54", "none")) is None
    assert shipped_calibration(EnergyScale("chgnet-0.2.0", "PBE", "MP", "PBE", "MP2020")) is None


def test_a_small_audit_calibrates_nothing():
    audit = residuals(OXIDE, 0.01, MIN_AUDIT, seed=0)
    assert audited_calibration(audit[1:], scale=SCALE, campaign="small") is None
    calibration = audited_calibration(audit, scale=SCALE, campaign="small")
    assert calibration is not None
    assert math.isfinite(calibration.interval(SALT, 1.0).high)


def test_a_verdict_of_stability_carries_its_interval_and_says_that_it_is_uncalibrated():
    compositions = [Composition(formula) for formula in ("Li", "O2", "Li2O")]
    hull = Hull(HullEntries.from_compositions(["li", "o", "li2o"], compositions, [-2.0, -5.0, -5.0]), scale=SCALE)
    calibration = calibrate([Residual(OXIDE, 0.05, 0.05 + 0.001 * k) for k in range(-49, 50)])

    def judge(**options):
        return check_stability(Composition("Li2O2"), -4.95, hull=hull, scale=SCALE, tolerance=0.08, **options)

    verdict = judge(calibration=calibration)
    assert verdict.passed == judge().passed
    assert verdict.values["interval_status"] == "uncalibrated"
    assert verdict.values["straddles_tolerance"] == "yes"
    assert "90 % interval" in verdict.detail
    assert judge(calibration=calibration, is_calibrated=True).values["interval_status"] == "calibrated"
    assert "interval_status" not in judge().values
