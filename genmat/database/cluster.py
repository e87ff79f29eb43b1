"""What a cluster does for campaigns: who submitted them, which queue jobs were asked for, which workers live.

These records steer work and describe no crystal; the scientific documents are in :mod:`genmat.database.documents`.
Fields that another release added are ignored, so that workers of two releases work side by side.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from genmat.database.campaigns import is_stale
from genmat.database.documents import CampaignState, Lease, Time
from genmat.database.encoding import to_bson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from genmat.database.session import Session

SUBMISSIONS, QUEUE_JOBS, WORKERS = "submissions", "queue_jobs", "workers"
ENDED_AFTER = 300.0
"""Silence after which a worker whose queue job still runs counts as dead, s."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, defer_build=True)

    id: str = Field(description="Stored as _id")


class Submission(_Record):
    """A campaign that was handed to workers; the id is its name."""

    priority: int = Field(default=0, description="The larger, the earlier its jobs run")
    max_running: int | None = Field(default=None, ge=1, description="Jobs of this campaign that run at once")
    max_core_hours: float | None = Field(default=None, gt=0, description="Core hours after which no job begins, h")
    notified: str | None = Field(default=None, description="Last state that was announced")
    submitted_at: Time = Field(description="When it was handed over first")


class QueueJobState(StrEnum):
    """Life of a queue job."""

    INTENDED = "intended"
    SUBMITTED = "submitted"
    ENDED = "ended"
    ABANDONED = "abandoned"


class QueueJob(_Record):
    """A job of the scheduler in which workers run; the id is its name in the queue, which nothing else has."""

    stage: str = Field(description="Stage whose work it does")
    queue: str = Field(description="Kind of scheduler: slurm or pbs")
    queue_id: str | None = Field(default=None, description="Number that the scheduler gave it")
    state: QueueJobState = Field(default=QueueJobState.INTENDED, description="intended, submitted, ended, abandoned")
    started: bool = Field(default=False, description="Whether a worker of it has reported")
    error: str | None = Field(default=None, description="What the scheduler said when it did not take it")
    created_at: Time = Field(description="When it was intended, by the database's clock")
    updated_at: Time = Field(description="Last change of state")


class Worker(_Record):
    """A process that does jobs."""

    stage: str = Field(description="Stage whose work it does")
    lease: Lease = Field(description="Where it lives; its heartbeat")
    queue_job: str | None = Field(default=None, description="Queue job it runs in, if any")
    cores: int = Field(default=1, ge=1, description="Cores it uses")
    spent: dict[str, float] = Field(default_factory=dict, description="Core time of its ended jobs by campaign, s")
    ended_at: Time | None = Field(default=None, description="When it ended by itself")

    def is_gone(self, *, now: datetime, in_queue: bool | None) -> bool:
        """Return whether the process is certain to do nothing any more.

        Parameters
        ----------
        now
            Time of the database's clock.
        in_queue
            Whether its queue job still exists; ``None`` if it has none or the scheduler does not answer.
        """
        if self.ended_at is not None or in_queue is False:
            return True
        silent = (now - self.lease.heartbeat).total_seconds()
        if in_queue:
            # A worker on another host may have been killed inside an allocation that goes on.
            return silent > ENDED_AFTER or is_stale(self.lease, now=self.lease.heartbeat)
        if self.queue_job is not None:
            return is_stale(self.lease, now=self.lease.heartbeat)
        return is_stale(self.lease, now=now)


class Cluster:
    """The three collections of these records.

    Parameters
    ----------
    session
        Database that holds them.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def submit(self, submission: Submission) -> Submission:
        """Record that a campaign is handed over; a later hand-over changes its priority and limits."""
        self._session.insert(SUBMISSIONS, [_stored(submission)])
        limits = {name: getattr(submission, name) for name in ("priority", "max_running", "max_core_hours")}
        self._session.update(SUBMISSIONS, [({"_id": submission.id}, {"$set": limits})])
        return submission

    def submission(self, name: str) -> Submission | None:
        """Return the hand-over of a campaign, or ``None``."""
        found = self._session.find(SUBMISSIONS, {"_id": name}, limit=1)
        return Submission(**_loaded(found[0])) if found else None

    def submissions(self) -> list[Submission]:
        """Return all hand-overs by name."""
        return [Submission(**_loaded(entry)) for entry in self._session.find(SUBMISSIONS, {}, sort=(("_id", 1),))]

    def set_spent(self, worker_id: str, spent: Mapping[str, float]) -> None:
        """Record the core time that a worker gave to each campaign so far, s; only the worker itself calls this."""
        self._session.update(WORKERS, [({"_id": worker_id}, {"$set": {"spent": dict(spent)}})])

    def spent(self) -> dict[str, float]:
        """Return the core time of ended jobs by campaign, s, a sum over all workers."""
        found: dict[str, float] = {}
        for entry in self._session.find(WORKERS, {}, fields=("spent",)):
            for name, seconds in entry.get("spent", {}).items():
                found[name] = found.get(name, 0.0) + seconds
        return found

    def begin_notice(self, name: str, state: str) -> bool:
        """Return whether this process is the one that announces a campaign's new state."""
        criteria = {"_id": name, "notified": {"$ne": state}}
        return self._session.modify(SUBMISSIONS, criteria, {"$set": {"notified": state}}) is not None

    def held(self, submissions: Iterable[Submission] | None = None) -> list[str]:
        """Return the campaigns of which no job may begin: not running, or their core hours are spent.

        Parameters
        ----------
        submissions
            All hand-overs, if they are known; spares reading them.
        """
        states = [CampaignState.PAUSED, CampaignState.CANCELLED, CampaignState.FAILED]
        criteria = {"state": {"$in": [state.value for state in states]}}
        stopped = [entry["_id"] for entry in self._session.find("campaigns", criteria, fields=())]
        known = self.submissions() if submissions is None else submissions
        limited = {entry.id: entry.max_core_hours for entry in known if entry.max_core_hours is not None}
        spent = self.spent() if limited else {}
        over = [name for name, hours in limited.items() if spent.get(name, 0.0) >= 3600 * hours]
        return sorted({*stopped, *over})

    def intend(self, job: QueueJob) -> None:
        """Record a queue job before the scheduler is asked for it."""
        self._session.insert(QUEUE_JOBS, [_stored(job)])

    def set_queue_job(
        self, name: str, state: QueueJobState, *, expected: Iterable[QueueJobState], **fields: Any
    ) -> bool:
        """Change the state of a queue job; return whether it was in one of the expected states.

        Parameters
        ----------
        name
            Queue job.
        state
            New state.
        expected
            States from which this is allowed.
        fields
            Further fields, such as ``queue_id``.
        """
        criteria: dict[str, Any] = {"_id": name, "state": {"$in": [entry.value for entry in expected]}}
        if state is QueueJobState.ABANDONED:
            criteria["started"] = False
        change = {"state": state.value, "updated_at": self._session.now(), **fields}
        return self._session.modify(QUEUE_JOBS, criteria, {"$set": change}) is not None

    def report_start(self, name: str) -> bool:
        """Record that a worker of a queue job runs; return False if the job was given up meanwhile."""
        criteria = {"_id": name, "state": {"$ne": QueueJobState.ABANDONED.value}}
        return self._session.modify(QUEUE_JOBS, criteria, {"$set": {"started": True}}) is not None

    def queue_jobs(self, *, open_only: bool = True) -> list[QueueJob]:
        """Return queue jobs by age; those that are intended or submitted, unless all are asked for."""
        states = [QueueJobState.INTENDED.value, QueueJobState.SUBMITTED.value]
        criteria = {"state": {"$in": states}} if open_only else {}
        found = self._session.find(QUEUE_JOBS, criteria, sort=(("created_at", 1), ("_id", 1)))
        return [QueueJob(**_loaded(entry)) for entry in found]

    def queue_job(self, name: str) -> QueueJob | None:
        """Return a queue job, or ``None``."""
        found = self._session.find(QUEUE_JOBS, {"_id": name}, limit=1)
        return QueueJob(**_loaded(found[0])) if found else None

    def enrol(self, worker: Worker) -> None:
        """Record a worker that begins."""
        self._session.replace(WORKERS, [_stored(worker)])

    def beat(self, worker_id: str) -> None:
        """Give a worker's sign of life."""
        self._session.update(WORKERS, [({"_id": worker_id}, {"$set": {"lease.heartbeat": self._session.now()}})])

    def discharge(self, worker_id: str) -> None:
        """Record that a worker ended by itself."""
        self._session.update(WORKERS, [({"_id": worker_id}, {"$set": {"ended_at": self._session.now()}})])

    def workers(self, *, open_only: bool = True) -> list[Worker]:
        """Return workers; those that have not said that they ended, unless all are asked for."""
        found = self._session.find(WORKERS, {"ended_at": None} if open_only else {}, sort=(("_id", 1),))
        return [Worker(**_loaded(entry)) for entry in found]

    def now(self) -> datetime:
        """Return the time of the database's clock."""
        return self._session.now()


def _stored(record: _Record) -> dict[str, Any]:
    fields: dict[str, Any] = to_bson(record.model_dump())
    return {"_id": fields.pop("id"), **fields}


def _loaded(stored: dict[str, Any]) -> dict[str, Any]:
    fields = dict(stored)
    return {"id": fields.pop("_id"), **fields}
