"""Jobs that fail, workers that vanish, locks without owner: found, mended, told."""

from __future__ import annotations

import json
import signal
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cluster_jobs import effect_job, failing_job, large_job
from fireworks.core.firework import FWAction

from genmat.database.cluster import QueueJob, QueueJobState
from genmat.database.documents import ActivityDocument, CampaignState, CandidateDocument, PropertyDocument
from workflows.chunk import plan_activity
from workflows.dispatch.allocation import pause_left, settle
from workflows.dispatch.retries import RetryPolicy, retry_campaign, treat_failures
from workflows.dispatch.scheduler import QueueEntry, Scheduler, SchedulerError
from workflows.dispatch.stages import Stage
from workflows.dispatch.worker import WorkerOptions, work
from workflows.reconcile import Patience, reconcile
from workflows.submission import submit_campaign

from .queueing import effects, enqueue

if TYPE_CHECKING:
    from .conftest import Place

pytestmark = pytest.mark.mongo
IMPATIENT = Patience(lock=0.2, reservation=timedelta(0), grace=timedelta(0))
AT_ONCE = RetryPolicy(max_attempts=3, pause=0.0)


def planned(store, key: str, stage: str) -> ActivityDocument:
    """Register the activity that a job of no science stands for, with two candidates."""
    names = [f"{key}-{number}" for number in range(2)]
    common = {"campaign": "jobs", "round": 0, "generator": "test", "generator_hash": "0", "seed": 1}
    store.candidates.insert_if_absent([CandidateDocument(id=n, index=i, **common) for i, n in enumerate(names)])
    activity = plan_activity("jobs", 0, stage, names).model_copy(update={"id": key})
    store.provenance.insert_if_absent([activity])
    return activity


def exhaust(store, *, attempts: int = 3) -> dict[str, int]:
    """Work and treat failures until nothing is retried any more."""
    launchpad = store.launchpad()
    total = {"retried": 0, "parked": 0, "waiting": 0}
    for _ in range(attempts + 1):
        work(store, WorkerOptions(stages=(Stage.GPU,), cores=1, idle=0))
        for name, number in treat_failures(store, launchpad, AT_ONCE).items():
            total[name] += number
    return total


def test_a_job_that_always_fails_is_retried_then_parked_and_its_siblings_go_on(store, tmp_path):
    planned(store, "bad", "relax")
    planned(store, "good", "relax")
    cure = tmp_path / "cure"
    enqueue(store, {"bad": failing_job("bad", str(cure)), "good": effect_job("good")})
    assert exhaust(store) == {"retried": 2, "parked": 1, "waiting": 0}
    assert effects(store) == {"good": 1}
    assert store.provenance.require("bad").state == "parked"
    # The phase ends without it, and its candidates say why.
    assert store.provenance.unfinished("jobs", stage="relax") == ["good"]
    candidate = store.candidates.require("bad-0")
    assert (candidate.status, candidate.reason) == ("rejected", "job_failed")
    assert candidate.verdicts[-1].detail.startswith("RuntimeError: no cure for bad (job ")
    (failure,) = store.launchpad().failures("jobs", state="DEFUSED")
    assert "RuntimeError: no cure for bad" in failure.traceback
    assert failure.attempts == 3
    # Bookkeeping goes on in the failed chunk's place.
    assert store.launchpad().count_ready("control") == 1


def test_a_failed_job_waits_twice_as_long_after_each_attempt(store, tmp_path):
    planned(store, "bad", "relax")
    enqueue(store, {"bad": failing_job("bad", str(tmp_path / "cure"))})
    work(store, WorkerOptions(stages=(Stage.GPU,), cores=1, idle=0))
    launchpad = store.launchpad()
    policy = RetryPolicy(pause=1000.0)
    assert treat_failures(store, launchpad, policy) == {"retried": 0, "parked": 0, "waiting": 1}
    (failure,) = launchpad.failures("jobs")
    assert policy.wait(failure) == 1000.0
    treat_failures(store, launchpad, AT_ONCE)
    work(store, WorkerOptions(stages=(Stage.GPU,), cores=1, idle=0))
    (failure,) = launchpad.failures("jobs")
    assert policy.wait(failure) == 2000.0


def test_retry_gives_a_parked_job_another_chance_and_forgets_its_attempts(store, tmp_path):
    planned(store, "bad", "generate")
    cure = tmp_path / "cure"
    enqueue(store, {"bad": failing_job("bad", str(cure))})
    store.campaigns.set_round("jobs", _round("prescreen"))
    exhaust(store)
    cure.touch()
    assert retry_campaign(store, "jobs", phase="prescreen") == 0
    assert retry_campaign(store, "jobs", phase="generate") == 1
    assert store.provenance.require("bad").state == "pending"
    assert store.campaigns.require("jobs").rounds[-1].phase == "generate"
    assert work(store, WorkerOptions(stages=(Stage.GPU,), cores=1, idle=0)) == 1
    assert effects(store) == {"bad": 1}
    assert store.launchpad().failures("jobs") == []


def _round(phase: str):
    from genmat.database.documents import RoundState

    return RoundState(round=0, phase=phase)


def test_why_shows_the_traceback_of_a_parked_job(place: Place, store, tmp_path):
    planned(store, "bad", "relax")
    enqueue(store, {"bad": failing_job("bad", str(tmp_path / "cure"))})
    exhaust(store)
    shown = place.genmat("why", "bad-0").stdout
    assert "the job that should judge it failed again and again" in shown
    assert "Traceback (most recent call last)" in shown
    assert "RuntimeError: no cure for bad" in shown


def test_a_campaign_whose_target_cannot_be_met_fails_with_the_reason_and_without_retries(store, campaign, reference):
    impossible = type(campaign).from_dict(
        {**campaign.to_dict(), "name": "impossible", "target": {**campaign.to_dict()["target"], "n_atoms": {"max": 1}}},
        source="test",
    )
    submit_campaign(store, impossible)
    assert work(store, WorkerOptions(cores=1, idle=0)) == 1
    document = store.campaigns.require("impossible")
    assert document.state is CampaignState.FAILED
    assert document.error
    assert store.launchpad().failures() == []


def start_one(place: Place, store, eventually, seconds: float = 60.0):
    """Start a worker on a job that lasts, and return it once the job runs."""
    enqueue(store, {"long": effect_job("long", seconds)})
    process = place.start("genmat.cli", "work", "--idle", "0", "--cores", "1")
    launchpad = store.launchpad()
    eventually(lambda: launchpad.states("jobs").get("RUNNING") == 1 and not launchpad.locked(), 60)
    return process


def test_a_run_whose_worker_was_killed_is_found_at_once_and_runs_again(place: Place, store, eventually):
    process = start_one(place, store, eventually)
    assert reconcile(store, None, patience=IMPATIENT) == []
    place.kill(process)
    (shown,) = reconcile(store, None, dry_run=True, patience=IMPATIENT)
    assert shown.kind == "lost run"
    assert store.launchpad().states("jobs") == {"RUNNING": 1}
    (mended,) = reconcile(store, None, patience=IMPATIENT)
    assert mended == shown
    assert store.launchpad().states("jobs") == {"READY": 1}
    assert reconcile(store, None, patience=IMPATIENT) == []


def test_a_live_worker_is_left_alone(place: Place, store, eventually):
    process = start_one(place, store, eventually, seconds=3.0)
    assert reconcile(store, None, patience=IMPATIENT) == []
    assert process.wait(timeout=60) == 0
    assert effects(store) == {"long": 1}


def test_a_worker_that_is_told_to_stop_ends_and_its_job_runs_again(place: Place, store, eventually):
    process = start_one(place, store, eventually)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)
    reconcile(store, None, patience=IMPATIENT)
    assert store.launchpad().states("jobs").get("RUNNING") is None


def test_a_lock_whose_owner_died_is_taken_off_and_a_short_one_is_not(store):
    enqueue(store, {"a": effect_job("a")})
    launchpad = store.launchpad()
    launchpad.workflows.update_one({}, {"$set": {"locked": True}})
    assert [f.kind for f in reconcile(store, None, dry_run=True, patience=IMPATIENT)] == ["expired lock"]
    reconcile(store, None, patience=IMPATIENT)
    assert launchpad.locked() == {}
    assert work(store, WorkerOptions(cores=1, idle=0)) == 1


def test_a_job_that_was_taken_by_a_worker_which_died_before_saying_so_is_released(store):
    enqueue(store, {"a": effect_job("a")})
    store.launchpad().fireworks.update_one({}, {"$set": {"state": "RESERVED"}})
    patient = Patience(lock=0.1, reservation=timedelta(hours=1))
    assert reconcile(store, None, patience=patient) == []
    assert [f.kind for f in reconcile(store, None, patience=IMPATIENT)] == ["orphaned reservation"]
    assert work(store, WorkerOptions(cores=1, idle=0)) == 1


def test_a_result_that_was_written_without_its_bookkeeping_counts(place: Place, store, eventually):
    process = start_one(place, store, eventually)
    place.kill(process)
    store.launchpad().launches.update_one({}, {"$set": {"state": "COMPLETED", "action": FWAction().to_dict()}})
    assert "unfinished bookkeeping" in [f.kind for f in reconcile(store, None, patience=IMPATIENT)]
    assert store.launchpad().states("jobs")["COMPLETED"] == 1


def test_an_output_of_ten_megabytes_is_stored_whole(store):
    enqueue(store, {"large": large_job(10_000_000)})
    assert work(store, WorkerOptions(cores=1, idle=0)) == 1
    (output,) = store.job_store().query({})
    assert sum(map(len, output["output"]["pieces"])) == 10_000_000


def test_an_output_over_sixteen_megabytes_is_stored_whole(store):
    enqueue(store, {"large": large_job(20_000_000)})
    assert work(store, WorkerOptions(cores=1, idle=0)) == 1
    assert store.launchpad().states("jobs") == {"COMPLETED": 1}
    (uuid,) = store.job_store().distinct("uuid")
    output = store.job_store().get_output(uuid)
    assert sum(map(len, output["pieces"])) == 20_000_000


def test_a_worker_that_meets_a_newer_document_refuses_with_both_versions(place: Place, store):
    enqueue(store, {"a": effect_job("a")})
    store.launchpad()._session.update("campaigns", [({"_id": "jobs"}, {"$set": {"schema_version": 99}})])
    refused = place.genmat("work", "--idle", "0", check=False)
    assert refused.returncode == 2
    assert "has schema version 99, this genmat knows up to" in refused.stderr
    assert store.launchpad().states("jobs") == {"READY": 1}


def test_records_of_a_later_release_do_not_halt_a_campaign(store):
    enqueue(store, {"a": effect_job("a")})
    store.launchpad()._session.update("submissions", [({"_id": "jobs"}, {"$set": {"added_later": 1}})])
    assert work(store, WorkerOptions(cores=1, idle=0)) == 1


NO_ANSWER = SchedulerError("no answer")


class SilentQueue(Scheduler):
    """A scheduler that does not answer."""

    kind = "silent"

    def submit(self, script):
        raise NO_ANSWER

    def jobs(self):
        raise NO_ANSWER

    def partitions(self):
        raise NO_ANSWER

    def cancel(self, queue_id):
        raise NO_ANSWER


def test_workers_of_a_scheduler_that_does_not_answer_are_left_alone(place: Place, store, eventually):
    start_one(place, store, eventually)
    store.launchpad()._session.run(
        lambda base: base["workers"].update_many({}, {"$set": {"queue_job": "gm", "lease.host": "other"}})
    )
    assert [f.kind for f in reconcile(store, SilentQueue(), patience=IMPATIENT)] == ["scheduler"]
    assert store.launchpad().states("jobs") == {"RUNNING": 1}


def intended(store, name: str) -> None:
    now = store.cluster.now()
    store.cluster.intend(QueueJob(id=name, stage="gpu", queue="slurm", created_at=now, updated_at=now))


def test_a_queue_job_that_the_queue_lists_is_adopted_and_one_that_it_does_not_is_given_up(store):
    intended(store, "taken")
    intended(store, "refused")
    settle(store, {"taken": QueueEntry("7", "taken", is_running=False)}, grace=timedelta(0))
    states = {job.id: (job.state, job.queue_id) for job in store.cluster.queue_jobs(open_only=False)}
    assert states == {"taken": ("submitted", "7"), "refused": ("abandoned", None)}


def test_a_worker_of_a_queue_job_that_was_given_up_does_nothing(store):
    enqueue(store, {"a": effect_job("a")})
    intended(store, "late")
    settle(store, {}, grace=timedelta(0))
    assert work(store, WorkerOptions(cores=1, idle=0, queue_job="late")) == 0
    assert effects(store) == {}


def test_a_queue_job_whose_worker_reported_is_never_given_up(store):
    intended(store, "quick")
    assert store.cluster.report_start("quick")
    settle(store, {}, grace=timedelta(0))
    assert store.cluster.queue_job("quick").state is QueueJobState.SUBMITTED


def test_a_scheduler_that_refuses_is_asked_less_and_less_often(store):
    for number in range(3):
        intended(store, f"refused{number}")
        time.sleep(0.01)
    settle(store, {}, grace=timedelta(0))
    assert 15.0 < pause_left(store, Stage.GPU) <= 20.0
    assert pause_left(store, Stage.CPU) == 0.0


def test_references_without_target_are_told_and_those_that_a_rerun_mends_are_mended(store):
    activity = planned(store, "drew", "generate")
    enqueue(store, {"drew": effect_job("drew"), "orphan": effect_job("orphan")})
    launchpad = store.launchpad()
    orphan, drew = launchpad.fireworks_of("orphan"), launchpad.fireworks_of("drew")
    launchpad.fireworks.update_one({"fw_id": orphan[0]}, {"$set": {"state": "PAUSED"}})
    work(store, WorkerOptions(cores=1, idle=0))
    attempt = store.provenance.begin_attempt(activity.id)
    store.provenance.complete(activity.id, attempt.id, generated=["lost"], counts={})
    store.candidates.set_fields({"drew-0": {"structure_id": "lost"}})
    store.campaigns.set_round("jobs", _round("prescreen").model_copy(update={"snapshot_id": "nowhere"}))
    value = {"structure_id": "gone", "name": "band_gap", "value": 1.0, "unit": "eV", "fidelity": "dft", "method": "x"}
    store.properties.insert_if_absent([PropertyDocument(id="value", **value)])
    backup = "restore it with genmat restore, or delete the entry in"
    expected = {
        "candidates drew-0, structure_id lost": f"job {drew[0]} draws it again",
        "properties value, structure_id gone": f"{backup} properties",
        "campaigns jobs, rounds.snapshot_id nowhere": f"{backup} campaigns",
        "fireworks genmat-jobs-orphan/0, spec.genmat.activity_id orphan": "stopped: there is nothing that it could do",
    }
    for dry_run in (True, False):
        states = launchpad.states("jobs")
        found = reconcile(store, None, dry_run=dry_run, patience=IMPATIENT, references=True)
        assert {f.subject: f.action for f in found if f.kind == "dangling reference"} == expected
        assert (launchpad.states("jobs") == states) is dry_run
    assert launchpad.states("jobs") == {"READY": 1, "DEFUSED": 1}
    work(store, WorkerOptions(cores=1, idle=0))
    assert effects(store) == {"drew": 2}


def test_reconcile_and_retry_speak_json(place: Place, store):
    planned(store, "a", "generate")
    enqueue(store, {"a": effect_job("a")})
    assert json.loads(place.genmat("reconcile", "--dry-run", "--json").stdout) == []
    assert json.loads(place.genmat("retry", "jobs", "--json").stdout) == {"name": "jobs", "retried": 0}
    assert json.loads(place.genmat("pause", "jobs", "--json").stdout) == {"name": "jobs", "state": "paused"}
    assert store.campaigns.require("jobs").state is CampaignState.PAUSED
    assert "goes on" in place.genmat("resume", "jobs").stdout
    assert store.campaigns.require("jobs").state is CampaignState.RUNNING
    assert "cancelled" in place.genmat("cancel", "jobs").stdout
    refused = place.genmat("pause", "jobs", check=False)
    assert refused.returncode == 2
    assert "campaign 'jobs' is cancelled, expected one that is created or running or paused" in refused.stderr


def test_watching_ends_with_the_campaign(place: Place, store):
    enqueue(store, {"a": effect_job("a")})
    config = {"name": "jobs", "target": {"chemistry": {"elements": ["Li", "O"]}}}
    store.launchpad()._session.update("campaigns", [({"_id": "jobs"}, {"$set": {"config": config}})])
    # Nobody holds a submitted campaign, and yet nothing interrupted it.
    assert "campaign jobs: running" in place.genmat("status", "jobs").stdout
    store.campaigns.set_state("jobs", CampaignState.CANCELLED)
    assert "campaign jobs: cancelled" in place.genmat("status", "jobs", "--watch").stdout
    assert "--watch needs the name of a campaign" in place.genmat("status", "--watch", check=False).stderr
