"""Residuals calibrate the scale that they come from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from genmat.energy import EnergyScale
from genmat.errors import InputError
from genmat.validation.calibration import FEWEST, GeometryBounds, calibrate, geometry_bounds
from genmat.validation.summary import Deviation

SCALE = EnergyScale("gpaw-25.7", "PBE", "none", "gpaw-data PBE", "none")


def test_residuals_of_another_scale_and_missing_numbers_take_no_part():
    other = replace(SCALE, functional="r2SCAN")
    found = calibrate([(0.03, SCALE), (9.0, other), (0.01, SCALE), (float("nan"), SCALE)], scale=SCALE)
    assert found.residuals == (0.01, 0.03)


def test_few_residuals_shift_nothing():
    assert calibrate([(0.05, SCALE)] * (FEWEST - 1), scale=SCALE).shift == 0.0
    assert calibrate([(0.05, SCALE)] * FEWEST, scale=SCALE).shift == 0.05


def test_too_few_residuals_suggest_no_tolerance():
    assert calibrate([(0.0, SCALE)] * 8, scale=SCALE).tolerance(0.1) is None
    assert calibrate([(0.02, SCALE)] * 9, scale=SCALE).tolerance(0.1) == pytest.approx(0.08)


def test_suggested_tolerance_keeps_the_share_that_it_promises():
    rng = np.random.default_rng(0)
    kept = []
    for _ in range(400):
        *known, new = rng.normal(0.02, 0.03, 20)
        tolerance = calibrate([(r, SCALE) for r in known], scale=SCALE).tolerance(0.1, coverage=0.8)
        kept.append(0.1 - new <= tolerance)  # a crystal that the engine finds exactly at its limit
    assert np.mean(kept) == pytest.approx(0.8, abs=0.06)


def test_coverage_outside_of_its_range_is_refused():
    with pytest.raises(InputError, match="expected a share between 0 and 1"):
        calibrate([], scale=SCALE).tolerance(0.1, coverage=1.0)


def test_geometry_is_bounded_by_deviations_of_all_engines_together():
    deviations = [Deviation(("Li", "O"), volume_change=-0.01 * n, rmsd=0.001 * n) for n in range(1, 20)]
    bounds = geometry_bounds(deviations)
    assert (bounds.number, bounds.volume_change, bounds.rmsd) == pytest.approx((19, 0.18, 0.018))


def test_nine_in_ten_later_geometries_keep_the_bound():
    rng = np.random.default_rng(3)
    kept = []
    for _ in range(400):
        *seen, later = rng.normal(0.02, 0.02, size=20)
        bound = geometry_bounds(Deviation(("Li",), volume_change=v) for v in seen).volume_change
        kept.append(abs(later) <= bound)
    assert 0.87 < np.mean(kept) < 0.98


def test_few_geometries_bound_nothing():
    assert geometry_bounds([Deviation(("Li",), volume_change=0.01)] * 8).volume_change is None
    assert geometry_bounds([]) == GeometryBounds(0, None, None)
