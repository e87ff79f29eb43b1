"""Validation through the queue: first-principles jobs land on CPU nodes, several to an allocation."""

from __future__ import annotations

import logging
import random
import time
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta

import pytest
from cluster_jobs import growing_job

from genmat.campaign.io import parse_campaign
from genmat.database.documents import CampaignState
from genmat.database.store import connect
from genmat.screening.verdict import Reason
from genmat.screening.verdict import Stage as Funnel
from genmat.settings import Settings
from workflows.chunk import COMPETE, PRESCREEN, PROPERTIES, VALIDATE
from workflows.dispatch.retries import RetryPolicy, retry_campaign, treat_failures
from workflows.dispatch.stages import Stage
from workflows.dispatch.worker import WorkerOptions, work
from workflows.reconcile import Patience, reconcile
from workflows.run import create_campaign, run_campaign
from workflows.submission import submit_campaign

from .cheap_engine import CheapEngine, CheapModulus
from .conftest import outcome
from .queueing import enqueue

logger = logging.getLogger(__name__)
pytestmark = pytest.mark.mongo
CAMPAIGN = """
name: validated
target:
  properties:
    - {name: energy_above_hull, unit: eV/atom, max: 0.5}
  chemistry: {elements: [Li, Na, K, Ca, Cl], required: [Cl], n_elements: {min: 2, max: 2}}
  n_atoms: {min: 2, max: 3}
generate: {n: 5, seed: 3, oversample: 4}
screen: {max_relaxed: 2, hull_tolerance: 0.5, relax: {fmax: 0.3, smax: 5}}
validate: {engine: gpaw, top: 2, hull_tolerance: 1}
learn: {rounds: 1}
resources: {generate_chunk: 5, screen_chunk: 2, workers: 1}
"""
THERE = (Stage.GPU, Stage.CONTROL)


@pytest.fixture
def engine(monkeypatch) -> CheapEngine:
    made = CheapEngine()
    monkeypatch.setattr("genmat.validation.registry.get_engine", lambda _: made)
    return made


def do(store, *stages: Stage, **options) -> int:
    return work(store, WorkerOptions(stages=stages, cores=1, idle=0, **options))


def queue_of(store, name: str) -> dict[tuple[str, str], int]:
    """Count jobs by category and state."""
    found: dict[tuple[str, str], int] = {}
    for entry in store.launchpad().fireworks.find({"spec.genmat.campaign": name}):
        key = (entry["spec"]["_category"], entry["state"])
        found[key] = found.get(key, 0) + 1
    return found


@pytest.mark.timeout(600)
def test_a_validated_campaign_goes_through_the_queue(store, engine, reference, tmp_path):
    submit_campaign(store, parse_campaign(CAMPAIGN, source="test"))
    while do(store, *THERE):
        pass
    # Workers of other stages have nothing left; all that waits is for CPU nodes.
    planned = sum(store.provenance.count({"stage": stage}) for stage in (COMPETE, VALIDATE))
    assert planned > 2
    assert queue_of(store, "validated")["cpu", "READY"] == planned
    assert engine.workers == []
    # One worker, as in one allocation, does several; what a second one finds is the rest.
    assert do(store, Stage.CPU, max_jobs=2) == 2
    assert do(store, Stage.CPU) == planned - 2
    assert len(engine.workers) == planned
    assert store.campaigns.require("validated").rounds[-1].phase == VALIDATE
    do(store, Stage.CONTROL)
    document = store.campaigns.require("validated")
    assert document.state is CampaignState.FINISHED
    assert document.rounds[-1].counts["validated"] >= 1
    assert {state for _, state in queue_of(store, "validated")} == {"COMPLETED"}
    with connect(Settings(data_folder=tmp_path / "alone", mongod_idle=1.0)) as alone:
        create_campaign(alone, parse_campaign(CAMPAIGN, source="test"))
        run_campaign(alone, "validated", workers=1)
        assert outcome(alone, "validated") == outcome(store, "validated")


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.timeout(1800)
def test_workers_killed_in_validate_change_no_result(place, store, engine, reference, kills):
    submit_campaign(store, parse_campaign(CAMPAIGN, source="test"))
    while do(store, *THERE):
        pass
    moment = random.Random(5)  # noqa: S311 - moments, not secrets

    def attempts() -> int:
        return sum(len(a.attempts) for a in store.provenance.find({"stage": {"$in": [COMPETE, VALIDATE]}}))

    n_killed = 0
    while n_killed < kills and store.launchpad().count_ready("cpu"):
        before = attempts()
        process = place.start("cheap_worker", "--stage", "cpu", "--idle", "0", "--cores", "1")
        while process.poll() is None and attempts() == before:
            time.sleep(0.02)
        # A calculation takes a second: mostly within one, now and then after it, while its result is written.
        time.sleep(moment.uniform(0.0, 1.1))
        n_killed += process.poll() is None
        place.kill(process)
        reconcile(store, None, patience=Patience(lock=0.2, reservation=timedelta(0), grace=timedelta(0)))
    assert n_killed >= min(kills, 5)
    logger.warning("%d workers killed in validation", n_killed)
    while do(store, *Stage):
        pass
    assert store.campaigns.require("validated").state is CampaignState.FINISHED
    activities = store.provenance.find({"stage": {"$in": [COMPETE, VALIDATE]}})
    assert {activity.state for activity in activities} == {"completed"}
    assert sum(len(activity.attempts) for activity in activities) > len(activities)
    # What each calculation gave is there once.
    computed = store.properties.find({"name": "energy_per_atom", "fidelity": engine.fidelity})
    assert len(computed) == len(activities)
    assert {key for activity in activities for key in activity.generated} == {p.structure_id for p in computed}


@pytest.mark.timeout(600)
def test_a_calculation_that_is_given_up_is_told_and_can_be_retried(store, engine, reference):
    submit_campaign(store, parse_campaign(CAMPAIGN, source="test"))
    engine.is_broken = True
    while do(store, *Stage):
        treat_failures(store, store.launchpad(), RetryPolicy(max_attempts=1))
    assert store.campaigns.require("validated").state is CampaignState.FINISHED
    (candidate, *_) = found = store.candidates.find({"campaign": "validated", "stage": Funnel.VALIDATE.value})
    # It says nothing about the crystal.
    assert (candidate.status, candidate.reason) == ("accepted", Reason.VALIDATION_FAILED)
    assert "job_failed: RuntimeError: no licence" in candidate.verdicts[-1].detail
    engine.is_broken = False
    assert retry_campaign(store, "validated", phase=PRESCREEN) == 0
    assert retry_campaign(store, "validated", phase=VALIDATE) > len(found)
    assert store.campaigns.require("validated").state is CampaignState.RUNNING
    while do(store, *Stage):
        pass
    document = store.campaigns.require("validated")
    assert document.state is CampaignState.FINISHED
    assert document.rounds[-1].counts["validated"] == len(found)
    for entry in store.candidates.get_many([c.id for c in found]).values():
        assert entry.reason != Reason.VALIDATION_FAILED
        assert entry.verdicts[-1].stage == Funnel.VALIDATE


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_property_that_is_given_up_is_told_and_can_be_retried(store, engine, reference):
    modulus = CheapModulus(defaultdict(lambda: 30.0))
    engine.name, engine.properties, modulus.is_broken = "vasp", {"elastic": modulus}, True
    engine.run = lambda *args, **kwargs: replace(CheapEngine.run(engine, *args, **kwargs), band_gap=4.0)
    asked = CAMPAIGN.replace("engine: gpaw", "engine: vasp, properties: [elastic]")
    submit_campaign(store, parse_campaign(asked, source="test"))
    while do(store, *Stage):
        treat_failures(store, store.launchpad(), RetryPolicy(max_attempts=1))
    found = store.candidates.find({"campaign": "validated", "stage": Funnel.PROPERTIES.value})
    assert found
    for candidate in found:
        assert (candidate.status, candidate.reason) == ("accepted", Reason.PROPERTY_FAILED)
        assert "job_failed: RuntimeError: no licence" in candidate.verdicts[-1].detail
    modulus.is_broken = False
    assert retry_campaign(store, "validated", phase=VALIDATE) == 0
    assert retry_campaign(store, "validated", phase=PROPERTIES) == len(found)
    while do(store, *Stage):
        pass
    assert store.campaigns.require("validated").state is CampaignState.FINISHED
    for entry in store.candidates.get_many([c.id for c in found]).values():
        assert (entry.status, entry.reason) == ("accepted", Reason.OK)
        assert entry.verdicts[-1].values["bulk_modulus_vrh"] == 30.0


def test_children_that_a_job_adds_land_on_its_stage(store):
    enqueue(store, {"parent": growing_job("parent")}, phase=VALIDATE)
    assert queue_of(store, "jobs") == {("cpu", "READY"): 1}
    assert do(store, Stage.GPU, Stage.CONTROL) == 0
    assert do(store, Stage.CPU, max_jobs=1) == 1
    assert {category for category, _ in queue_of(store, "jobs")} == {"cpu"}
    assert do(store, Stage.GPU, Stage.CONTROL) == 0
    assert do(store, Stage.CPU) >= 2
    assert {state for _, state in queue_of(store, "jobs")} == {"COMPLETED"}
