"""Find what clusters break, and mend it: lost runs, reservations, locks, queue jobs, workflows cut short.

Nothing is judged by a clock that somebody else can answer: whether a worker lives is asked of the scheduler and of
this host's process table, and only a worker on another host without a scheduler is judged by its silence.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from genmat.database.cluster import QueueJobState
from genmat.database.documents import CampaignState
from workflows.dispatch.allocation import GRACE, settle
from workflows.dispatch.scheduler import SchedulerError
from workflows.steps import ADVANCE
from workflows.submission import insert_step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genmat.database.cluster import Worker
    from genmat.database.launchpad import SessionLaunchPad
    from genmat.database.store import Store
    from workflows.dispatch.scheduler import QueueEntry, Scheduler

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was broken.

    Parameters
    ----------
    kind
        ``lost run``, ``expired lock``, ``orphaned reservation``, …
    subject
        What it concerns.
    action
        What was done about it, or would be.
    """

    kind: str
    subject: str
    action: str


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things may stay as they are before they count as broken.

    Parameters
    ----------
    lock
        A workflow's lock that is held unchanged for this long has lost its owner: locks last milliseconds, s.
    reservation
        A reserved job without a worker; taking a job lasts milliseconds, or as long as the database is away.
    grace
        A queue job that the scheduler does not list.
    """

    lock: float = 5.0
    reservation: timedelta = timedelta(seconds=60)
    grace: timedelta = GRACE


def reconcile(
    store: Store,
    scheduler: Scheduler | None,
    *,
    dry_run: bool = False,
    patience: Patience | None = None,
    references: bool = False,
) -> list[Finding]:
    """Find and mend what is broken; return what was found.

    Parameters
    ----------
    store
        Database.
    scheduler
        Who is asked whether queue jobs live; ``None`` where there is none.
    dry_run
        Change nothing.
    patience
        How long things may stay as they are.
    references
        Also look for references whose target is absent, which reads every reference once.
    """
    patience = patience or Patience()
    launchpad = store.launchpad()
    findings = [] if dry_run else _replay(store)
    if not dry_run:
        launchpad.prepare()
    entries: Mapping[str, QueueEntry] | None = None
    if scheduler is not None:
        try:
            entries = scheduler.jobs()
        except SchedulerError as err:
            findings.append(Finding("scheduler", scheduler.kind, f"does not answer, its workers are left alone: {err}"))
        else:
            changed = settle(store, entries, grace=patience.grace, dry_run=dry_run)
            if changed:
                findings.append(Finding("queue jobs", str(changed), "state taken from the queue"))
    findings += _unlock(launchpad, patience, dry_run=dry_run)
    findings += _rerun_lost(store, launchpad, entries, dry_run=dry_run)
    findings += _refresh(launchpad, dry_run=dry_run)
    findings += _release(store, launchpad, entries, patience, dry_run=dry_run)
    findings += _finish_insertions(launchpad, dry_run=dry_run)
    if references:
        findings += _mend_references(store, launchpad, dry_run=dry_run)
    findings += _wake_campaigns(store, launchpad, dry_run=dry_run)
    return findings


def _replay(store: Store) -> list[Finding]:
    return [
        Finding("spooled results", path.name, f"{count} writes replayed")
        for path, count in store.replay_spool().items()
    ]


def _unlock(launchpad: SessionLaunchPad, patience: Patience, *, dry_run: bool) -> list[Finding]:
    before = launchpad.locked()
    if not before:
        return []
    time.sleep(patience.lock)
    stuck = [key for key, updated in launchpad.locked().items() if before.get(key) == updated]
    if not dry_run:
        launchpad.unlock(stuck)
    return [Finding("expired lock", str(key), "unlocked") for key in stuck]


def _rerun_lost(
    store: Store, launchpad: SessionLaunchPad, entries: Mapping[str, QueueEntry] | None, *, dry_run: bool
) -> list[Finding]:
    workers = {worker.id: worker for worker in store.cluster.workers(open_only=False)}
    findings = []
    for run in launchpad.open_runs():
        worker = workers.get(run.worker or "")
        if worker is None or not _is_gone(store, worker, entries):
            continue
        if not dry_run:
            launchpad.rerun_lost(run)
        where = f"worker on {worker.lease.host}" + (f", queue job {worker.queue_job}" if worker.queue_job else "")
        findings.append(Finding("lost run", f"job {run.fw_id}", f"its {where} is gone: runs again"))
    return findings


def _is_gone(store: Store, worker: Worker, entries: Mapping[str, QueueEntry] | None) -> bool:
    in_queue: bool | None = None
    if worker.queue_job is not None:
        job = store.cluster.queue_job(worker.queue_job)
        if job is not None and job.state is QueueJobState.ENDED:
            in_queue = False
        elif entries is not None:
            in_queue = worker.queue_job in entries
    return worker.is_gone(now=store.cluster.now(), in_queue=in_queue)


def _refresh(launchpad: SessionLaunchPad, *, dry_run: bool) -> list[Finding]:
    findings = []
    for fw_id in launchpad.inconsistent():
        if not dry_run:
            launchpad.refresh(fw_id)
        findings.append(Finding("unfinished bookkeeping", f"job {fw_id}", "its result is there: state taken from it"))
    return findings


def _release(
    store: Store,
    launchpad: SessionLaunchPad,
    entries: Mapping[str, QueueEntry] | None,
    patience: Patience,
    *,
    dry_run: bool,
) -> list[Finding]:
    known = None if entries is None else {entry.queue_id for entry in entries.values()}
    before = store.cluster.now() - patience.reservation
    findings = []
    for fw_id, reservation in launchpad.reservations(before=before).items():
        # Reserved by FireWorks' own qlaunch: the scheduler knows whether its job lives.
        if reservation is not None and (known is None or reservation in known):
            continue
        if not dry_run:
            launchpad.rerun_fw(fw_id)
        findings.append(Finding("orphaned reservation", f"job {fw_id}", "ready again"))
    return findings


def _finish_insertions(launchpad: SessionLaunchPad, *, dry_run: bool) -> list[Finding]:
    cut_short = launchpad.incomplete()
    if cut_short and not dry_run:
        launchpad.forget(cut_short)
    return [Finding("workflow cut short", key, "removed, to be inserted again") for key in cut_short]


def _mend_references(store: Store, launchpad: SessionLaunchPad, *, dry_run: bool) -> list[Finding]:
    """Draw lost structures again, stop jobs of what does not exist, and tell of the rest, which a backup may hold."""
    findings = []
    for entry in store.dangling():
        jobs: list[int] = []
        action = f"restore it with genmat restore, or delete the entry in {entry.collection}"
        if entry.collection == "fireworks":
            if not dry_run:
                launchpad.stop_jobs(entry.field, entry.target)
            action = "stopped: there is nothing that it could do"
        elif (entry.collection, entry.field) == ("candidates", "structure_id"):
            # A draw follows from its seed: done again, it gives the same crystal under the same id.
            made = store.provenance.that_made([entry.target])
            jobs = [number for activity in made for number in launchpad.fireworks_of(activity.id)]
        for number in jobs:
            if not dry_run:
                launchpad.rerun_fw(number)
            action = f"job {number} draws it again"
        subject = f"{entry.collection} {entry.key}, {entry.field} {entry.target}"
        findings.append(Finding("dangling reference", subject, action))
    return findings


def _wake_campaigns(store: Store, launchpad: SessionLaunchPad, *, dry_run: bool) -> list[Finding]:
    """Advance campaigns that are running and have nothing that could still happen."""
    findings = []
    for document in store.campaigns.find({"state": CampaignState.RUNNING.value}):
        submission = store.cluster.submission(document.id)
        if submission is None or launchpad.count_active(document.id):
            continue
        if not dry_run:
            cause = f"idle-{sum(launchpad.states(document.id).values())}"
            insert_step(launchpad, document.id, ADVANCE, cause=cause, priority=submission.priority)
        findings.append(Finding("idle campaign", document.id, "advanced: it had work left and no job for it"))
    return findings
