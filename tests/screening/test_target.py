"""Target verdicts: properties computed from a structure, judged against a campaign's target."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.campaign.chemistry import Chemistry
from genmat.campaign.properties import PROPERTY_KINDS, Direction, PropertyName, PropertyTarget
from genmat.campaign.symmetry import Symmetry
from genmat.campaign.target import Target
from genmat.models.property import PROPERTIES
from genmat.representation import from_structure
from genmat.screening.prediction import PREDICTED, Prediction, predict_properties
from genmat.screening.target import check_target, evaluate_properties
from genmat.screening.verdict import Reason

SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
).get_primitive_structure()


def spring(structures):
    """Return energies, eV, of a crystal whose bulk modulus is about 24 GPa."""
    v0 = SALT.volume
    return [0.5 * 24.0 / 160.2 * (s.volume - v0) ** 2 / v0 for s in structures]


def evaluate(**options):
    return evaluate_properties(SALT, energy_above_hull=0.01, formation_energy_per_atom=-2.1, **options)


def judge(target: Target, evaluation=None, *, number: int = 225):
    return check_target(evaluation or evaluate(), target=target, structure=SALT, space_group_number=number)


def test_volume_and_density_come_from_the_structure():
    values = evaluate().values
    assert values[PropertyName.VOLUME_PER_ATOM] == pytest.approx(5.64**3 / 8)
    assert values[PropertyName.DENSITY] == pytest.approx(2.16, abs=0.02)
    assert PropertyName.BULK_MODULUS not in values


def test_bulk_modulus_is_computed_only_if_needed():
    evaluation = evaluate(needed=[PropertyName.BULK_MODULUS], energies=spring)
    assert evaluation.values[PropertyName.BULK_MODULUS] == pytest.approx(24.0, rel=0.02)
    assert evaluate(energies=lambda _: pytest.fail("was computed")).values


def test_on_target_passes_with_its_merit():
    target = Target(properties=(PropertyTarget(name="density", min=2.0, max=2.4),))
    verdict = judge(target)
    assert verdict.passed
    assert 0.0 < verdict.values["merit"] <= 1.0
    assert "density 2.1" in verdict.detail


def test_off_target_tells_number_and_range():
    target = Target(properties=(PropertyTarget(name="density", min=5.0),))
    verdict = judge(target)
    assert verdict.reason is Reason.OFF_TARGET
    assert "density 2.1" in verdict.detail
    assert "at least 5" in verdict.detail
    assert verdict.values["density"] == pytest.approx(2.16, abs=0.02)


def test_a_space_group_that_was_not_asked_for_is_off_target():
    target = Target(symmetry=Symmetry(space_groups=(225,)))
    assert judge(target).passed
    assert "space group 1 is not among" in judge(target, number=1).detail


def test_a_composition_that_was_not_asked_for_is_off_target():
    target = Target(chemistry=Chemistry(excluded=("Cl",)))
    assert "NaCl is outside the target chemistry" in judge(target).detail


def test_a_failed_equation_of_state_is_its_own_reason():
    target = Target(properties=(PropertyTarget(name="bulk_modulus", min=10.0),))
    evaluation = evaluate(needed=target.needed_properties, energies=lambda cells: np.arange(len(cells), dtype=float))
    verdict = judge(target, evaluation)
    assert verdict.reason is Reason.PROPERTY_FAILED
    assert "no energy minimum" in verdict.detail


def test_a_missing_potential_is_told():
    target = Target(properties=(PropertyTarget(name="bulk_modulus", min=10.0),))
    assert "no potential" in judge(target, evaluate(needed=target.needed_properties)).detail


def test_a_direction_alone_never_rejects():
    target = Target(properties=(PropertyTarget(name="density", direction=Direction.MAXIMIZE),))
    assert judge(target).passed


def test_a_predicted_property_falls_with_its_interval_in_the_detail():
    target = Target(properties=(PropertyTarget(name="band_gap", min=6.0),))
    gap = Prediction(value=5.0, standard_deviation=0.5, low=4.2, high=5.8, model_sha256="ab" * 32)
    evaluation = evaluate(needed=target.needed_properties, predictions={PropertyName.BAND_GAP: gap})
    verdict = judge(target, evaluation)
    assert verdict.reason is Reason.OFF_TARGET
    assert "band_gap 5 eV (asked: at least 6), 90 % interval 4.2 to 5.8 eV" in verdict.detail
    assert (verdict.values["band_gap_low"], verdict.values["band_gap_high"]) == (4.2, 5.8)


def test_a_property_that_no_head_can_predict_has_failed():
    target = Target(properties=(PropertyTarget(name="debye_temperature", min=6.0),))
    assert judge(target, evaluate(needed=target.needed_properties)).reason is Reason.PROPERTY_FAILED
    evaluation = evaluate(needed=target.needed_properties, predictions={PropertyName.DEBYE_TEMPERATURE: "too many"})
    assert "debye_temperature: too many" in judge(target, evaluation).detail


def test_the_shipped_heads_predict_salt_as_an_insulator_in_every_unit_that_a_target_has():
    found = predict_properties(from_structure(SALT), PREDICTED)
    assert set(found) == PREDICTED
    gap = found[PropertyName.BAND_GAP]
    assert isinstance(gap, Prediction)
    assert gap.low <= 5.0 <= gap.high  # PBE
    assert gap.low < gap.value < gap.high
    assert {name: PROPERTY_KINDS[name].unit for name in PREDICTED} == {
        name: PROPERTIES[name.value].unit for name in PREDICTED
    }
