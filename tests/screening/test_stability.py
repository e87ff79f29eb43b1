"""Stability verdicts: against a small hull of invented energies."""

from __future__ import annotations

import pytest
from pymatgen.core.composition import Composition

from genmat.energy import EnergyScale
from genmat.errors import EnergyScaleError
from genmat.reference.coverage import LabelCoverage
from genmat.reference.entries import HullEntries
from genmat.reference.hull import Hull
from genmat.screening.stability import check_stability
from genmat.screening.verdict import Reason

SCALE = EnergyScale("chgnet-0.3.0", "PBE", "MP", "PBE", "MP2020")
LI2O2 = Composition("Li2O2")


@pytest.fixture(scope="module")
def hull() -> Hull:
    compositions = [Composition(formula) for formula in ("Li", "O2", "Li2O")]
    return Hull(HullEntries.from_compositions(["li", "o", "li2o"], compositions, [-2.0, -5.0, -5.0]), scale=SCALE)


def judge(hull: Hull, composition: Composition, energy: float, *, tolerance: float = 0.08, scale: EnergyScale = SCALE):
    return check_stability(composition, energy, hull=hull, scale=scale, tolerance=tolerance)


def test_a_crystal_within_the_tolerance_passes(hull):
    verdict = judge(hull, LI2O2, -4.95)
    assert verdict.passed
    assert verdict.values["energy_above_hull"] == pytest.approx(0.05)
    assert verdict.values["formation_energy_per_atom"] == pytest.approx(-4.95 + 3.5)


def test_a_crystal_above_the_tolerance_falls_with_what_it_competes_with(hull):
    verdict = judge(hull, LI2O2, -4.8)
    assert verdict.reason is Reason.ABOVE_HULL
    assert verdict.values["competing_phases"] == "0.750 Li2O (li2o) + 0.250 O2 (o)"
    assert "0.200 eV/atom above the hull, tolerance 0.08" in verdict.detail


def test_the_tolerance_itself_is_stable(hull):
    assert judge(hull, Composition("Li"), -1.875, tolerance=0.125).passed


def test_a_crystal_below_the_hull_passes(hull):
    verdict = judge(hull, LI2O2, -5.2)
    assert verdict.passed
    assert "0.200 eV/atom below the hull" in verdict.detail


def test_an_implausibly_low_energy_falls(hull):
    assert judge(hull, LI2O2, -15.0).reason is Reason.IMPLAUSIBLE_ENERGY


def test_an_element_without_reference_is_a_verdict_not_an_error(hull):
    verdict = judge(hull, Composition("NaO"), -4.0)
    assert verdict.reason is Reason.MISSING_REFERENCE
    assert "Na" in verdict.detail


def test_energies_of_another_scale_raise(hull):
    other = EnergyScale("mace-mpa-0", "PBE", "MP", "PBE", "none")
    with pytest.raises(EnergyScaleError, match="one energy scale"):
        judge(hull, LI2O2, -4.9, scale=other)


def test_a_compound_that_competes_with_elements_alone_has_no_reference(hull):
    compositions = [Composition(formula) for formula in ("Li", "O2", "Li2O", "Na")]
    wider = Hull(
        HullEntries.from_compositions(["li", "o", "li2o", "na"], compositions, [-2.0, -5.0, -5.0, -1.3]), scale=SCALE
    )
    verdict = judge(wider, Composition("NaO"), -4.0)
    assert verdict.reason is Reason.MISSING_REFERENCE
    assert verdict.values["energy_above_hull"] == pytest.approx(verdict.values["formation_energy_per_atom"])
    assert "knows no compound that competes with" in verdict.detail


def test_a_bare_hull_may_be_allowed(hull):
    compositions = [Composition(formula) for formula in ("Na", "O2")]
    bare = Hull(HullEntries.from_compositions(["na", "o"], compositions, [-1.3, -5.0]), scale=SCALE)
    verdict = check_stability(Composition("NaO"), -4.0, hull=bare, scale=SCALE, tolerance=0.08, covered_hull=False)
    assert verdict.passed


def test_an_element_competes_with_itself_and_needs_no_compound(hull):
    assert judge(hull, Composition("O2"), -5.0).passed


@pytest.fixture(scope="module")
def labelled(hull):
    """Return a hull of labels that lacks lithium oxide, and what it covers of the other."""
    entries = HullEntries.from_compositions(
        ["li", "o", "li3o"], map(Composition, ("Li", "O2", "Li3O")), [-2.0, -5.0, -4.0]
    )
    labels = Hull(entries, scale=EnergyScale("vasp", "PBE", "MP", "PBE", "MP2020"))
    return labels, LabelCoverage(hull, frozenset({"Li", "O2", "Li3O"}), n_vertices=3, n_labelled=2)


@pytest.mark.parametrize(("covered", "reason"), [(True, Reason.MISSING_REFERENCE), (False, Reason.OK)])
def test_a_competing_phase_without_label_makes_the_dft_hull_say_nothing(labelled, covered, reason):
    labels, coverage = labelled
    verdict = check_stability(
        LI2O2, -4.7, hull=labels, scale=labels.scale, tolerance=0.08, coverage=coverage, covered_hull=covered
    )
    assert verdict.reason is reason
    assert verdict.values["hull"] == "dft"
    assert ("the DFT hull has no energy of Li2O" in verdict.detail) is covered


def test_the_verdict_names_the_hull(hull):
    assert judge(hull, LI2O2, -4.95).values["hull"] == "own"
    coverage = LabelCoverage(hull, frozenset({"Li", "O2", "Li2O"}), n_vertices=3, n_labelled=3)
    verdict = check_stability(LI2O2, -4.95, hull=hull, scale=SCALE, tolerance=0.08, coverage=coverage)
    assert "0.050 eV/atom above the DFT hull" in verdict.detail
    assert str(coverage) == "labels for 100 % of the 3 phases on the reference's own hull"
