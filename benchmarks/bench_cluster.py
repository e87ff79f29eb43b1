"""Speed of campaigns on a cluster: submission, orchestration, documents, status, start-up of commands.

Everything runs on a real private ``mongod``. What is compared is measured in the same run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import jobflow
from fireworks.core.fworker import FWorker
from fireworks.core.launchpad import LaunchPad
from fireworks.core.rocket_launcher import rapidfire
from jobflow.core.flow import Flow
from jobflow.core.job import job
from jobflow.managers.fireworks import flow_to_workflow

from genmat.campaign.io import parse_campaign
from genmat.database.cluster import Submission
from genmat.database.documents import CampaignDocument, CampaignState, CandidateDocument, VerdictRecord
from genmat.database.embedded import EmbeddedServer
from genmat.database.mongod import find_mongod
from genmat.database.store import Store, connect
from genmat.settings import Settings
from workflows.chunk import Chunk
from workflows.dispatch.worker import WorkerOptions, work
from workflows.submission import _workflow, chunk_workflow, workflow_id

if TYPE_CHECKING:
    from collections.abc import Iterator

CAMPAIGN = """
name: bench
target: {{properties: [{{name: energy_above_hull, max: 0.1}}], chemistry: {{elements: [Li, O, F]}}}}
generate: {{n: {n}}}
"""
CHUNK = 50


@job
def nothing(number: int) -> int:
    """Do nothing, as one structure would in a graph of one job a structure."""
    return number


@job
def nothing_for_each(numbers: list[int]) -> list[int]:
    """Do nothing for each structure of a chunk."""
    return numbers


@contextmanager
def timed(what: str, *, per: int = 1, unit: str = "s") -> Iterator[None]:
    """Print how long something took."""
    started = time.perf_counter()
    yield
    seconds = time.perf_counter() - started
    value = seconds / per
    print(f"{what}: {1000 * value:.2f} ms" if unit == "ms" else f"{what}: {value:.2f} s", flush=True)


def submission(store: Store, n_candidates: int) -> None:
    """Insert the workflows of a campaign: generation and screening in chunks."""
    launchpad = store.launchpad()
    launchpad.prepare()
    numbers = range(n_candidates // CHUNK)
    chunks = [Chunk("bench", 0, "generate", (f"generate{number:028d}",)) for number in numbers]
    chunks += [Chunk("bench", 0, "prescreen", (f"relax{number:028d}", f"assess{number:028d}")) for number in numbers]
    with timed(f"insert the {len(chunks)} workflows of {n_candidates} candidates"):
        launchpad.insert_once(
            {workflow_id(chunk): chunk_workflow(workflow_id(chunk), chunk, priority=0) for chunk in chunks}
        )
    with timed("insert them again, which adds nothing"):
        launchpad.insert_once(
            {workflow_id(chunk): chunk_workflow(workflow_id(chunk), chunk, priority=0) for chunk in chunks}
        )


def rival(store: Store, settings: Settings, n_jobs: int) -> float:
    """Return the time of one job a structure with FireWorks' own LaunchPad and launcher, s."""
    server = EmbeddedServer(settings, mongod=find_mongod(settings))
    name = "rival"
    launchpad = LaunchPad(host=server.uri, uri_mode=True, name=name, strm_lvl="ERROR")
    launchpad.reset("", require_password=False)
    before, jobflow.SETTINGS.JOB_STORE = jobflow.SETTINGS.JOB_STORE, store.job_store()
    started = time.perf_counter()
    launchpad.bulk_add_wfs([flow_to_workflow(nothing(number)) for number in range(n_jobs)])
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        rapidfire(launchpad, FWorker(), m_dir=folder, strm_lvl="ERROR")
    seconds = time.perf_counter() - started
    jobflow.SETTINGS.JOB_STORE = before
    launchpad.connection.close()
    server.close()
    return seconds


def orchestration(store: Store, settings: Settings, n_jobs: int, n_chunks: int) -> None:
    """Compare one job a structure with three jobs a chunk, which are one Firework; no work is done in either."""
    document = CampaignDocument(id="chunked", config={}, config_hash="0", code_version="0", state=CampaignState.RUNNING)
    store.campaigns.insert_if_absent([document])
    store.cluster.submit(Submission(id="chunked", submitted_at=store.cluster.now()))
    launchpad = store.launchpad()
    options = WorkerOptions(cores=1, idle=0)

    def run(name: str, flows: list[Flow]) -> float:
        about = {"campaign": name, "round": 0, "phase": "generate"}
        started = time.perf_counter()
        launchpad.insert_once(
            {
                f"{name}{n}": _workflow(f"{name}{n}", flow, about, [f"{name}{n}"], priority=0)
                for n, flow in enumerate(flows)
            }
        )
        work(store, options)
        return time.perf_counter() - started

    single = rival(store, settings, n_jobs) / n_jobs
    flows = []
    for _ in range(n_chunks):
        first = nothing_for_each(list(range(CHUNK)))
        second = nothing_for_each(first.output)
        flows.append(Flow([first, second, nothing_for_each(second.output)]))
    chunked = run("chunked", flows) / (n_chunks * CHUNK)
    print(f"one job a structure: {1000 * single:.1f} ms a structure ({n_jobs} structures)")
    print(f"one chunk of three jobs for {CHUNK}: {1000 * chunked:.2f} ms a structure ({n_chunks} chunks)")
    print(f"ratio: {single / chunked:.1f}")


def candidates(n: int) -> Iterator[CandidateDocument]:
    """Yield candidates with the verdicts of a funnel."""
    stages = ("generate", "validity", "novelty", "uniqueness", "selection", "relax", "stability")
    for index in range(n):
        reached = 2 + index % 6
        verdicts = [
            VerdictRecord(stage=stage, passed=place < reached - 1, reason="ok" if place < reached - 1 else "known")
            for place, stage in enumerate(stages[:reached])
        ]
        yield CandidateDocument(
            id=f"{index:032x}", campaign="bench", round=0, index=index, generator="template", generator_hash="0" * 32,
            seed=1, verdicts=verdicts, status="rejected", stage=stages[reached - 1], reason="known",
            elements=["Li", "O"], nelements=2, formula_pretty="Li2O", chemsys="Li-O", nsites=3,
        )  # fmt: skip


def documents(store: Store, n: int) -> None:
    """Write candidates as one worker does, and look at their campaign."""
    made = list(candidates(n))
    campaign = parse_campaign(CAMPAIGN.format(n=n), source="bench")
    stored = CampaignDocument(id="bench", config=campaign.to_dict(), config_hash=campaign.config_hash, code_version="0")
    store.campaigns.insert_if_absent([stored])
    started = time.perf_counter()
    for start in range(0, n, 1000):
        store.candidates.insert_if_absent(made[start : start + 1000])
    print(f"candidates written by one worker: {n / (time.perf_counter() - started):.0f} a second ({n} of them)")


MEASURE = """
import os, subprocess, sys, time
wall, processor, memory = 1e9, 1e9, 0
for _ in range(4):
    started = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall, memory = min(wall, time.perf_counter() - started), max(memory, usage.ru_maxrss)
    processor = min(processor, usage.ru_utime + usage.ru_stime)
exit = os.waitstatus_to_exitcode(status)
print(f"{wall:.2f} s, {processor:.2f} s of processor time, {memory / 1024:.0f} MB (best of four, exit {exit})")
"""
"""Runs a command; in a process of its own, because Linux counts the memory of the one that forked."""


def commands(folder: Path) -> None:
    """Start commands as a login node does; wall time and largest memory."""
    (folder / "campaign.yaml").write_text(CAMPAIGN.format(n=100).replace("bench", "small"), encoding="utf-8")
    environment = {**os.environ, "GENMAT_DATA_FOLDER": str(folder / "data"), "PYTHONWARNINGS": "ignore"}
    # The first of the four runs compiles, as the first command after an installation does.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
    for name, arguments in (
        ("genmat submit", ["submit", "campaign.yaml"]),
        ("genmat status of all", ["status"]),
        ("genmat status of the large campaign", ["status", "bench"]),
    ):
        command = [sys.executable, "-c", MEASURE, sys.executable, "-m", "genmat.cli", *arguments]
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True)
        print(f"{name}: {done.stdout.strip()}", flush=True)


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=100_000, help="candidates in the large campaign")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings(data_folder=folder / "data")
        with connect(settings) as store:
            submission(store, 10_000)
            store.launchpad().fireworks.delete_many({})
            store.launchpad().workflows.delete_many({})
            orchestration(store, settings, n_jobs=100, n_chunks=40)
            documents(store, chosen.candidates)
            commands(folder)


if __name__ == "__main__":
    main()
