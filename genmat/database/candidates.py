"""Candidates: verdicts written once, and the queries behind status, list and top."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genmat.database.collection import Collection
from genmat.database.documents import CandidateDocument, CandidateStatus, VerdictRecord
from genmat.database.encoding import to_bson
from genmat.errors import DatabaseError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from genmat.database.collection import Backend, Fields

SORTABLE = ("rank", "energy_above_hull", "score", "formula_pretty", "space_group_number", "index")


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict on its way to a candidate.

    Parameters
    ----------
    candidate_id
        Candidate.
    verdict
        What the stage decided.
    fields
        Other fields that become known with the verdict, such as ``energy_above_hull`` or ``rank``; ``status``
        defaults to rejected for a failed verdict and to what it was for a passed one.
    """

    candidate_id: str
    verdict: VerdictRecord
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FunnelRow:
    """How many candidates of a round got one outcome at one stage."""

    round: int
    stage: str
    passed: bool
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class CandidateQuery:
    """What to list; ``None`` means any.

    Parameters
    ----------
    campaign
        Name of the campaign.
    elements
        Elements that must all be present.
    min_energy_above_hull, max_energy_above_hull
        Smallest and largest hull distance, eV/atom.
    max_nsites
        Most atoms in the primitive cell.
    """

    campaign: str
    round: int | None = None
    stage: str | None = None
    status: str | None = None
    reason: str | None = None
    formula_pretty: str | None = None
    chemsys: str | None = None
    elements: Sequence[str] = ()
    space_group_number: int | None = None
    min_energy_above_hull: float | None = None
    max_energy_above_hull: float | None = None
    max_nsites: int | None = None
    on_target: bool | None = None

    @property
    def criteria(self) -> Fields:
        """The query as a filter."""
        names = ("round", "stage", "status", "reason", "formula_pretty", "chemsys", "space_group_number", "on_target")
        criteria: Fields = {"campaign": self.campaign}
        criteria |= {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.elements:
            criteria["elements"] = {"$all": sorted(self.elements)}
        energies = {"$gte": self.min_energy_above_hull, "$lte": self.max_energy_above_hull}
        if bounds := {sign: end for sign, end in energies.items() if end is not None}:
            criteria["energy_above_hull"] = bounds
        if self.max_nsites is not None:
            criteria["nsites"] = {"$lte": self.max_nsites}
        return criteria


class CandidateCollection(Collection[CandidateDocument]):
    """The draws of all campaigns."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend, CandidateDocument)

    def record(self, decisions: Iterable[Decision]) -> int:
        """Append verdicts with the fields that belong to them, and return how many were recorded.

        A candidate has at most one verdict a stage: the first one stands, and a later one, with its fields, changes
        nothing.
        """
        changes = []
        for decision in decisions:
            verdict = decision.verdict
            fields: dict[str, Any] = {"stage": verdict.stage, "reason": verdict.reason}
            if not verdict.passed:
                fields["status"] = CandidateStatus.REJECTED
            fields |= decision.fields
            changes.append(
                (
                    {"_id": decision.candidate_id, "verdicts.stage": {"$ne": verdict.stage}},
                    {"$push": {"verdicts": to_bson(verdict.model_dump())}, "$set": self.to_fields(fields)},
                )
            )
        return self._backend.update(self.name, changes)

    def undecided(self, campaign: str, *, stage: str, round_number: int | None = None) -> list[str]:
        """Return the ids of active candidates without a verdict of ``stage``, by round and draw index."""
        criteria: Fields = {"campaign": campaign, "status": CandidateStatus.ACTIVE.value}
        criteria["verdicts.stage"] = {"$ne": stage}
        if round_number is not None:
            criteria["round"] = round_number
        found = self._backend.find(self.name, criteria, fields=("round", "index"), sort=(("round", 1), ("index", 1)))
        return [stored["_id"] for stored in found]

    def query(
        self, query: CandidateQuery, *, sort: str = "rank", descending: bool = False, skip: int = 0, limit: int = 0
    ) -> list[CandidateDocument]:
        """Return candidates in the order of a field, those without a value last.

        Raises
        ------
        DatabaseError
            If the field cannot be sorted by.
        """
        if sort not in SORTABLE:
            hint = did_you_mean(sort, SORTABLE) or f" Fields are: {', '.join(SORTABLE)}"
            msg = f"candidates cannot be sorted by {sort!r}.{hint}"
            raise DatabaseError(msg)
        order = ((sort, -1 if descending else 1), ("_id", 1))
        with_value = {"$and": [query.criteria, {sort: {"$ne": None}}]}
        found = self.find(with_value, sort=order, skip=skip, limit=limit)
        if limit and len(found) == limit:
            return found
        # MongoDB sorts null first; a candidate without a rank is not the best one.
        before = self.count(with_value) if skip else 0
        without = {"$and": [query.criteria, {sort: None}]}
        rest = limit - len(found) if limit else 0
        return found + self.find(without, sort=(("_id", 1),), skip=max(0, skip - before), limit=rest)

    def funnel(self, campaign: str) -> list[FunnelRow]:
        """Count the outcomes of every stage in every round."""
        keys = {
            "round": "$round",
            "stage": "$verdicts.stage",
            "passed": "$verdicts.passed",
            "reason": "$verdicts.reason",
        }
        pipeline: list[Fields] = [
            {"$match": {"campaign": campaign}},
            {"$project": {"round": 1, "verdicts.stage": 1, "verdicts.passed": 1, "verdicts.reason": 1}},
            {"$unwind": "$verdicts"},
            {"$group": {"_id": keys, "count": {"$sum": 1}}},
        ]
        rows = [FunnelRow(**row["_id"], count=row["count"]) for row in self._backend.aggregate(self.name, pipeline)]
        return sorted(rows, key=lambda row: (row.round, row.stage, not row.passed, row.reason))

    def statuses(self, campaign: str) -> dict[int, dict[str, int]]:
        """Count active, rejected and accepted candidates by round."""
        pipeline: list[Fields] = [
            {"$match": {"campaign": campaign}},
            {"$group": {"_id": {"round": "$round", "status": "$status"}, "count": {"$sum": 1}}},
        ]
        counts: dict[int, dict[str, int]] = {}
        for row in self._backend.aggregate(self.name, pipeline):
            counts.setdefault(row["_id"]["round"], {})[row["_id"]["status"]] = row["count"]
        return {number: counts[number] for number in sorted(counts)}
