"""A worker: takes jobs of one stage from the LaunchPad, one after another, until there is nothing more to do.

FireWorks' own Rocket does each job. Around it: the worker is known in the database and gives signs of life, so that
nobody has to guess after hours whether it lives; it takes no job of a campaign that is paused or at its limits, and
none that its walltime would not let it begin.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import time
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genmat.database.campaigns import this_process
from genmat.database.cluster import Worker
from genmat.errors import GenmatError
from workflows.dispatch.stages import Stage
from workflows.session import n_cores, use_store, use_workers
from workflows.submission import unfinished

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fireworks.core.fworker import FWorker

    from genmat.database.launchpad import SessionLaunchPad
    from genmat.database.store import Store

logger = logging.getLogger(__name__)

HEARTBEAT = 15.0
"""Time between two signs of life, s."""
POLL = 1.0
"""Time between two looks for work while there is none, s."""


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker works.

    Parameters
    ----------
    stages
        Whose jobs it takes.
    cores
        Processes that relax; ``None`` for every core it may use.
    idle
        How long it waits for work before it ends, s.
    seconds
        Time after its start at which it takes no further job, s; ``None`` for no limit.
    queue_job
        Name of the queue job it runs in.
    max_jobs
        Jobs after which it ends; ``None`` for no limit.
    """

    stages: Sequence[Stage] = tuple(Stage)
    cores: int | None = None
    idle: float = 10.0
    seconds: float | None = None
    queue_job: str | None = None
    max_jobs: int | None = None


def work(store: Store, options: WorkerOptions) -> int:
    """Do jobs until there are none, and return how many were done.

    Parameters
    ----------
    store
        Database.
    options
        Which jobs, and when to stop.
    """
    if options.queue_job is not None and not store.cluster.report_start(options.queue_job):
        logger.warning("queue job %s was given up before it began: nothing to do", options.queue_job)
        return 0
    cores = options.cores or n_cores()
    launchpad = store.launchpad()
    with ExitStack() as stack:
        stack.enter_context(use_store(store))
        stack.enter_context(use_workers(cores))
        stack.enter_context(_outputs(store))
        folder = stack.enter_context(_scratch())
        worker = stack.enter_context(_enrolled(store, options, cores=cores))
        return _work(store, launchpad, options, worker=worker, folder=folder)


def _work(store: Store, launchpad: SessionLaunchPad, options: WorkerOptions, *, worker: Worker, folder: Path) -> int:
    from fireworks.core.rocket import Rocket

    started = last = time.monotonic()
    n_done = 0
    spent: dict[str, float] = {}
    while options.max_jobs is None or n_done < options.max_jobs:
        now = time.monotonic()
        if options.seconds is not None and now - started >= options.seconds:
            break
        fworker = _fworker(store, launchpad, options, worker=worker)
        with _folder(folder):
            ran = Rocket(launchpad, fworker, fw_id=None).run()
        if ran:
            n_done += 1
            last = time.monotonic()
            if (campaign := launchpad.last_campaign(worker.id)) is not None:
                spent[campaign] = spent.get(campaign, 0.0) + (last - now) * worker.cores
                store.cluster.set_spent(worker.id, spent)
        elif now - last >= options.idle or not unfinished(store):
            break
        else:
            time.sleep(min(POLL, options.idle))
    return n_done


def _fworker(store: Store, launchpad: SessionLaunchPad, options: WorkerOptions, *, worker: Worker) -> FWorker:
    """Return which jobs may be taken at this moment."""
    from fireworks.core.fworker import FWorker

    closed = set(store.cluster.held())
    limits = {entry.id: entry.max_running for entry in store.cluster.submissions() if entry.max_running is not None}
    if limits:
        running = launchpad.running()
        closed |= {name for name, limit in limits.items() if running.get(name, 0) >= limit}
    query = {"spec.genmat.campaign": {"$nin": sorted(closed)}} if closed else {}
    categories = [stage.value for stage in options.stages]
    return FWorker(name=worker.stage, category=categories, query=query, env={"worker": worker.id})


@contextmanager
def _enrolled(store: Store, options: WorkerOptions, *, cores: int) -> Iterator[Worker]:
    """Be known in the database, with a heartbeat from a thread."""
    worker = Worker(
        id=uuid.uuid4().hex,
        stage="+".join(options.stages),
        lease=this_process(store.cluster.now()),
        queue_job=options.queue_job,
        cores=cores,
    )
    store.cluster.enrol(worker)
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(HEARTBEAT):
            try:
                store.cluster.beat(worker.id)
            except GenmatError as err:
                logger.warning("no heartbeat: %s", err)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield worker
    finally:
        ended.set()
        thread.join()
        store.cluster.discharge(worker.id)


@contextmanager
def _outputs(store: Store) -> Iterator[None]:
    """Let jobflow's Firetask write to this database; specs name no store."""
    from jobflow import SETTINGS

    before = SETTINGS.JOB_STORE
    SETTINGS.JOB_STORE = store.job_store()
    try:
        yield
    finally:
        SETTINGS.JOB_STORE = before


@contextmanager
def _scratch() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="genmat-work-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _folder(parent: Path) -> Iterator[None]:
    """Be in a fresh folder: a Rocket writes into the present one, and reads an action that it finds there."""
    before = Path.cwd()
    path = Path(tempfile.mkdtemp(dir=parent))
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)
        shutil.rmtree(path, ignore_errors=True)
