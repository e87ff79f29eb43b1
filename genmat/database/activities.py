"""Activities: who used what to make what, and every attempt at it."""

from __future__ import annotations

import os
import socket
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

from genmat.database.collection import Collection
from genmat.database.documents import ActivityDocument, ActivityState, Attempt
from genmat.database.encoding import to_bson
from genmat.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from genmat.database.collection import Backend, Fields


class ActivityCollection(Collection[ActivityDocument]):
    """The provenance of all campaigns."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend, ActivityDocument)

    def begin_attempt(self, activity_id: str, *, attempt_id: str | None = None) -> Attempt:
        """Record that this process begins to work on an activity.

        Parameters
        ----------
        activity_id
            Registered activity.
        attempt_id
            Identifier of the attempt; a fresh one by default. Beginning one attempt twice records it once.

        Raises
        ------
        DatabaseError
            If the activity is not registered.
        """
        attempt = Attempt(
            id=attempt_id or uuid.uuid4().hex,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=self._backend.now(),
        )
        change: Fields = {"$push": {"attempts": to_bson(attempt.model_dump())}}
        self._backend.update(self.name, [({"_id": activity_id, "attempts.id": {"$ne": attempt.id}}, change)])
        unfinished = {"_id": activity_id, "state": {"$ne": ActivityState.COMPLETED.value}}
        self._backend.update(self.name, [(unfinished, {"$set": {"state": ActivityState.RUNNING.value}})])
        recorded = self.require(activity_id).attempts
        return next(entry for entry in recorded if entry.id == attempt.id)

    def complete(
        self,
        activity_id: str,
        attempt_id: str,
        *,
        generated: Iterable[str],
        counts: Mapping[str, int],
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Record that an attempt did the whole work; doing so twice changes nothing.

        Parameters
        ----------
        activity_id, attempt_id
            What :meth:`begin_attempt` was given and gave.
        generated
            Ids of the outputs, whether this attempt wrote them or an earlier one did.
        counts
            Candidates per reason, counted over all inputs of the activity.
        fields
            Other fields, such as ``job_uuid``.
        """
        self._end(activity_id, attempt_id, outcome=ActivityState.COMPLETED, error=None)
        values: dict[str, Any] = {"generated": sorted(set(generated)), "counts": dict(counts), **(fields or {})}
        values["state"] = ActivityState.COMPLETED
        self._backend.update(self.name, [({"_id": activity_id}, {"$set": self.to_fields(values)})])

    def fail(self, activity_id: str, attempt_id: str, *, error: str) -> None:
        """Record that an attempt failed; an activity that another attempt completed stays completed."""
        self._end(activity_id, attempt_id, outcome=ActivityState.FAILED, error=error)
        unfinished = {"_id": activity_id, "state": {"$ne": ActivityState.COMPLETED.value}}
        self._backend.update(self.name, [(unfinished, {"$set": {"state": ActivityState.FAILED.value}})])

    def park(self, activity_id: str) -> None:
        """Record that an activity is given up; one that was completed stays completed."""
        unfinished = {"_id": activity_id, "state": {"$ne": ActivityState.COMPLETED.value}}
        self._backend.update(self.name, [(unfinished, {"$set": {"state": ActivityState.PARKED.value}})])

    def unfinished(self, campaign: str, *, round_number: int | None = None, stage: str | None = None) -> list[str]:
        """Return the ids of the activities that are neither completed nor parked, sorted."""
        ended = [ActivityState.COMPLETED.value, ActivityState.PARKED.value]
        criteria = {**_criteria(campaign, round_number, stage), "state": {"$nin": ended}}
        return [stored["id"] for stored in self.project(criteria, ())]

    def counts(
        self, campaign: str, *, round_number: int | None = None, stage: str | None = None
    ) -> dict[str, dict[str, int]]:
        """Sum the counts of completed activities: candidates per reason, by stage."""
        criteria = {**_criteria(campaign, round_number, stage), "state": ActivityState.COMPLETED.value}
        totals: dict[str, Counter[str]] = {}
        for stored in self.project(criteria, ("stage", "counts")):
            totals.setdefault(stored["stage"], Counter()).update(stored["counts"] or {})
        return {name: dict(sorted(total.items())) for name, total in sorted(totals.items())}

    def states(self, campaign: str, *, round_number: int | None = None) -> dict[str, dict[str, int]]:
        """Count activities by state, by stage."""
        pipeline: list[Fields] = [
            {"$match": _criteria(campaign, round_number, None)},
            {"$group": {"_id": {"stage": "$stage", "state": "$state"}, "count": {"$sum": 1}}},
        ]
        totals: dict[str, dict[str, int]] = {}
        for row in self._backend.aggregate(self.name, pipeline):
            totals.setdefault(row["_id"]["stage"], {})[row["_id"]["state"]] = row["count"]
        return {name: totals[name] for name in sorted(totals)}

    def that_made(self, identifiers: Iterable[str]) -> list[ActivityDocument]:
        """Return the activities that generated any of some documents, by round and stage."""
        order = (("round", 1), ("stage", 1), ("_id", 1))
        return self.find({"generated": {"$in": list(identifiers)}}, sort=order)

    def _end(self, activity_id: str, attempt_id: str, *, outcome: ActivityState, error: str | None) -> None:
        attempts = {attempt.id: attempt for attempt in self.require(activity_id).attempts}
        if attempt_id not in attempts:
            msg = f"activity {activity_id!r} has no attempt {attempt_id!r}: begin it first"
            raise DatabaseError(msg)
        ended = {"ended_at": self._backend.now(), "outcome": outcome.value, "error": error}
        attempt = attempts[attempt_id].model_copy(update=ended)
        criteria = {"_id": activity_id, "attempts": {"$elemMatch": {"id": attempt_id, "ended_at": None}}}
        self._backend.update(self.name, [(criteria, {"$set": {"attempts.$": to_bson(attempt.model_dump())}})])


def _criteria(campaign: str, round_number: int | None, stage: str | None) -> Fields:
    criteria: Fields = {"campaign": campaign}
    if round_number is not None:
        criteria["round"] = round_number
    if stage is not None:
        criteria["stage"] = stage
    return criteria
