"""The queue in the database: inserted once, taken once, by priority, within limits."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from cluster_jobs import effect_job
from fireworks.core.firework import Firework
from jobflow.managers.fireworks import flow_to_workflow

from genmat.database.documents import CampaignState, RoundState
from genmat.errors import CampaignError, DatabaseError
from genmat.settings import Settings
from workflows.begin import begin_job
from workflows.campaign import advance_job
from workflows.chunk import Chunk, plan_activity
from workflows.dispatch.stages import Stage
from workflows.dispatch.worker import WorkerOptions, work
from workflows.steps import ADVANCE, BEGIN, job_uuid, step_workflow
from workflows.submission import chunk_workflow, end_of_phase, submit_campaign, workflow_id

from .conftest import CAMPAIGN
from .queueing import effects, enqueue

if TYPE_CHECKING:
    from .conftest import Place

pytestmark = pytest.mark.mongo
CHUNK = Chunk("tiny", 0, "prescreen", ("a" * 32, "b" * 32))


def test_submitting_twice_adds_nothing(store, campaign):
    submit_campaign(store, campaign)
    submit_campaign(store, campaign, priority=5)
    assert store.launchpad().states("tiny") == {"READY": 1}
    assert store.cluster.submission("tiny").priority == 5


def test_many_who_insert_one_workflow_leave_one_workflow_with_its_fireworks(store):
    launchpad = store.launchpad()
    launchpad.prepare()
    barrier = threading.Barrier(8)
    errors: list[Exception] = []

    def insert() -> None:
        key = workflow_id(CHUNK)
        workflow = chunk_workflow(key, CHUNK, priority=0)
        barrier.wait()
        try:
            store.launchpad().insert_once({key: workflow})
        except Exception as err:  # noqa: BLE001
            errors.append(err)

    threads = [threading.Thread(target=insert) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert launchpad.workflows.count_documents({}) == 1
    assert launchpad.fireworks.count_documents({}) == 1
    assert launchpad.incomplete() == []


def test_an_insertion_that_was_cut_short_is_finished_by_the_next(store):
    launchpad = store.launchpad()
    launchpad.prepare()
    key = workflow_id(CHUNK)
    launchpad.insert_once({key: chunk_workflow(key, CHUNK, priority=0)})
    before = uuids(launchpad)
    assert len(before) == 3
    launchpad.fireworks.delete_many({})
    assert launchpad.incomplete() == [key]
    launchpad.insert_once({key: chunk_workflow(key, CHUNK, priority=0)})
    assert launchpad.incomplete() == []
    assert uuids(launchpad) == before


def uuids(launchpad) -> list[str]:
    return [job["uuid"] for entry in launchpad.fireworks.find({}) for job in entry["spec"]["_tasks"][0]["jobs"]]


@pytest.mark.parametrize(("phase", "stage"), [("generate", "gpu"), ("prescreen", "gpu"), ("validate", "cpu")])
def test_work_lands_on_its_stage_and_specs_hold_neither_store_nor_address(store, phase, stage):
    launchpad = store.launchpad()
    launchpad.prepare()
    chunk = Chunk("tiny", 0, phase, ("a" * 32, "b" * 32) if phase == "prescreen" else ("a" * 32,))
    launchpad.insert_once({"key": chunk_workflow("key", chunk, priority=7)})
    (entry,) = launchpad.fireworks.find({})
    assert (entry["spec"]["_category"], entry["spec"]["_priority"]) == (stage, 7)
    assert entry["spec"]["genmat"]["activity_id"] == "a" * 32
    assert "store" not in entry["spec"]["_tasks"][0]
    assert "mongodb://" not in str(entry)


def test_the_last_chunk_of_a_phase_calls_for_bookkeeping_once(store, campaign):
    submit_campaign(store, campaign)
    store.campaigns.set_round("tiny", RoundState(round=0, phase="generate"))
    activities = [plan_activity("tiny", 0, "generate", [key]) for key in "ab"]
    store.provenance.insert_if_absent(activities)

    def finish(key: str) -> None:
        store.provenance.complete(key, store.provenance.begin_attempt(key).id, generated=[], counts={})

    finish(activities[0].id)
    assert not end_of_phase(store, "tiny")
    finish(activities[1].id)
    assert end_of_phase(store, "tiny")
    assert not end_of_phase(store, "tiny")
    # It was reopened, and ends again.
    store.campaigns.set_state("tiny", CampaignState.RUNNING)
    assert end_of_phase(store, "tiny")
    assert store.launchpad().count_ready("control") == 3


@pytest.mark.parametrize(("phase", "done"), [(BEGIN, ()), (ADVANCE, ({},))])
def test_a_bookkeeping_job_is_written_as_jobflow_writes_it(phase, done):
    about = {"campaign": "tiny", "round": -1, "phase": phase}
    job = {BEGIN: begin_job, ADVANCE: advance_job}[phase]("tiny", *done)
    job.set_uuid(job_uuid("key", 0))
    config = {"_category": "control", "_priority": 3, "genmat": about}
    job.update_config({"manager_config": config}, dynamic=False)
    (mine,) = step_workflow("key", "tiny", phase, priority=3).fws
    (other,) = flow_to_workflow(job, store=None).fws
    assert mine.name == other.name
    # What jobflow adds are its defaults, and which flow the job stood in.
    read = [Firework.from_dict(firework.to_db_dict()) for firework in (mine, other)]
    jobs = [firework.tasks[0]["job"].as_dict() | {"hosts": None} for firework in read]
    assert jobs[0] == jobs[1]
    specs = [{name: value for name, value in firework.spec.items() if name != "_tasks"} for firework in read]
    assert specs[0] == specs[1]


def test_submitting_loads_nothing_that_a_login_node_lacks_time_for(place: Place, campaign):
    (place.folder / "campaign.yaml").write_text(CAMPAIGN)
    heavy = {"torch", "atomate2", "jobflow", "maggma", "boto3", "matplotlib", "pymatgen"}
    code = (
        f"import sys; from genmat.cli.entry import run; run(sys.argv[1:]); sys.exit(str({heavy!r} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, "submit", "campaign.yaml"]
    done = subprocess.run(
        command, env=place.environment, cwd=place.folder, capture_output=True, text=True, check=False, timeout=100
    )
    assert "campaign tiny is in" in done.stdout
    assert done.stderr.strip() == "set()"


def test_a_worker_of_one_stage_leaves_the_work_of_others(store):
    enqueue(store, {"a": effect_job("a")})
    assert work(store, WorkerOptions(stages=(Stage.CPU, Stage.CONTROL), cores=1, idle=0)) == 0
    assert work(store, WorkerOptions(stages=(Stage.GPU,), cores=1, idle=0)) == 1
    assert effects(store) == {"a": 1}


def test_campaigns_of_higher_priority_come_first(store):
    enqueue(store, {"low": effect_job("low")}, name="low", priority=1)
    enqueue(store, {"high": effect_job("high")}, name="high", priority=2)
    work(store, WorkerOptions(cores=1, idle=0, max_jobs=1))
    assert effects(store) == {"high": 1}


@pytest.mark.parametrize("state", [CampaignState.PAUSED, CampaignState.CANCELLED])
def test_no_job_of_a_campaign_that_does_not_run_begins(store, state):
    enqueue(store, {"a": effect_job("a")})
    store.campaigns.set_state("jobs", state)
    assert work(store, WorkerOptions(cores=1, idle=0)) == 0
    store.campaigns.set_state("jobs", CampaignState.RUNNING)
    assert work(store, WorkerOptions(cores=1, idle=0)) == 1


def test_a_campaign_keeps_to_its_number_of_running_jobs(store):
    enqueue(store, {"a": effect_job("a"), "b": effect_job("b")}, max_running=1)
    launchpad = store.launchpad()
    launchpad.fireworks.update_one({"spec.genmat.activity_id": "a"}, {"$set": {"state": "RUNNING"}})
    assert work(store, WorkerOptions(cores=1, idle=0)) == 0
    launchpad.fireworks.update_one({"spec.genmat.activity_id": "a"}, {"$set": {"state": "READY"}})
    assert work(store, WorkerOptions(cores=1, idle=0)) == 2


def test_no_job_begins_once_the_core_hours_are_spent(store):
    enqueue(store, {"a": effect_job("a"), "b": effect_job("b")}, max_core_hours=1e-6)
    assert work(store, WorkerOptions(cores=1, idle=0)) == 1
    assert store.cluster.spent()["jobs"] > 0
    assert store.cluster.held() == ["jobs"]


def test_the_store_in_this_process_is_refused_with_the_remedy(tmp_path, campaign):
    from genmat.database.store import connect

    with (
        connect(Settings(data_folder=tmp_path / "memory", mongod="/bin/false")) as memory,
        pytest.raises(DatabaseError, match="cannot hold a queue of jobs, which needs a MongoDB"),
    ):
        submit_campaign(memory, campaign)


def test_a_campaign_that_was_never_submitted_is_told_so(place: Place, store):
    from genmat.database.documents import CampaignDocument
    from workflows.submission import require_submission

    store.campaigns.insert_if_absent([CampaignDocument(id="here", config={}, config_hash="0", code_version="0")])
    with pytest.raises(CampaignError, match="campaign 'here' was not submitted"):
        require_submission(store, "here")


@pytest.mark.parametrize(("launchers", "jobs"), [(4, 40), pytest.param(16, 300, marks=pytest.mark.slow)])
@pytest.mark.timeout(1800)
def test_racing_launchers_do_every_job_exactly_once(place: Place, store, launchers, jobs):
    keys = [f"job{number:03d}" for number in range(jobs)]
    enqueue(store, {key: effect_job(key) for key in keys})
    processes = [place.start("genmat.cli", "work", "--idle", "0", "--cores", "1") for _ in range(launchers)]
    assert [process.wait(timeout=1500) for process in processes] == [0] * launchers, place.logs()
    assert effects(store) == dict.fromkeys(keys, 1)
    assert store.launchpad().states("jobs") == {"COMPLETED": jobs}
    assert store.job_store().count({}) == jobs
