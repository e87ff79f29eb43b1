"""The properties phase: what an engine computes of confirmed candidates, and what becomes of them."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from genmat.campaign.computed import ComputedProperty
from genmat.campaign.io import parse_campaign
from genmat.database.documents import CampaignState, PropertyDocument, VerdictRecord
from genmat.database.store import connect
from genmat.database.story import tell
from genmat.models.potentials import get_potential
from genmat.screening.verdict import Reason, Stage
from genmat.settings import Settings
from genmat.validation.engine import Failure
from genmat.validation.vasp import Vasp
from tests.cluster.cheap_engine import CheapEngine, CheapModulus
from tests.validation.conftest import crystal
from workflows.accounting import core_hours
from workflows.advance import advance
from workflows.chunk import PROPERTIES, SELECT, SELECT_PROPERTIES, VALIDATE
from workflows.computation import stored_computation
from workflows.properties import measure, open_properties
from workflows.report import campaign_report
from workflows.run import run_campaign

from .conftest import Place, outcome, put_on_target

if TYPE_CHECKING:
    from collections.abc import Iterator

CAMPAIGN = """
name: moduli
target: {properties: [{name: bulk_modulus, unit: GPa, min: 20}]}
validate: {engine: vasp, top: 4, hull_tolerance: 1.0, max_core_hours: 2.0}
learn: {rounds: 1}
"""
MODULI = {"NaCl": 24.5, "KCl": 17.0, "LiF": None, "MgO": 150.0}
"""What the engine finds, GPa; without a value it fails. The last one does not fit the budget."""


class Insulating(CheapEngine):
    """An engine with a gap and a property."""

    name = "vasp"
    properties = {"elastic": CheapModulus(MODULI)}  # noqa: RUF012

    def run(self, structure, *, folder, max_seconds):
        return replace(super().run(structure, folder=folder, max_seconds=max_seconds), band_gap=self.gap)

    gap = 4.0


def start(store, *, text: str = CAMPAIGN):
    """Store a campaign whose four accepted candidates are next to be validated."""
    campaign = parse_campaign(text, source="test")
    pairs = {"NaCl": 5.64, "KCl": 6.3, "LiF": 4.03, "MgO": 4.21}
    crystals = {
        f"{name}-relaxed": crystal("Fm-3m", a, [name[: -len(end)], end], [[0, 0, 0], [0.5, 0.5, 0.5]])
        for (name, a), end in zip(pairs.items(), ("Cl", "Cl", "F", "O"), strict=True)
    }
    names = put_on_target(store, campaign, crystals)
    ranked = VerdictRecord(stage=Stage.RANK, passed=True, reason="ok")
    for place, (name, structure) in enumerate(zip(names, crystals.values(), strict=True), start=1):
        known = {"chemsys": structure.chemical_system, "formula_pretty": structure.composition.reduced_formula}
        moved = {"status": "accepted", "rank": place, "energy_above_hull": 0.01, "properties": {"bulk_modulus": 30.0}}
        verdicts = [*store.candidates.require(name).verdicts, ranked]
        store.candidates.set_fields({name: {**known, **moved, "verdicts": verdicts}})
    (state,) = store.campaigns.require(campaign.name).rounds
    ssun = {"proportions": {"ssun_after": {"successes": 4, "total": 4}}}
    store.campaigns.set_round(campaign.name, state.model_copy(update={"phase": VALIDATE, "ssun": ssun}))
    return campaign


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Iterator:
    """Return the store of a campaign that was computed to its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genmat.validation.registry.get_engine", lambda _: Insulating())
        with Place(tmp_path_factory.mktemp("moduli")).open() as store:
            run_campaign(store, start(store).name, workers=2)
            yield store


def verdict_of(store, formula: str) -> VerdictRecord | None:
    found = store.candidates.require(f"{formula}-relaxed-draw").verdicts
    return next((v for v in found if v.stage == Stage.PROPERTIES), None)


def test_confirmed_candidate_on_target_stays_with_the_numbers_of_engine_and_screening(measured):
    verdict = verdict_of(measured, "NaCl")
    assert verdict.passed
    assert verdict.detail == "bulk_modulus_vrh 24.5 GPa by dft:none:cheap, bulk_modulus 30 GPa by the screening"
    assert (verdict.values["bulk_modulus_vrh"], verdict.values["bulk_modulus_screening"]) == (24.5, 30.0)
    candidate = measured.candidates.require("NaCl-relaxed-draw")
    assert (candidate.status, candidate.rank) == ("accepted", 1)


def test_value_is_a_document_of_the_engines_structure_with_unit_fidelity_and_activity(measured):
    structure_id = str(verdict_of(measured, "NaCl").values["structure_id"])
    assert measured.structures.require(structure_id).parents == ["NaCl-relaxed"]
    (value,) = measured.properties.find({"structure_id": structure_id, "name": "bulk_modulus_vrh"})
    assert (value.value, value.unit, value.fidelity) == (24.5, "GPa", "dft:none:cheap")
    activity = measured.provenance.require(str(value.activity_id))
    assert (activity.stage, activity.used, activity.counts) == ("property_elastic", [structure_id], {"ok": 1})
    assert activity.parameters["core_hours"] > 0


def test_story_of_a_candidate_names_what_first_principles_made_of_it(measured):
    story = tell(measured, "NaCl-relaxed-draw")
    assert [structure["role"] for structure in story["structures"]] == ["relaxed", "computed"]
    (value,) = [value for value in story["properties"] if value["name"] == "bulk_modulus_vrh"]
    assert (value["fidelity"], value["activity_stage"]) == ("dft:none:cheap", "property_elastic")


def test_candidate_off_target_by_first_principles_falls_with_both_numbers(measured):
    verdict = verdict_of(measured, "KCl")
    assert verdict.reason == Reason.OFF_TARGET
    assert verdict.detail == ("bulk_modulus 17 GPa (asked: at least 20) by dft:none:cheap, 30 GPa by the screening")
    candidate = measured.candidates.require("KCl-relaxed-draw")
    assert (candidate.status, candidate.rank) == ("rejected", None)


def test_calculation_that_fails_leaves_the_candidate_accepted_with_the_reason(measured):
    verdict = verdict_of(measured, "LiF")
    assert (verdict.reason, verdict.detail) == (Reason.PROPERTY_FAILED, "elastic: crashed: no such modulus")
    candidate = measured.candidates.require("LiF-relaxed-draw")
    assert (candidate.status, candidate.rank) == ("accepted", 3)


def test_property_beyond_the_budget_is_passed_over_with_its_cost(measured):
    assert verdict_of(measured, "MgO") is None
    (selection,) = measured.provenance.find({"stage": SELECT_PROPERTIES})
    (reason,) = selection.parameters["passed_over"].values()
    assert reason.startswith("elastic: 0.5 core hours expected, 0.4")
    assert selection.parameters["expected_core_hours"] == 1.5


def test_core_hours_of_all_calculations_stand_beside_what_was_expected(measured):
    cost = core_hours(measured, "moduli")
    ended = measured.provenance.find({"stage": {"$in": ["compete", "validate", "property_elastic"]}})
    assert cost.done == cost.planned == len(ended) > 7  # four candidates, what they compete with, three moduli
    assert cost.spent == pytest.approx(sum(activity.parameters["core_hours"] for activity in ended))
    (chosen,) = measured.provenance.find({"stage": SELECT})
    assert cost.expected == pytest.approx(chosen.parameters["expected_core_hours"] + 1.5)
    assert min(cost.spent, chosen.parameters["expected_core_hours"]) > 0
    assert core_hours(measured, "another") is None


def test_report_holds_cost_residuals_and_bounds_of_the_whole_campaign(measured):
    candidates = list(measured.candidates.iterate({"campaign": "moduli"}))
    report = campaign_report(measured, measured.campaigns.require("moduli"), candidates, [])
    assert report.cost == core_hours(measured, "moduli")
    assert report.calibration.scale == Insulating.scale
    verdicts = [v for candidate in candidates for v in candidate.verdicts if v.stage == Stage.VALIDATE]
    residuals = sorted(verdict.values["energy_above_hull_residual"] for verdict in verdicts)
    assert report.calibration.residuals == tuple(residuals) != ()
    assert (report.geometry.number, report.geometry.volume_change) == (4, None)


def test_properties_do_not_change_what_validation_stored(measured):
    computed = stored_computation(measured, "NaCl-relaxed", Insulating())
    assert "bulk_modulus_vrh" not in computed.values
    assert computed.values["band_gap"] == 4.0


def test_campaign_with_properties_run_twice_changes_nothing(measured):
    before = outcome(measured, "moduli")
    (state,) = measured.campaigns.require("moduli").rounds
    assert (state.phase, state.counts["confirmed"], state.counts["measured"]) == ("done", 4, 3)
    run_campaign(measured, "moduli")
    assert advance(measured, "moduli") == []
    assert outcome(measured, "moduli") == before


def test_selection_that_was_cut_before_its_end_chooses_the_same(measured):
    (selection,) = measured.provenance.find({"stage": SELECT_PROPERTIES})
    campaign = parse_campaign(CAMPAIGN, source="test")
    (state,) = measured.campaigns.require("moduli").rounds
    measured.provenance._backend.delete("provenance", [selection.id])
    # The calculations are planned already, by this process or by another one that does the same.
    open_properties(measured, campaign, campaign.validation, state)
    (again,) = measured.provenance.find({"stage": SELECT_PROPERTIES})
    assert (again.id, again.parameters, again.counts) == (selection.id, selection.parameters, selection.counts)
    assert measured.provenance.count({"stage": "property_elastic"}) == 3


def test_phase_that_was_cut_while_it_closed_closes_once_more_to_the_same(measured):
    before = outcome(measured, "moduli")
    (state,) = measured.campaigns.require("moduli").rounds
    counts = {name: count for name, count in state.counts.items() if name != "measured"}
    update = {"phase": PROPERTIES, "counts": counts, "finished_at": None}
    measured.campaigns.set_round("moduli", state.model_copy(update=update), expected_phase="done")
    measured.campaigns.set_state("moduli", CampaignState.RUNNING)
    assert advance(measured, "moduli") == []
    assert outcome(measured, "moduli") == before


def test_metal_is_not_asked_for_what_only_insulators_have(tmp_path, monkeypatch):
    engine = Insulating()
    engine.gap = 0.0
    monkeypatch.setattr("genmat.validation.registry.get_engine", lambda _: engine)
    with Place(tmp_path).open() as store:
        run_campaign(store, start(store, text=CAMPAIGN.replace("top: 4", "top: 1")).name)
        (selection,) = store.provenance.find({"stage": SELECT_PROPERTIES})
        assert set(selection.parameters["passed_over"].values()) == {"elastic: the crystal is a metal"}
        assert store.campaigns.require("moduli").state == "finished"


class Labelled(Insulating):
    """The same on the scale of the labels of the Materials Project."""

    scale = Vasp().scale


def test_energies_that_mean_the_same_have_a_residual_and_others_none(tmp_path, monkeypatch):
    monkeypatch.setattr("genmat.validation.registry.get_engine", lambda _: Labelled())
    scales = {"NaCl": get_potential("chgnet-0.3.0").scale, "KCl": get_potential("chgnet-r2scan").scale}
    with connect(Settings.load(data_folder=tmp_path / "memory", mongod="/bin/false")) as store:
        campaign = start(store, text=CAMPAIGN.replace("top: 4,", "top: 2, properties: [],"))
        for formula, scale in scales.items():
            of = store.structures.require(f"{formula}-relaxed")
            energy = PropertyDocument(
                id=f"energy-{formula}", structure_id=of.id, name="energy_per_atom", value=-3.0, unit="eV/atom",
                fidelity="mlip", method=scale.engine, energy_scale=scale.to_dict(),
            )  # fmt: skip
            store.properties.insert_if_absent([energy])
        run_campaign(store, campaign.name)
        salt, other = (store.candidates.require(f"{name}-relaxed-draw").verdicts[-1].values for name in scales)
    assert salt["energy_per_atom_residual"] == pytest.approx(salt["energy_per_atom"] + 3.0)
    assert "energy_above_hull_residual" in other
    assert "energy_per_atom_residual" not in other


def test_folder_of_raw_files_without_room_is_the_reason_of_each_calculation_and_the_campaign_goes_on(
    measured, tmp_path, monkeypatch
):
    def no_room(_folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    kept = tmp_path / "raw"
    monkeypatch.setattr("workflows.rawfiles._is_made", no_room)
    monkeypatch.setattr("genmat.validation.registry.get_engine", lambda _: Insulating())
    monkeypatch.setenv("GENMAT_DFT_FOLDER", str(kept))
    with connect(Settings.load(data_folder=tmp_path / "memory", mongod="/bin/false")) as store:
        run_campaign(store, start(store).name)
        verdict = store.candidates.require("NaCl-relaxed-draw").verdicts[-1]
        assert (verdict.reason, store.campaigns.require("moduli").state) == (Reason.VALIDATION_FAILED, "finished")
        assert re.fullmatch(
            f"disk_full: raw files .* in {kept}/[0-9a-f]*: No space left on device; .*GENMAT_DFT_FOLDER", verdict.detail
        )
    structure_id = str(verdict_of(measured, "LiF").values["structure_id"])
    name = ComputedProperty.ELASTIC
    failed = measure(measured, Insulating(), name, structure_id, max_seconds=10, keep=kept)
    assert (failed.failure, failed.core_hours) == (Failure.DISK_FULL, 0.0)
