"""Queue jobs asked for once: the intent is recorded first, and in doubt the queue decides.

::

    INTENDED ──answer or found in the queue──▶ SUBMITTED ──no longer in the queue──▶ ENDED
        └──not in the queue after GRACE, and no worker of it has reported──▶ ABANDONED

A worker of an abandoned queue job that shows up late ends at once, so a new one in its place is never a second one.
"""

from __future__ import annotations

import logging
import math
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from genmat.database.cluster import QueueJob, QueueJobState
from genmat.database.embedded import make_private
from workflows.dispatch.scheduler import SchedulerError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from genmat.database.store import Store
    from workflows.dispatch.scheduler import QueueEntry, Scheduler
    from workflows.dispatch.site import StageConfig
    from workflows.dispatch.stages import Stage

logger = logging.getLogger(__name__)

GRACE = timedelta(seconds=30)
"""Time after which a job that the scheduler took must be in its list."""
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 600.0
"""Pause after a refused queue job of a stage, doubled with each further one, s."""


def settle(store: Store, entries: Mapping[str, QueueEntry], *, grace: timedelta = GRACE, dry_run: bool = False) -> int:
    """Compare the queue jobs with what the scheduler lists, and return how many changed.

    Parameters
    ----------
    store
        Database.
    entries
        What waits or runs, by name; the scheduler's own word.
    grace
        Age from which a job that is not listed is not there.
    dry_run
        Change nothing.
    """
    changed = 0
    now = store.cluster.now()
    for job in store.cluster.queue_jobs():
        entry = entries.get(job.id)
        is_old = now - job.updated_at >= grace
        if job.state is QueueJobState.INTENDED and (entry is not None or job.started):
            state, fields = QueueJobState.SUBMITTED, {"queue_id": entry.queue_id if entry else None}
        elif job.state is QueueJobState.INTENDED and is_old:
            state, fields = QueueJobState.ABANDONED, {}
        elif job.state is QueueJobState.SUBMITTED and entry is None and is_old:
            state, fields = QueueJobState.ENDED, {}
        else:
            continue
        changed += 1
        if not dry_run:
            store.cluster.set_queue_job(job.id, state, expected=[job.state], **fields)
    return changed


def ask(store: Store, scheduler: Scheduler, config: StageConfig, *, stage: Stage, folder: Path) -> QueueJob:
    """Ask the scheduler for one queue job and return what is known of it.

    Parameters
    ----------
    store
        Database.
    scheduler
        Scheduler.
    config
        Resources of the stage.
    stage
        Stage.
    folder
        Folder under which queue jobs have one each; on a file system that all nodes share.
    """
    name = f"gm{stage[:3]}{secrets.token_hex(4)}"
    place = folder / name
    script = config.script(stage=stage, name=name, folder=place)
    make_private(folder)
    make_private(place)
    path = place / "submit.sh"
    path.write_text(script, encoding="utf-8")
    now = store.cluster.now()
    store.cluster.intend(QueueJob(id=name, stage=stage, queue=scheduler.kind, created_at=now, updated_at=now))
    try:
        queue_id = scheduler.submit(path)
    except SchedulerError as err:
        logger.warning("queue job %s: %s; the queue will tell whether it was taken", name, err)
        store.cluster.set_queue_job(name, QueueJobState.INTENDED, expected=[QueueJobState.INTENDED], error=str(err))
    else:
        store.cluster.set_queue_job(name, QueueJobState.SUBMITTED, expected=[QueueJobState.INTENDED], queue_id=queue_id)
    found = store.cluster.queue_job(name)
    if found is None:
        msg = f"queue job {name} vanished from the database"
        raise SchedulerError(msg)
    return found


def pause_left(store: Store, stage: Stage) -> float:
    """Return how long nothing is asked for a stage because the scheduler refused before, s."""
    history = [job for job in store.cluster.queue_jobs(open_only=False) if job.stage == stage]
    refused = 0
    for job in reversed(history):
        if job.state is not QueueJobState.ABANDONED:
            break
        refused += 1
    if not refused:
        return 0.0
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * math.pow(2, refused - 1))
    passed = (store.cluster.now() - history[-1].updated_at).total_seconds()
    return max(0.0, pause - passed)
