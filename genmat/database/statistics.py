"""Counts over a whole campaign, each answered from an index or from a bounded number of documents.

A candidate's document says where it ended; how many passed a stage follows from how many ended behind it. So a funnel
needs no verdicts, only the index of (round, stage, reason, status).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from genmat.database.summary import StageCounts
from genmat.screening.verdict import Stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from genmat.database.collection import Backend, Fields

SAMPLE = 10_000
"""Relaxed candidates that histograms of properties and the table of elements look at, nearest to the hull first."""
ACTIVITIES = 20_000
"""Activities that the cost of a campaign is summed over, the latest rounds first."""
JOB_STATES = (
    "WAITING",
    "READY",
    "RESERVED",
    "RUNNING",
    "COMPLETED",
    "FIZZLED",
    "PAUSED",
    "DEFUSED",
    "ARCHIVED",
)
"""States of FireWorks' jobs."""
PAIRS = 2000
"""Values of DFT that are compared with the potential's."""
LARGE = 200_000
"""Candidates from which ways to end are counted one by one."""
_END = ("round", "stage", "reason", "status")
"""What makes a way to end, in the order of the index."""
BIN = 0.02
"""Width of the bins of distances to the hull, eV/atom."""


@dataclass(frozen=True, slots=True)
class End:
    """How many candidates of a round ended in one way, or stand there."""

    round: int
    stage: str
    reason: str
    status: str
    count: int


@dataclass(frozen=True, slots=True)
class RelaxedCandidate:
    """What histograms need of a relaxed candidate; energies in eV/atom, properties in the campaign's units."""

    round: int
    status: str
    energy_above_hull: float
    elements: tuple[str, ...]
    space_group_number: int | None
    properties: Mapping[str, float]


@dataclass(slots=True)
class Work:
    """What one kind of work cost: hours of attempts, activities by state, candidates that it has done."""

    stage: str
    hours: float = 0.0
    attempts: int = 0
    failed_attempts: int = 0
    candidates: int = 0
    states: Counter[str] = field(default_factory=Counter)
    first: datetime | None = None
    last: datetime | None = None
    recent: int = 0
    """Candidates done in the last hour of work."""

    @property
    def per_hour(self) -> float | None:
        """Candidates an hour, over the last hour of work; ``None`` before anything was done."""
        if self.first is None or self.last is None or not self.recent:
            return None
        hours = min(1.0, (self.last - self.first).total_seconds() / 3600.0)
        return self.recent / hours if hours > 0.0 else None


@dataclass(frozen=True, slots=True)
class Pair:
    """A property of a candidate by the potential and by DFT, both in ``unit``; ``fidelity`` is that of DFT."""

    candidate_id: str
    formula: str
    screened: float
    computed: float
    fidelity: str
    unit: str


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A job of FireWorks that failed: its number, name, campaign, host, last change and traceback."""

    number: int
    name: str
    campaign: str | None
    host: str
    changed: str
    traceback: str


class Statistics:
    """Counts over the campaigns of a database."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def ends(self, campaign: str) -> list[End]:
        """Count where the candidates of a campaign ended or stand."""
        # This index holds all that is asked for: to pass over whole documents would read them.
        order = ("campaign", "rank", "_id")
        is_large = self._backend.find(
            "candidates",
            {"campaign": campaign},
            fields=("rank",),
            sort=tuple((name, 1) for name in order),
            skip=LARGE,
            limit=1,
            hint=_index_name(order),
        )
        return self._ends_one_by_one(campaign) if is_large else self._ends_grouped(campaign)

    def _ends_grouped(self, campaign: str) -> list[End]:
        pipeline: list[Fields] = [
            {"$match": {"campaign": campaign}},
            {"$group": {"_id": {name: f"${name}" for name in _END}, "count": {"$sum": 1}}},
        ]
        rows = [End(**row["_id"], count=row["count"]) for row in self._backend.aggregate("candidates", pipeline)]
        return sorted(rows, key=lambda row: (row.round, row.stage, row.reason, row.status))

    def _ends_one_by_one(self, campaign: str) -> list[End]:
        """Jump along the index from one way to end to the next; to count one is five times faster than to group all."""
        rows = []
        here = self._next_end({"campaign": campaign})
        while here is not None:
            rows.append(End(**here, count=self._backend.count("candidates", {"campaign": campaign, **here})))
            beyond = None
            for place in reversed(range(len(_END))):
                same = {name: here[name] for name in _END[:place]}
                beyond = self._next_end({"campaign": campaign, **same, _END[place]: {"$gt": here[_END[place]]}})
                if beyond is not None:
                    break
            here = beyond
        return rows

    def _next_end(self, criteria: Fields) -> Fields | None:
        order = ("campaign", *_END)
        sort = tuple((name, 1) for name in order)
        found = self._backend.find("candidates", criteria, fields=_END, sort=sort, limit=1, hint=_index_name(order))
        return {name: found[0][name] for name in _END} if found else None

    def energies(self, campaign: str) -> dict[int, dict[int, int]]:
        """Count distances to the hull by round and bin; bin ``k`` begins at ``k * BIN`` eV/atom."""
        place = {"$floor": {"$divide": ["$energy_above_hull", BIN]}}
        counts: dict[int, dict[int, int]] = {}
        for number in self._rounds(campaign):
            # One round at a time is read from its index alone, twenty times faster than all rounds from the documents.
            chosen = {"campaign": campaign, "round": number, "energy_above_hull": {"$gt": float("-inf")}}
            pipeline: list[Fields] = [{"$match": chosen}, {"$group": {"_id": place, "count": {"$sum": 1}}}]
            found = {int(row["_id"]): row["count"] for row in self._backend.aggregate("candidates", pipeline)}
            if found:
                counts[number] = dict(sorted(found.items()))
        return counts

    def _rounds(self, campaign: str) -> list[int]:
        """Return the rounds that have candidates."""
        found: list[int] = []
        here = self._next_end({"campaign": campaign})
        while here is not None:
            found.append(here["round"])
            here = self._next_end({"campaign": campaign, "round": {"$gt": here["round"]}})
        return found

    def relaxed(self, campaign: str, *, limit: int = SAMPLE) -> list[RelaxedCandidate]:
        """Return relaxed candidates, nearest to the hull first."""
        names = ("round", "status", "energy_above_hull", "elements", "space_group_number", "properties")
        found = self._backend.find(
            "candidates",
            {"campaign": campaign, "energy_above_hull": {"$gt": float("-inf")}},
            fields=names,
            sort=(("energy_above_hull", 1), ("_id", 1)),
            limit=limit,
        )
        return [
            RelaxedCandidate(
                stored["round"],
                stored["status"],
                stored["energy_above_hull"],
                tuple(stored.get("elements") or ()),
                stored.get("space_group_number"),
                stored.get("properties") or {},
            )
            for stored in found
        ]

    def work(self, campaign: str) -> list[Work]:
        """Sum the attempts of a campaign up by kind of work."""
        found = self._backend.find(
            "provenance",
            {"campaign": campaign},
            fields=("stage", "state", "attempts", "counts"),
            sort=(("round", -1), ("stage", -1), ("state", -1)),
            limit=ACTIVITIES,
        )
        totals: dict[str, Work] = {}
        ends: dict[str, list[tuple[datetime, int]]] = {}
        for stored in found:
            total = totals.setdefault(stored["stage"], Work(stored["stage"]))
            done = sum((stored.get("counts") or {}).values())
            total.states[stored["state"]] += 1
            total.candidates += done
            for attempt in stored.get("attempts") or ():
                _add_attempt(total, attempt)
            finished = [a["ended_at"] for a in stored.get("attempts") or () if a.get("ended_at")]
            if stored["state"] == "completed" and finished:
                ends.setdefault(stored["stage"], []).append((max(finished), done))
        for name, pairs in ends.items():
            latest = max(end for end, _ in pairs)
            totals[name].recent = sum(done for end, done in pairs if latest - end <= timedelta(hours=1))
        return sorted(totals.values(), key=lambda total: (total.first is None, total.first, total.stage))

    def pairs(self, campaign: str, name: str) -> list[Pair]:
        """Return values of a property that both the potential and DFT gave, for one crystal and what DFT made of it."""
        fidelity = {"$gte": "dft:", "$lt": "dft;"}
        found = self._backend.find("properties", {"name": name, "fidelity": fidelity}, limit=PAIRS)
        computed = {stored["structure_id"]: stored for stored in found}
        made = self._backend.find("structures", {"_id": {"$in": list(computed)}}, fields=("parents",))
        parents = {stored["_id"]: (stored.get("parents") or [stored["_id"]])[0] for stored in made}
        mine = {"campaign": campaign, "relaxed_structure_id": {"$in": list(parents.values())}}
        candidates = {
            stored["relaxed_structure_id"]: stored
            for stored in self._backend.find("candidates", mine, fields=("relaxed_structure_id", "formula_pretty"))
        }
        values = self._backend.find("properties", {"structure_id": {"$in": list(candidates)}, "name": name})
        screened = {v["structure_id"]: v["value"] for v in values if v["fidelity"].startswith("mlip:")}
        return [
            Pair(
                candidates[parent]["_id"],
                str(candidates[parent].get("formula_pretty") or ""),
                screened[parent],
                computed[child]["value"],
                computed[child]["fidelity"],
                computed[child]["unit"],
            )
            for child, parent in sorted(parents.items())
            if parent in candidates and parent in screened
        ]

    def jobs(self, campaign: str | None = None) -> dict[str, dict[str, int]]:
        """Count the jobs of FireWorks by category (such as gpu or cpu) and state, of one campaign or of all."""
        keys = {"category": "$spec._category", "state": "$state"}
        criteria: Fields = {"state": {"$in": list(JOB_STATES)}}
        if campaign is not None:
            criteria["spec.genmat.campaign"] = campaign
        counts: dict[str, dict[str, int]] = {}
        pipeline: list[Fields] = [{"$match": criteria}, {"$group": {"_id": keys, "count": {"$sum": 1}}}]
        for row in self._backend.aggregate("fireworks", pipeline):
            category = row["_id"].get("category")
            name = category if isinstance(category, str) else "any worker"
            counts.setdefault(name, {})[str(row["_id"].get("state"))] = row["count"]
        return {name: counts[name] for name in sorted(counts)}

    def failed_jobs(self, campaign: str | None = None, *, limit: int) -> list[FailedJob]:
        """Return jobs of FireWorks that failed, the latest first, with their tracebacks."""
        criteria: Fields = {"state": "FIZZLED"}
        if campaign is not None:
            criteria["spec.genmat.campaign"] = campaign
        names = ("fw_id", "name", "updated_on", "spec.genmat.campaign", "launches")
        found = self._backend.find("fireworks", criteria, fields=names, sort=(("fw_id", -1),), limit=limit)
        launch_ids = [number for stored in found for number in (stored.get("launches") or [])[-1:]]
        fields = ("launch_id", "host", "action.stored_data._exception._stacktrace")
        launches = self._backend.find("launches", {"launch_id": {"$in": launch_ids}}, fields=fields)
        by_id = {launch["launch_id"]: launch for launch in launches}
        jobs = []
        for stored in found:
            launch: Any = by_id.get(next(iter((stored.get("launches") or [])[-1:]), None), {})
            told = _inside(launch, "action", "stored_data", "_exception", "_stacktrace")
            jobs.append(
                FailedJob(
                    int(stored["fw_id"]),
                    str(stored.get("name") or ""),
                    _inside(stored, "spec", "genmat", "campaign"),
                    str(launch.get("host") or ""),
                    str(stored.get("updated_on") or ""),
                    "" if told is None else str(told),
                )
            )
        return jobs


def _index_name(fields: Sequence[str]) -> str:
    return "_".join(f"{name}_1" for name in fields)


def _inside(value: Any, *names: str) -> Any:
    """Return what stands under some names in nested mappings, or ``None``."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _add_attempt(total: Work, attempt: Mapping[str, Any]) -> None:
    start, end = attempt["started_at"], attempt.get("ended_at")
    total.attempts += 1
    total.failed_attempts += attempt.get("outcome") == "failed"
    total.first = start if total.first is None else min(total.first, start)
    if end is not None:
        total.hours += (end - start).total_seconds() / 3600.0
        total.last = end if total.last is None else max(total.last, end)


def funnel_of(ends: Iterable[End], *, round_number: int | None = None) -> list[StageCounts]:
    """Return the outcomes of every stage from where candidates ended, of one round or of all.

    Candidates pass the stages in one order, so a stage let pass whoever ended behind it.
    """
    order = {stage.value: stage.order for stage in Stage}
    chosen = [end for end in ends if round_number is None or end.round == round_number]
    counts = {stage: StageCounts(stage) for stage in sorted({end.stage for end in chosen} | set(order), key=_order)}
    for end in chosen:
        place = _order(end.stage)
        for stage, total in counts.items():
            if _order(stage) < place:
                total.passed += end.count
        # A calculation that failed is told and rejects nobody.
        if end.reason != "ok":
            fallen = counts[end.stage].fallen
            fallen[end.reason] = fallen.get(end.reason, 0) + end.count
        else:
            counts[end.stage].passed += end.count
    for total in counts.values():
        total.fallen = dict(sorted(total.fallen.items(), key=lambda item: (-item[1], item[0])))
    return [total for total in counts.values() if total.judged and (total.fallen or not _is_optional(total.stage))]


def _is_optional(stage: str) -> bool:
    return stage in set(Stage) and Stage(stage).is_optional


def _order(stage: str) -> int:
    return Stage(stage).order if stage in set(Stage) else len(Stage)
