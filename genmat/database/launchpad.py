"""FireWorks' LaunchPad on the session of a store: no address, no password, and every call is retried.

A workflow of ours is stored under an id that follows from what it does, and so are its Fireworks. Whoever inserts it,
and however often, it exists once: MongoDB's ``_id`` is the only lock that this needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fireworks.core.launchpad import LaunchPad
from fireworks.utilities.fw_utilities import get_fw_logger
from gridfs import GridFS

from genmat.database.indexes import ENDED_JOBS, QUEUE_INDEXES
from genmat.database.retrying import SessionCollection
from genmat.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fireworks.core.firework import Firework, Workflow

    from genmat.database.session import Session

ACTIVE = ("READY", "RESERVED", "RUNNING", "FIZZLED")
"""States of Fireworks that something still happens to; one that waits does so for one of these, or for ever."""
_INSERTED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """A Firework that failed.

    Parameters
    ----------
    fw_id
        Its number.
    campaign, phase, activity_id
        What it does; the activity is ``None`` for bookkeeping.
    attempts
        How often it raised since it was last retried by hand.
    lost
        How often its worker vanished since then.
    failed_at
        Last change.
    traceback
        Of the last attempt.
    """

    fw_id: int
    campaign: str
    phase: str
    activity_id: str | None
    attempts: int
    lost: int
    failed_at: datetime
    traceback: str

    @property
    def error(self) -> str:
        """Last line of the traceback."""
        lines = [line for line in self.traceback.splitlines() if line.strip()]
        return lines[-1].strip() if lines else "no traceback"


@dataclass(frozen=True, slots=True)
class Run:
    """A Firework that is being run; ``worker`` is ``None`` if another launcher than ours took it."""

    launch_id: int
    fw_id: int
    worker: str | None


class SessionLaunchPad(LaunchPad):  # type: ignore[misc]
    """FireWorks' LaunchPad on a session that somebody else opens and closes.

    Parameters
    ----------
    session
        Database.

    Raises
    ------
    DatabaseError
        If the database lives in this process: FireWorks needs a server.
    """

    def __init__(self, session: Session) -> None:
        if session.in_process:
            msg = (
                f"{session.label} cannot hold a queue of jobs, which needs a MongoDB: set GENMAT_DATABASE_URI, "
                "or install a private one with: python -m genmat.database.install"
            )
            raise DatabaseError(msg)
        self._session = session
        self.host = self.port = self.username = self.password = self.authsource = self.logdir = None
        self.name = session.database_name
        self.uri_mode = True
        self.mongoclient_kwargs: dict[str, Any] = {}
        self.strm_lvl = "WARNING"
        self.m_logger = get_fw_logger("launchpad", l_dir=None, stream_level="WARNING")
        self.user_indices: list[str] = []
        self.wf_user_indices: list[str] = []
        for collection in ("fireworks", "launches", "offline_runs", "fw_id_assigner", "workflows"):
            setattr(self, collection, SessionCollection(session, collection, durable=False))
        self.gridfs_fallback = None if session.read_only else session.run(lambda base: GridFS(base, "fw_gridfs"))
        self.backup_launch_data: dict[int, Any] = {}
        self.backup_fw_data: dict[int, Any] = {}
        self.taken: str | None = None
        self.taken_id: int | None = None

    def prepare(self) -> None:
        """Create the counters of a new LaunchPad and every index, FireWorks' own and ours."""
        if not self._session.count("fw_id_assigner", {}):
            self._session.insert("fw_id_assigner", [{"_id": "genmat", "next_fw_id": 1, "next_launch_id": 1}])
        # FireWorks' own; its tuneup also compacts and knows no session.
        for collection, field in (("fireworks", "fw_id"), ("launches", "launch_id")):
            getattr(self, collection).create_index(field, unique=True)
        for field in ("nodes", "updated_on"):
            self.workflows.create_index(field)
        for field in ("launches", "updated_on"):
            self.fireworks.create_index(field)
        self._session.create_indexes(QUEUE_INDEXES)

    def insert_once(self, workflows: Mapping[str, Workflow]) -> list[str]:
        """Insert workflows of which no other has the same id; finish those whose insertion was cut short.

        Parameters
        ----------
        workflows
            New workflows by id. Each process that inserts one id must build the same workflow.

        Returns
        -------
        list
            Ids that were absent when this call looked.
        """
        inserted: list[str] = []
        pending = list(workflows)
        for start in range(0, len(pending), _INSERTED_AT_ONCE):
            inserted += self._insert_once({key: workflows[key] for key in pending[start : start + _INSERTED_AT_ONCE]})
        return inserted

    def _insert_once(self, workflows: Mapping[str, Workflow]) -> list[str]:
        present = self._nodes(workflows)
        absent = [key for key in workflows if key not in present]
        if absent:
            first = self.get_new_fw_id(quantity=sum(len(workflows[key].id_fw) for key in absent))
            for key in absent:
                _number(workflows[key], range(first, first + len(workflows[key].id_fw)))
                first += len(workflows[key].id_fw)
            # Workflows first: a Firework that a launcher finds must have one.
            self._session.insert("workflows", [{"_id": key, **workflows[key].to_db_dict()} for key in absent])
            present = self._nodes(workflows)
        fireworks = []
        for key, workflow in workflows.items():
            # Whoever inserted the workflow has numbered it.
            _number(workflow, sorted(present[key]))
            names = [f"{key}/{position}" for position in range(len(workflow.id_fw))]
            fireworks += [
                {"_id": name, **firework.to_db_dict()}
                for name, (_, firework) in zip(names, sorted(workflow.id_fw.items()), strict=True)
            ]
        wanted = [firework["_id"] for firework in fireworks]
        there = {found["_id"] for found in self._session.find("fireworks", {"_id": {"$in": wanted}}, fields=())}
        self._session.insert("fireworks", [firework for firework in fireworks if firework["_id"] not in there])
        return absent

    def _nodes(self, identifiers: Iterable[str]) -> dict[str, list[int]]:
        found = self._session.find("workflows", {"_id": {"$in": list(identifiers)}}, fields=("nodes",))
        return {entry["_id"]: entry["nodes"] for entry in found}

    def count_workflows(self, campaign: str, *, round_number: int, phase: str) -> int:
        """Count the workflows of one phase of one round."""
        names = {"campaign": campaign, "round": round_number, "phase": phase}
        return self._session.count("workflows", {f"metadata.genmat.{key}": value for key, value in names.items()})

    def incomplete(self) -> list[str]:
        """Return the ids of workflows of ours that lack Fireworks: their insertion was cut short."""
        pipeline: list[dict[str, Any]] = [
            {"$match": {"metadata.genmat": {"$exists": True}}},
            {"$lookup": {"from": "fireworks", "localField": "nodes", "foreignField": "fw_id", "as": "found"}},
            {"$project": {"missing": {"$subtract": [{"$size": "$nodes"}, {"$size": "$found"}]}}},
            {"$match": {"missing": {"$gt": 0}}},
        ]
        return [str(entry["_id"]) for entry in self._session.aggregate("workflows", pipeline)]

    def forget(self, identifiers: Sequence[str]) -> None:
        """Delete workflows without Fireworks, so that they can be inserted again."""
        nodes = [node for group in self._nodes(identifiers).values() for node in group]
        found = self._session.find("fireworks", {"fw_id": {"$in": nodes}}, fields=())
        self._session.delete("fireworks", [entry["_id"] for entry in found])
        self._session.delete("workflows", list(identifiers))

    def states(self, campaign: str) -> dict[str, int]:
        """Count the Fireworks of a campaign by state."""
        pipeline: list[dict[str, Any]] = [
            {"$match": {"spec.genmat.campaign": campaign}},
            {"$group": {"_id": "$state", "count": {"$sum": 1}}},
        ]
        return {row["_id"]: row["count"] for row in self._session.aggregate("fireworks", pipeline)}

    def count_ready(self, category: str, *, held: Sequence[str] = ()) -> int:
        """Count the Fireworks of a category that could begin, without those of some campaigns."""
        criteria = {"state": "READY", "spec._category": category, "spec.genmat.campaign": {"$nin": list(held)}}
        return self._session.count("fireworks", criteria)

    def running(self) -> dict[str, int]:
        """Count the running Fireworks by campaign."""
        pipeline: list[dict[str, Any]] = [
            {"$match": {"state": {"$in": ["RUNNING", "RESERVED"]}}},
            {"$group": {"_id": "$spec.genmat.campaign", "count": {"$sum": 1}}},
        ]
        return {row["_id"]: row["count"] for row in self._session.aggregate("fireworks", pipeline) if row["_id"]}

    def fireworks_of(self, activity_id: str) -> list[int]:
        """Return the numbers of the Fireworks that do an activity."""
        found = self._session.find("fireworks", {"spec.genmat.activity_id": activity_id}, fields=("fw_id",))
        return sorted(entry["fw_id"] for entry in found)

    def stop_jobs(self, field: str, value: str) -> None:
        """Defuse the Fireworks that have not ended and hold a value in a field of their specification."""
        criteria = {field: value, "state": {"$nin": list(ENDED_JOBS)}}
        for entry in self._session.find("fireworks", criteria, fields=("fw_id",)):
            self.defuse_fw(entry["fw_id"])

    def count_active(self, campaign: str) -> int:
        """Count the Fireworks of a campaign that something still happens to."""
        return self._session.count("fireworks", {"spec.genmat.campaign": campaign, "state": {"$in": list(ACTIVE)}})

    def locked(self) -> dict[Any, Any]:
        """Return the workflows that are locked, with the time of their last change."""
        found = self._session.find("workflows", {"locked": {"$exists": True}}, fields=("updated_on",))
        return {entry["_id"]: entry["updated_on"] for entry in found}

    def unlock(self, identifiers: Sequence[Any]) -> None:
        """Take the lock off workflows."""
        self._session.update("workflows", [({"_id": key}, {"$unset": {"locked": True}}) for key in identifiers])

    def open_runs(self) -> list[Run]:
        """Return what is being run according to the database."""
        found = self._session.find("launches", {"state": "RUNNING"}, fields=("launch_id", "fw_id", "fworker.env"))
        return [
            Run(entry["launch_id"], entry["fw_id"], ((entry.get("fworker") or {}).get("env") or {}).get("worker"))
            for entry in found
        ]

    def rerun_lost(self, run: Run) -> None:
        """Let a job run again whose worker is gone."""
        firework = self._session.find("fireworks", {"fw_id": run.fw_id}, fields=("launches", "state"), limit=1)
        if firework and run.launch_id in firework[0]["launches"] and firework[0]["state"] == "RUNNING":
            self.mark_fizzled(run.launch_id)
            self.rerun_fw(run.fw_id)
            return
        # The worker died before the job knew of its launch: the job itself is a reservation, or runs elsewhere.
        self.launches.update_one({"launch_id": run.launch_id, "state": "RUNNING"}, {"$set": {"state": "FIZZLED"}})

    def inconsistent(self) -> list[int]:
        """Return running Fireworks whose last launch has ended: the worker died before it could say so."""
        pipeline: list[dict[str, Any]] = [
            {"$match": {"state": "RUNNING"}},
            {"$lookup": {"from": "launches", "localField": "launches", "foreignField": "launch_id", "as": "runs"}},
            {"$match": {"runs": {"$not": {"$elemMatch": {"state": {"$in": ["RUNNING", "RESERVED"]}}}}}},
            {"$project": {"fw_id": 1}},
        ]
        return [entry["fw_id"] for entry in self._session.aggregate("fireworks", pipeline)]

    def refresh(self, fw_id: int) -> None:
        """Take the state of a Firework from its launches."""
        self._refresh_wf(fw_id)

    def reservations(self, *, before: datetime) -> dict[int, str | None]:
        """Return Fireworks that have been reserved since before a time, with the scheduler's number if there is one."""
        fields = ("fw_id", "updated_on", "launches")
        reserved = {}
        for entry in self._session.find("fireworks", {"state": "RESERVED"}, fields=fields):
            if _as_time(entry["updated_on"]) < before:
                numbers = {"launch_id": {"$in": entry["launches"]}, "state": "RESERVED"}
                launches = self._session.find("launches", numbers, fields=("state_history",))
                history = [step for launch in launches for step in launch["state_history"]]
                known = [str(step["reservation_id"]) for step in history if "reservation_id" in step]
                reserved[entry["fw_id"]] = known[-1] if known else None
        return reserved

    def checkout_fw(self, *arguments: Any, **options: Any) -> tuple[Firework | None, int | None]:
        """Take the next job as FireWorks does, and remember its campaign in ``taken``, its number in ``taken_id``."""
        firework, launch_id = super().checkout_fw(*arguments, **options)
        if firework is not None:
            self.taken = firework.spec.get("genmat", {}).get("campaign")
            self.taken_id = firework.fw_id
        return firework, launch_id

    def has_failed(self, fw_id: int) -> bool:
        """Return whether the last attempt of a Firework raised."""
        return bool(self._session.count("fireworks", {"fw_id": fw_id, "state": "FIZZLED"}))

    def failures(self, campaign: str | None = None, *, state: str = "FIZZLED") -> list[Failure]:
        """Return the Fireworks of ours that failed, or with ``state`` DEFUSED those that were parked."""
        criteria: dict[str, Any] = {"state": state, "spec.genmat.campaign": campaign or {"$exists": True}}
        fields = ("fw_id", "spec.genmat", "spec._exception_details", "updated_on", "launches", "archived_launches")
        return [self._failure(found) for found in self._session.find("fireworks", criteria, fields=fields)]

    def _failure(self, found: Mapping[str, Any]) -> Failure:
        about = found["spec"]["genmat"]
        numbers = [*found["archived_launches"], *found["launches"]]
        criteria = {"launch_id": {"$in": numbers}, "state": "FIZZLED"}
        launches = self._session.find("launches", criteria, fields=("launch_id", "action"), sort=(("launch_id", 1),))
        launches = launches[about.get("forgiven", 0) :]
        raised = [_traceback(launch) for launch in launches if _traceback(launch)]
        early = found["spec"].get("_exception_details", {}).get("_stacktrace", "")
        return Failure(
            fw_id=found["fw_id"],
            campaign=about["campaign"],
            phase=about["phase"],
            activity_id=about.get("activity_id"),
            attempts=len(raised) + bool(early),
            lost=len(launches) - len(raised),
            failed_at=_as_time(found["updated_on"]),
            traceback=(raised or [early])[-1],
        )

    def forgive(self, fw_id: int) -> None:
        """Run a failed or parked Firework again and begin to count its attempts anew."""
        found = self._session.find("fireworks", {"fw_id": fw_id}, limit=1)[0]
        numbers = [*found["archived_launches"], *found["launches"]]
        spent = self._session.count("launches", {"launch_id": {"$in": numbers}, "state": "FIZZLED"})
        change = {"$set": {"spec.genmat.forgiven": spent}, "$unset": {"spec._exception_details": True}}
        self._session.update("fireworks", [({"_id": found["_id"]}, change)])
        self.reignite_fw(fw_id)
        self.rerun_fw(fw_id)

    def to_dict(self) -> dict[str, Any]:
        """Return what may be written down: only the name of the database."""
        return {"name": self.name}


def _number(workflow: Workflow, numbers: Iterable[int]) -> None:
    """Give the Fireworks of a workflow their numbers, in order; roots may begin at once."""
    renamed = dict(zip(sorted(workflow.id_fw, key=_place), numbers, strict=True))
    for old, firework in list(workflow.id_fw.items()):
        firework.fw_id = renamed[old]
    workflow._reassign_ids(renamed)  # noqa: SLF001 - FireWorks has no public way
    for root in workflow.root_fw_ids:
        workflow.id_fw[root].state = "READY"
        workflow.fw_states[root] = "READY"


def _place(number: int) -> tuple[bool, int]:
    """Return a sort key by the order in which Fireworks were made: FireWorks numbers new ones downwards from -1."""
    return number >= 0, abs(number)


def _traceback(launch: Mapping[str, Any]) -> str:
    action = launch.get("action") or {}
    return str((action.get("stored_data") or {}).get("_exception", {}).get("_stacktrace") or "")


def _as_time(value: Any) -> datetime:
    """Return a time that FireWorks wrote, as text or as a date, in UTC."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
