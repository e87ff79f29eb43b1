"""A real SLURM behind an sbatch that lies: nothing is lost, nothing runs twice; and killed jobs run again."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cluster_jobs import effect_job

from genmat.errors import SettingsError
from workflows.dispatch.allocation import ask, settle
from workflows.dispatch.dispatcher import Dispatcher
from workflows.dispatch.scheduler import Pbs, SchedulerError
from workflows.dispatch.scheduler import Slurm as SlurmCommands
from workflows.dispatch.site import Site, StageConfig, load_site
from workflows.dispatch.site_files import SiteOptions, site_files
from workflows.dispatch.stages import Stage
from workflows.reconcile import Patience

from .conftest import ROOT, Place
from .queueing import effects, enqueue

if TYPE_CHECKING:
    from genmat.database.store import Store

    from .slurm import Slurm

SBATCH = """#!/bin/bash
# The real sbatch, and then a fault; only the first time.
if [ -e {folder}/told ]; then exec {real} "$@"; fi
touch {folder}/told
case {fault} in
    timeout) {real} "$@" >/dev/null; sleep 60;;
    garbage) {real} "$@" >/dev/null; echo "*** maintenance on Sunday ***";;
    error) {real} "$@" >/dev/null; echo "sbatch: error: Socket timed out on send/recv operation" >&2; exit 1;;
    refusal) echo "sbatch: error: Batch job submission failed: Invalid partition" >&2; exit 1;;
esac
"""


@pytest.fixture
def dispatcher(place: Place, store: Store, slurm: Slurm, monkeypatch: pytest.MonkeyPatch):
    """Return a dispatcher of the test's SLURM whose patience is short."""
    for name, value in {**slurm.environment, **place.environment}.items():
        monkeypatch.setenv(name, value)
    config = StageConfig.model_validate(
        {
            "_fw_name": "CommonAdapter",
            "_fw_q_type": "SLURM",
            "queue": "gpu",
            "walltime": "00:10:00",
            "rocket_launch": f"{sys.executable} -m genmat.cli work",
            "cpus_per_task": 1,
            "_genmat": {"max_queue_jobs": 1, "idle": 1},
        }
    )
    site = Site(folder=place.folder, stages=dict.fromkeys(Stage, config))
    patience = Patience(lock=0.5, grace=timedelta(seconds=2))
    yield Dispatcher(store, place.settings, site=site, scheduler=SlurmCommands(timeout=3), patience=patience)
    for entry in SlurmCommands().jobs().values():
        slurm.run("scancel", entry.queue_id)


def cycles(dispatcher: Dispatcher, condition, seconds: float) -> list:
    """Do cycles until something holds, and return what they found."""
    findings = []
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, findings
        findings += dispatcher.cycle().findings
        time.sleep(0.5)
    return findings


@pytest.mark.mongo
@pytest.mark.slurm
@pytest.mark.parametrize(("fault", "n_abandoned"), [("timeout", 0), ("garbage", 0), ("error", 0), ("refusal", 1)])
def test_an_sbatch_that_lies_neither_loses_nor_doubles_a_job(
    dispatcher: Dispatcher, store, tmp_path, monkeypatch, fault, n_abandoned
):
    enqueue(store, {"a": effect_job("a"), "b": effect_job("b")})
    programs = tmp_path / "programs"
    programs.mkdir()
    wrapper = programs / "sbatch"
    wrapper.write_text(SBATCH.format(folder=programs, real=shutil.which("sbatch"), fault=fault))
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    cycles(dispatcher, lambda: store.launchpad().states("jobs").get("COMPLETED", 0) >= 2, 150)
    store.campaigns.set_state("jobs", "cancelled")
    assert effects(store) == {"a": 1, "b": 1}
    jobs = [job for job in store.cluster.queue_jobs(open_only=False) if job.stage == "gpu"]
    assert [job.state for job in jobs].count("abandoned") == n_abandoned
    assert len(jobs) == n_abandoned + 1
    assert jobs[0].error
    workers = [worker for worker in store.cluster.workers(open_only=False) if worker.stage == "gpu"]
    assert [worker.queue_job for worker in workers] == [jobs[-1].id]


@pytest.mark.mongo
@pytest.mark.slurm
def test_a_job_whose_queue_job_was_cancelled_is_found_by_asking_the_queue(dispatcher, store, slurm):
    enqueue(store, {"long": effect_job("long", 300.0)})
    launchpad = store.launchpad()
    cycles(dispatcher, lambda: launchpad.states("jobs").get("RUNNING") == 1, 100)
    (job,) = store.cluster.queue_jobs()
    slurm.run("scancel", job.queue_id)
    findings = cycles(dispatcher, lambda: launchpad.states("jobs").get("READY") == 1, 60)
    assert "lost run" in [finding.kind for finding in findings]
    store.campaigns.set_state("jobs", "cancelled")


@pytest.mark.mongo
@pytest.mark.slurm
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_that_the_walltime_cut_off_runs_again(dispatcher, store):
    short = dispatcher.site.stages[Stage.GPU].model_copy(update={"walltime": "00:01:00"})
    dispatcher.site.stages[Stage.GPU] = short
    enqueue(store, {"long": effect_job("long", 300.0)})
    launchpad = store.launchpad()
    cycles(dispatcher, lambda: launchpad.states("jobs").get("RUNNING") == 1, 100)
    findings = cycles(dispatcher, lambda: launchpad.states("jobs").get("READY") == 1, 200)
    assert "lost run" in [finding.kind for finding in findings]
    store.campaigns.set_state("jobs", "cancelled")


@pytest.fixture
def options() -> SiteOptions:
    return SiteOptions(queue="slurm", gpu_partition="gpu", cpu_partition="cpu")


@pytest.mark.parametrize("queue", ["slurm", "pbs"])
def test_the_files_of_a_site_are_read_back(tmp_path, options, queue):
    from dataclasses import replace

    for name, text in site_files(replace(options, queue=queue, folder=tmp_path)).items():
        (tmp_path / name).write_text(text)
    site = load_site(tmp_path)
    assert site.scheduler == queue
    script = site.stages[Stage.GPU].script(stage=Stage.GPU, name="gmgpu0", folder=Path("/scratch/gmgpu0"))
    lines = {
        "slurm": ["#SBATCH --partition=gpu", "#SBATCH --cpus-per-task=4", "#SBATCH --gres=gpu:1"],
        "pbs": ["#PBS -q gpu", "#PBS -l select=1:ncpus=4:ngpus=1", "#PBS -l walltime=12:00:00"],
    }
    assert set(lines[queue]) <= set(script.splitlines())
    assert "--cores 4" in script
    assert "gmgpu0" in script
    assert "$$" not in script
    assert script.rstrip().splitlines()[-1].startswith("# CommonAdapter")


@pytest.mark.parametrize(("queue", "folder"), [("slurm", "fw_configs"), ("pbs", "fw_configs/pbs")])
def test_the_files_in_the_repository_are_those_that_init_writes(options, queue, folder):
    from dataclasses import replace

    for name, text in site_files(replace(options, queue=queue)).items():
        if queue == "slurm" or "qadapter" in name or "template" in name:
            assert (ROOT / folder / name).read_text() == text


def test_a_frame_of_the_script_that_is_not_there_is_named(tmp_path, options):
    from dataclasses import replace

    for name, text in site_files(replace(options, queue="pbs", folder=tmp_path / "gone")).items():
        (tmp_path / name).write_text(text)
    with pytest.raises(SettingsError, match=r"my_qadapter_gpu.yaml: _fw_template_file: .*gone.* does not exist"):
        load_site(tmp_path)


EVIL = ["gpu; rm -rf /", "gpu\nrm -rf /", "$(id)", "`id`", "gpu && id", "-p x", "", "gpu'", 'gpu"', "gpu|id", "../gpu "]


@pytest.mark.parametrize("text", EVIL)
@pytest.mark.parametrize(
    "field", ["queue", "account", "qos", "walltime", "rocket_launch", "_environment", "gres", "mem", "select"]
)
def test_no_field_of_a_queue_script_holds_shell_syntax(tmp_path, options, field, text):
    from ruamel.yaml import YAML

    for name, content in site_files(options).items():
        (tmp_path / name).write_text(content)
    path = tmp_path / "my_qadapter_gpu.yaml"
    yaml = YAML(typ="safe")
    fields = yaml.load(path.read_text())
    with path.open("w") as file:
        yaml.dump({**fields, field: text}, file)
    with pytest.raises(SettingsError, match=re.escape(f"{path}: {field}: ")):
        load_site(tmp_path)


@pytest.mark.parametrize("folder", ["/tmp/a b", "/tmp/a;b", "/tmp/$(id)", "/tmp/a\nb", "relative"])  # noqa: S108
def test_a_folder_of_queue_jobs_with_shell_syntax_is_refused(tmp_path, options, folder):
    for name, content in site_files(options).items():
        (tmp_path / name).write_text(content)
    with pytest.raises(SettingsError, match="folder of queue jobs"):
        load_site(tmp_path).stages[Stage.CPU].script(stage=Stage.CPU, name="gm", folder=Path(folder))


def fake(folder: Path, name: str, text: str, monkeypatch) -> None:
    path = folder / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_what_qstat_prints_is_understood(tmp_path, monkeypatch):
    # In the shape that OpenPBS 20 prints; no PBS runs here.
    job = '{{"Job_Name": "{0}", "Job_Owner": "root@node", "job_state": "{1}"}}'
    other = '{"Job_Name": "theirs", "Job_Owner": "else@node", "job_state": "R"}'
    jobs = f'"1.pbs": {job.format("mine", "R")}, "2.pbs": {job.format("gone", "F")}, "3.pbs": {other}'
    fake(tmp_path, "qstat", f"cat <<'END'\n{{\"Jobs\": {{{jobs}}}}}\nEND", monkeypatch)
    monkeypatch.setattr("getpass.getuser", lambda: "root")
    assert {name: entry.queue_id for name, entry in Pbs().jobs().items()} == {"mine": "1.pbs"}
    fake(tmp_path, "qstat", "echo oops", monkeypatch)
    with pytest.raises(SchedulerError, match="qstat printed 'oops"):
        Pbs().jobs()


QSUB = """\
name=$(sed -n 's/^#PBS -N //p' "$1")
test -n "$name" || {{ echo "qsub: no name" >&2; exit 1; }}
echo "$name" > {folder}/name
echo 41.pbs"""
QSTAT = """\
if [ "$1" = -Q ]; then echo '{{"Queue": {{"gpuq": {{}}, "workq": {{}}}}}}'; exit; fi
job='{{"Job_Name": "%s", "Job_Owner": "%s@node", "job_state": "Q"}}'
printf '{{"Jobs": {{"41.pbs": '"$job"'}}}}' "$(cat {folder}/name)" "$(id -un)"
"""


@pytest.mark.mongo
def test_a_queue_job_goes_to_qsub_under_its_name_and_qstat_knows_it(store, tmp_path, options, monkeypatch):
    # Commands with PBS Professional's arguments and answers; no PBS runs here.
    from dataclasses import replace

    for name, text in site_files(
        replace(options, queue="pbs", gpu_partition="gpuq", cpu_partition="workq", folder=tmp_path)
    ).items():
        (tmp_path / name).write_text(text)
    site = load_site(tmp_path)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in (("qsub", QSUB), ("qstat", QSTAT)):
        fake(programs, name, text.format(folder=programs), monkeypatch)
    job = ask(store, Pbs(), site.stages[Stage.GPU], stage=Stage.GPU, folder=tmp_path / "queue")
    assert (job.state, job.queue_id, job.error) == ("submitted", "41.pbs", None)
    assert {config.queue for config in site.stages.values()} == Pbs().partitions()
    (entry,) = Pbs().jobs().values()
    assert (entry.queue_id, entry.name, entry.is_running) == ("41.pbs", job.id, False)
    assert settle(store, Pbs().jobs(), grace=timedelta(0)) == 0


def test_a_password_does_not_reach_the_scheduler(tmp_path, monkeypatch):
    fake(tmp_path, "squeue", f"env > {tmp_path}/environment", monkeypatch)
    monkeypatch.setenv("GENMAT_DATABASE_URI", "mongodb://user:planted@host/db")
    assert SlurmCommands().jobs() == {}
    assert "planted" not in (tmp_path / "environment").read_text()


def test_dispatch_refuses_a_password_that_only_the_environment_holds(place: Place, monkeypatch):
    monkeypatch.setenv("GENMAT_DATABASE_URI", "mongodb://user:planted@127.0.0.1:1/db")
    refused = place.genmat("dispatch", "--once", check=False)
    assert refused.returncode == 2
    assert "put database_uri into" in refused.stderr
    assert "planted" not in refused.stdout + refused.stderr
