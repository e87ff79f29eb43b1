"""The validation phase with a real, coarse GPAW: competitors computed once, verdicts beside the potential's."""

from __future__ import annotations

import pytest

from genmat.campaign import Campaign
from genmat.campaign.io import parse_campaign
from genmat.campaign.schema import Validation
from genmat.errors import EngineError
from genmat.ids import stable_id
from genmat.screening.verdict import Reason, Stage
from genmat.validation.engine import Failure, Outcome
from genmat.validation.gpaw import Gpaw, GpawSettings
from tests.validation.conftest import rocksalt
from workflows import validate
from workflows.accounting import core_hours_left
from workflows.advance import advance
from workflows.calibration import geometry_deviations, residuals
from workflows.chunk import SELECT, plan_activity
from workflows.computation import competing_ids, compute, known_competitors, stored_computation
from workflows.run import create_campaign, run_campaign
from workflows.validate import validate_structures

from .conftest import Place, outcome

CAMPAIGN = """
name: {name}
target:
  chemistry: {{elements: [Li, Na, H], required: [H]}}
  n_atoms: {{min: 2, max: 4}}
generate: {{n: 20, seed: 2}}
screen: {{max_relaxed: 4, hull_tolerance: 0.3, relax: {{fmax: 0.1, smax: 2}}}}
validate: {{engine: gpaw, top: 1, hull_tolerance: 0.3, max_core_hours: 0.3}}
learn: {{rounds: 1}}
resources: {{workers: 1}}
"""
COARSE = GpawSettings(ecut=400.0, relax_density=0.8, static_density=0.8, fmax=1.0, smax=10.0)
"""Not converged, but seconds: what is tested here are ids, caches and verdicts."""


class Watched(Gpaw):
    """The engine, counting what it computes."""

    calls: list[str]

    def run(self, structure, *, folder, max_seconds):
        type(self).calls.append(structure.composition.reduced_formula)
        return super().run(structure, folder=folder, max_seconds=max_seconds)


class Failing(Gpaw):
    """The engine on a day when every calculation runs out of time."""

    def run(self, structure, *, folder, max_seconds):
        return Outcome(Failure.WALLTIME, f"stopped after {max_seconds:.0f} s", wall_seconds=max_seconds)


@pytest.fixture(scope="module")
def coarse(gpaw):
    """Return a coarse engine."""
    Watched.calls = []
    return Watched(COARSE)


@pytest.fixture(scope="module")
def finished(coarse, tmp_path_factory):
    """Return a campaign that was validated, its store still open."""
    patch = pytest.MonkeyPatch()
    patch.setattr("genmat.validation.registry.get_engine", lambda _: coarse)
    with Place(tmp_path_factory.mktemp("validated")).open() as store:
        campaign = parse_campaign(CAMPAIGN.format(name="validated"), source="test")
        create_campaign(store, campaign)
        run_campaign(store, campaign.name, workers=1)
        yield store
    patch.undo()


def judged(store):
    found = store.candidates.iterate({"campaign": "validated", "verdicts.stage": Stage.VALIDATE.value})
    return [(c, next(v for v in c.verdicts if v.stage == Stage.VALIDATE)) for c in found]


@pytest.mark.dft
@pytest.mark.timeout(900)
def test_best_candidate_gets_a_verdict_with_the_numbers_of_both_methods(finished):
    ((candidate, verdict),) = judged(finished)
    assert candidate.nsites <= 4
    assert verdict.values["chosen_as"] == "best"
    assert verdict.values["energy_above_hull_potential"] == candidate.energy_above_hull
    residual = verdict.values["energy_above_hull"] - candidate.energy_above_hull
    assert verdict.values["energy_above_hull_residual"] == pytest.approx(residual)
    assert verdict.values["space_group_kept"] in {"yes", "no"}
    assert verdict.passed == (verdict.values["energy_above_hull"] <= 0.3)
    if verdict.passed:
        assert (candidate.status, candidate.reason) == ("accepted", "ok")
    else:
        assert (candidate.status, candidate.rank) == ("rejected", None)


@pytest.mark.dft
@pytest.mark.timeout(900)
def test_values_are_documents_at_the_fidelity_of_the_engine(finished, coarse):
    ((candidate, verdict),) = judged(finished)
    structure = finished.structures.require(verdict.values["structure_id"])
    assert structure.parents == [candidate.relaxed_structure_id]
    values = {p.name: p for p in finished.properties.find({"structure_id": structure.id})}
    assert {p.fidelity for p in values.values()} == {"dft:pbe:gpaw"}
    assert values["energy_above_hull"].energy_scale == coarse.scale.to_dict()
    assert values["band_gap"].unit == "eV"
    activity = finished.provenance.require(values["energy_per_atom"].activity_id)
    assert (activity.stage, activity.used) == ("validate", [candidate.relaxed_structure_id])
    assert activity.parameters["core_hours"] > 0


@pytest.mark.dft
@pytest.mark.timeout(900)
def test_competing_phases_are_computed_once_for_every_later_campaign(finished, coarse):
    ((_, verdict),) = judged(finished)
    structure = finished.structures.require(verdict.values["structure_id"]).to_structure()
    needed = competing_ids(structure.composition)
    assert set(known_competitors(finished, coarse, needed)) == set(needed)
    activities = finished.provenance.find({"stage": {"$in": ["compete", "validate"]}})
    assert len(Watched.calls) == len(activities)
    before = len(Watched.calls)
    found = validate_structures(finished, coarse, {"again": structure}, max_seconds=300)["again"]
    assert len(Watched.calls) == before + 1  # the crystal itself, from its other start; no competitor
    assert found.energy_above_hull == pytest.approx(verdict.values["energy_above_hull"], abs=0.02)


@pytest.mark.dft
@pytest.mark.timeout(900)
def test_residuals_of_earlier_rounds_come_with_the_scale_of_their_engine(finished, coarse):
    ((_, verdict),) = judged(finished)
    assert residuals(finished, "validated", before=0) == []
    assert residuals(finished, "validated", before=1) == [(verdict.values["energy_above_hull_residual"], coarse.scale)]
    (selection,) = finished.provenance.find({"campaign": "validated", "stage": "select_validation"})
    nothing_known = {"number": 0, "volume_change": None, "rmsd": None}
    none = {"residuals": 0, "shift": 0.0, "suggested_hull_tolerance": None, "geometry": nothing_known}
    assert selection.parameters["calibration"] == none


@pytest.mark.dft
@pytest.mark.timeout(900)
def test_geometry_deviations_serve_every_campaign_with_the_same_potential(finished):
    ((_, verdict),) = judged(finished)
    (deviation,) = geometry_deviations(finished, "chgnet-0.3.0")
    assert deviation.volume_change == verdict.values["volume_change_from_start"]
    assert geometry_deviations(finished, "chgnet-0.2.0") == []


def test_round_may_cost_what_earlier_rounds_left_of_the_total(tmp_path):
    asked = Validation(max_core_hours=2.0, max_core_hours_total=3.0)
    with Place(tmp_path).open() as store:
        for number, cost in enumerate([1.5, 1.0, 0.75]):
            planned = plan_activity("costs", number, SELECT, [], parameters={"expected_core_hours": cost})
            store.provenance.insert_if_absent([planned])
        left = [core_hours_left(store, "costs", asked, before=number) for number in range(4)]
        assert left == [2.0, 1.5, 0.5, 0.0]
        assert core_hours_left(store, "costs", Validation(), before=3) is None


@pytest.mark.dft
@pytest.mark.timeout(900)
def test_validated_campaign_run_twice_changes_nothing(finished):
    before = outcome(finished, "validated")
    calls = len(Watched.calls)
    run_campaign(finished, "validated")
    assert advance(finished, "validated") == []
    assert outcome(finished, "validated") == before
    assert len(Watched.calls) == calls
    state = finished.campaigns.require("validated").rounds[0]
    assert state.counts["validated"] == 1
    assert state.ssun["validation"]["audit_of_round"] == {}


@pytest.mark.dft
@pytest.mark.timeout(900)
def test_calculation_that_fails_leaves_the_candidate_accepted_with_the_reason(coarse, tmp_path, monkeypatch):
    monkeypatch.setattr("genmat.validation.registry.get_engine", lambda _: Failing(COARSE))
    with Place(tmp_path).open() as store:
        audited = CAMPAIGN.replace("top: 1", "top: 1, audit: 1").format(name="validated")
        campaign = parse_campaign(audited, source="test")
        create_campaign(store, campaign)
        run_campaign(store, campaign.name, workers=1)
        (candidate, verdict), *_ = judged(store)
        found = store.campaigns.require("validated").rounds[0].ssun["validation"]
        assert found["audit"] == {"confirmed": 0, "refuted": 0, "failed": 1}
        assert found["fraction"] is None
        assert (verdict.passed, verdict.reason) == (False, Reason.VALIDATION_FAILED)
        assert verdict.detail.startswith("walltime: stopped after 86400 s")
        assert candidate.status == "accepted"
        assert candidate.rank is not None
        assert store.properties.count({"fidelity": "dft:pbe:gpaw"}) == 0


def test_large_cell_beyond_the_budget_is_passed_over_with_the_reason(coarse, tmp_path):
    with Place(tmp_path).open() as store:
        large = rocksalt() * (5, 5, 4)
        found = validate_structures(store, coarse, {"large": large}, max_seconds=1)["large"]
    assert found.competing == "200 atoms in the cell, at most 24 are computed by gpaw"
    assert found.computed.failure == "refused"


def test_failure_is_never_stored_as_a_result(tmp_path):
    with Place(tmp_path).open() as store:
        engine = Failing(COARSE)
        parent = stable_id("test", "salt")
        computed = compute(store, engine, parent, rocksalt(), max_seconds=5)
        assert (computed.failure, computed.detail) == ("walltime", "stopped after 5 s")
        assert stored_computation(store, parent, engine) is None
        assert store.structures.count() == 0


def test_interruption_ends_what_runs_side_by_side_and_is_no_outcome(tmp_path):
    import os
    import time

    from genmat.validation.process import run_group

    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()

    def work(folder):
        if folder.name == "b":
            while not (folders[0] / "pid").is_file():
                time.sleep(0.01)
            raise KeyboardInterrupt
        command = ["sh", "-c", "echo $$ > pid; exec sleep 300"]
        return run_group(command, folder=folder, max_seconds=300, environment=os.environ, log="log")

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(validate.side_by_side(work, folders, workers=2))
    assert time.monotonic() - started < 30


class Absent(Gpaw):
    """The engine on a machine where its program is not installed."""

    def _describe(self):
        return Gpaw(python="/no/such/python")._describe()


def test_campaign_whose_engine_is_absent_is_refused_unless_it_is_optional(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("genmat.validation.registry.get_engine", lambda _: Absent())
    campaign = parse_campaign(CAMPAIGN.format(name="alone"), source="test")
    with Place(tmp_path / "store").open() as store:
        with pytest.raises(EngineError, match="gpaw cannot be asked"):
            create_campaign(store, campaign)
        data = campaign.to_dict()
        data["validate"]["optional"] = True
        data["generate"]["n"], data["screen"]["max_relaxed"] = 15, 3
        create_campaign(store, Campaign.from_dict(data, source="test"))
        assert "the campaign goes on without validation" in caplog.text
        assert run_campaign(store, "alone", workers=1).state == "finished"
        accepted = list(store.candidates.iterate({"campaign": "alone", "status": "accepted"}))
        (selection,) = store.provenance.find({"campaign": "alone", "stage": SELECT})
        assert set(selection.parameters["passed_over"]) == {candidate.id for candidate in accepted} != set()
        assert all(candidate.rank is not None for candidate in accepted)
        assert all(candidate.verdicts[-1].stage == Stage.RANK for candidate in accepted)
