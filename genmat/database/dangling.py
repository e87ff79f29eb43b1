"""References whose target is absent: what a restored half, a deletion by hand or a lost disk leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genmat.database.indexes import ENDED_JOBS

if TYPE_CHECKING:
    from genmat.database.session import Session

REFERENCES = (
    ("candidates", "structure_id", "structures", "_id"),
    ("candidates", "relaxed_structure_id", "structures", "_id"),
    ("candidates", "campaign", "campaigns", "_id"),
    ("properties", "structure_id", "structures", "_id"),
    ("provenance", "campaign", "campaigns", "_id"),
    ("fireworks", "spec.genmat.activity_id", "provenance", "_id"),
    ("fireworks", "spec.genmat.campaign", "campaigns", "_id"),
)
"""What refers to what: collection, field, collection and field of the target."""
SHOWN = 1000
"""References of one kind that are returned at most."""


@dataclass(frozen=True, slots=True)
class Dangling:
    """A reference without target.

    Parameters
    ----------
    collection, key
        Document that refers.
    field
        Field that does.
    target
        Id that is absent.
    """

    collection: str
    key: str
    field: str
    target: str


def find_dangling(session: Session) -> list[Dangling]:
    """Return the references without target; reads every reference once, by index.

    Parameters
    ----------
    session
        Database on a server.
    """
    found = []
    for collection, name, other, key in REFERENCES:
        ended = {"state": {"$nin": list(ENDED_JOBS)}} if collection == "fireworks" else {}
        pipeline: list[dict[str, Any]] = [
            {"$match": {name: {"$ne": None}, **ended}},
            {"$group": {"_id": f"${name}", "document": {"$first": "$_id"}}},
            {
                "$lookup": {
                    "from": other,
                    "localField": "_id",
                    "foreignField": key,
                    "pipeline": [{"$project": {"_id": 1}}],
                    "as": "found",
                }
            },
            {"$match": {"found": []}},
            {"$limit": SHOWN},
        ]
        rows = session.aggregate(collection, pipeline)
        found += [Dangling(collection, str(row["document"]), name, str(row["_id"])) for row in rows]
    return found + _snapshots(session)


def _snapshots(session: Session) -> list[Dangling]:
    """Return rounds that are judged against a reference that their campaign does not name."""
    found = []
    for stored in session.find("campaigns", {}, fields=("rounds.snapshot_id", "snapshots.id")):
        known = {entry["id"] for entry in stored.get("snapshots") or ()}
        wanted = {entry.get("snapshot_id") for entry in stored.get("rounds") or ()} - {None}
        found += [Dangling("campaigns", stored["_id"], "rounds.snapshot_id", name) for name in sorted(wanted - known)]
    return found
