"""Tests of a proposed crystal by one evaluation: against a small hull of invented energies."""

from __future__ import annotations

import math

import pytest
from pymatgen.core.composition import Composition

from genmat.campaign.screen import StaticGates
from genmat.energy import EnergyScale
from genmat.errors import EnergyScaleError
from genmat.ids import stable_id
from genmat.reference.entries import HullEntries
from genmat.reference.hull import Hull
from genmat.screening.static import StaticPoint, check_static, gate_outcomes, is_audited
from genmat.screening.verdict import Reason, Stage, Verdict

SCALE = EnergyScale("chgnet-0.3.0", "PBE", "MP", "PBE", "MP2020")
LI2O2 = Composition("Li2O2")
GATES = StaticGates(energy_above_hull=1.0, fmax=10.0, volume_ratio=1.5)


@pytest.fixture(scope="module")
def hull() -> Hull:
    compositions = [Composition(formula) for formula in ("Li", "O2", "Li2O")]
    return Hull(HullEntries.from_compositions(["li", "o", "li2o"], compositions, [-2.0, -5.0, -5.0]), scale=SCALE)


def judge(hull, *, energy=-4.9, fmax=1.0, volume=10.0, composition=LI2O2, scale=SCALE, gates=GATES, audited=False):
    point = StaticPoint(energy, fmax, volume, expected_volume=10.0)
    return check_static(composition, point, gates=gates, hull=hull, scale=scale, audited=audited)


def test_a_plausible_proposal_passes_with_its_numbers(hull):
    verdict = judge(hull)
    assert verdict.passed
    assert verdict.stage is Stage.STATIC
    assert verdict.values["static_energy_above_hull"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ({"energy": -3.9}, Reason.STATIC_ENERGY),
        ({"fmax": 11.0}, Reason.STATIC_FORCE),
        ({"volume": 16.0}, Reason.UNEXPECTED_VOLUME),
        ({"volume": 6.0}, Reason.UNEXPECTED_VOLUME),
    ],
)
def test_each_test_rejects_what_lies_beyond_its_threshold(hull, numbers, reason):
    assert judge(hull, **numbers).reason is reason


def test_a_test_without_threshold_is_left_out(hull):
    gates = StaticGates(energy_above_hull=None)
    assert judge(hull, energy=9.0, fmax=1e3, volume=90.0, gates=gates).passed


def test_an_energy_that_has_no_hull_or_is_not_finite_is_left_to_later_stages(hull):
    assert judge(hull, composition=Composition("NaO")).passed
    assert judge(hull, energy=math.nan).passed


def test_an_energy_of_another_scale_raises(hull):
    with pytest.raises(EnergyScaleError, match="one energy scale"):
        judge(hull, scale=EnergyScale("mace", "PBE", "MP", "PBE", "none"))


def test_an_audited_candidate_passes_and_says_what_would_have_dropped_it(hull):
    verdict = judge(hull, energy=-3.0, audited=True)
    assert verdict.passed
    assert verdict.values["would_fall"] == "static_energy"


def test_the_audit_slice_depends_on_the_id_alone_and_has_the_asked_size():
    names = [stable_id("candidate", number) for number in range(4000)]
    slice_ = {name for name in names if is_audited(name, fraction=0.1)}
    assert slice_ == {name for name in reversed(names) if is_audited(name, fraction=0.1)}
    assert len(slice_) == pytest.approx(400, abs=80)
    assert not any(is_audited(name, fraction=0.0) for name in names)
    assert all(is_audited(name, fraction=1.0) for name in names)


def test_the_false_reject_rate_is_that_of_the_sample():
    def verdicts(*, audited, stable):
        static = (
            Verdict.accept(Stage.STATIC, would_fall="static_energy")
            if audited
            else Verdict.reject(Stage.STATIC, Reason.STATIC_ENERGY, "")
        )
        if not audited:
            return {Stage.STATIC: static}
        end = Verdict.accept(Stage.STABILITY) if stable else Verdict.reject(Stage.STABILITY, Reason.ABOVE_HULL, "")
        return {Stage.STATIC: static, Stage.RELAX: Verdict.accept(Stage.RELAX, n_steps=30), Stage.STABILITY: end}

    plain = {Stage.STATIC: Verdict.accept(Stage.STATIC), Stage.RELAX: Verdict.accept(Stage.RELAX)}
    sample = [
        verdicts(audited=True, stable=True),
        *[verdicts(audited=True, stable=False)] * 3,
        *[verdicts(audited=False, stable=False)] * 40,
        plain,
        {},
    ]
    (found,) = gate_outcomes(sample)
    assert (found.saved, found.audited, found.stable, found.mean_steps) == (40, 4, 1, 30)
    assert found.false_reject_rate == 0.25
    low, high = found.interval
    assert low < 0.25 < high
