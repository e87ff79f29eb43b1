"""A worker: takes jobs of one stage from the LaunchPad, one after another, until there is nothing more to do.

FireWorks' own Rocket does each job. Around it: the worker is known in the database and gives signs of life, so that
nobody has to guess after hours whether it lives; it takes no job of a campaign that is paused or at its limits, and
none that its walltime would not let it begin.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
import threading
import time
import uuid
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genmat.database.campaigns import this_process
from genmat.database.cluster import Worker
from genmat.errors import GenmatError, StorageError
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
SCRATCH = 1 << 20
"""Bytes that the scratch folder must take before a job begins."""
SCRATCH_CHECKED = 5.0
"""Time for which a scratch folder that took them is trusted, s."""
GLANCE = 1.0
"""Age from which what a worker knows of the states of campaigns is looked up again, s."""


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

    Raises
    ------
    StorageError
        If the scratch folder takes no more: jobs are left to other workers, and what failed here for that counts as no
        attempt.
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
    n_done, checked = 0, -math.inf
    account = _Account(store, worker)
    gate = _Gate(store, launchpad, options, worker=worker)
    try:
        while options.max_jobs is None or n_done < options.max_jobs:
            now = time.monotonic()
            if options.seconds is not None and now - started >= options.seconds:
                break
            if now - checked > SCRATCH_CHECKED:
                _check_scratch(folder)
                checked = now
            launchpad.taken = launchpad.taken_id = None
            with _folder(folder):
                ran = Rocket(launchpad, gate.fworker(), fw_id=None).run()
            if launchpad.taken_id is not None and launchpad.has_failed(launchpad.taken_id):
                try:
                    _check_scratch(folder)
                except StorageError:
                    # A disk that is full would fail every job within a second, and none is to blame.
                    launchpad.forgive(launchpad.taken_id)
                    raise
            if ran:
                n_done += 1
                last = time.monotonic()
                account.add(launchpad.taken, last - now, at_once=gate.has_limits)
            elif now - last >= options.idle or not unfinished(store):
                break
            else:
                time.sleep(min(POLL, options.idle))
    finally:
        account.write()
    return n_done


class _Account:
    """Core time that a worker gave to each campaign; written now and then, and after each job where it is limited."""

    def __init__(self, store: Store, worker: Worker) -> None:
        self._store, self._worker = store, worker
        self._spent: dict[str, float] = {}
        self._written = time.monotonic()

    def add(self, campaign: str | None, seconds: float, *, at_once: bool) -> None:
        """Add the time of a job, s."""
        if campaign is not None:
            self._spent[campaign] = self._spent.get(campaign, 0.0) + seconds * self._worker.cores
        if at_once or time.monotonic() - self._written > GLANCE:
            self.write()

    def write(self) -> None:
        """Tell the database."""
        self._store.cluster.set_spent(self._worker.id, self._spent)
        self._written = time.monotonic()


class _Gate:
    """Which jobs may be taken: looked up before each job where campaigns have limits, else now and then."""

    def __init__(self, store: Store, launchpad: SessionLaunchPad, options: WorkerOptions, *, worker: Worker) -> None:
        self._store, self._launchpad, self._options, self._worker = store, launchpad, options, worker
        self._looked = -math.inf
        self._closed: list[str] = []
        self.has_limits = False

    def fworker(self) -> FWorker:
        """Return which jobs may be taken at this moment."""
        from fireworks.core.fworker import FWorker

        if self.has_limits or time.monotonic() - self._looked > GLANCE:
            self._look()
        query = {"spec.genmat.campaign": {"$nin": self._closed}} if self._closed else {}
        categories = [stage.value for stage in self._options.stages]
        return FWorker(name=self._worker.stage, category=categories, query=query, env={"worker": self._worker.id})

    def _look(self) -> None:
        submissions = self._store.cluster.submissions()
        closed = set(self._store.cluster.held(submissions))
        limits = {entry.id: entry.max_running for entry in submissions if entry.max_running is not None}
        if limits:
            running = self._launchpad.running()
            closed |= {name for name, limit in limits.items() if running.get(name, 0) >= limit}
        self.has_limits = bool(limits) or any(entry.max_core_hours is not None for entry in submissions)
        self._closed = sorted(closed)
        self._looked = time.monotonic()


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


def _check_scratch(folder: Path) -> None:
    probe = folder / "probe"
    try:
        with probe.open("wb") as file:
            file.write(bytes(SCRATCH))
            file.flush()
            os.fsync(file.fileno())
    except OSError as err:
        msg = (
            f"scratch folder {folder.parent}: {err.strerror}; make room there, or name another one with TMPDIR. "
            "The jobs wait for other workers"
        )
        raise StorageError(msg) from err
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


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
