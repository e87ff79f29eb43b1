"""Which other campaigns of the database accepted a crystal.

Asked when a story is told and never stored, so that the answer knows of campaigns that came later, and nothing is
written twice. It is told and does not count: a verdict of novelty depends on the frozen reference and on what its own
campaign added, else two runs of one campaign would differ by what else the database holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from genmat.database.documents import CandidateStatus

if TYPE_CHECKING:
    from genmat.database.documents import CandidateDocument
    from genmat.database.store import Store

LIMIT = 256
"""Accepted candidates of one formula that are compared, by name of the campaign."""


class Sighting(TypedDict):
    """An accepted candidate of another campaign that is the same crystal."""

    campaign: str
    candidate_id: str
    round: int
    rank: int | None
    evidence: str


def sightings(store: Store, candidate: CandidateDocument) -> list[Sighting]:
    """Return the accepted candidates of other campaigns that are the same crystal as relaxed, by campaign.

    Parameters
    ----------
    store
        Database of all these campaigns.
    candidate
        Whatever became of it; compared as relaxed, or as drawn if it was not relaxed.
    """
    own = candidate.relaxed_structure_id or candidate.structure_id
    if own is None or candidate.formula_pretty is None:
        return []
    criteria = {
        "formula_pretty": candidate.formula_pretty,
        "status": CandidateStatus.ACCEPTED.value,
        "campaign": {"$ne": candidate.campaign},
    }
    others = store.candidates.find(criteria, sort=(("campaign", 1), ("_id", 1)), limit=LIMIT)
    places = {other.id: other.relaxed_structure_id or other.structure_id for other in others}
    structures = store.structures.get_many([own, *(place for place in places.values() if place)])
    if own not in structures or len(structures) < 2:
        return []
    from genmat.screening.identity import Evidence, describe  # pymatgen, where there is something to ask

    described = {key: describe(found.to_structure(), gene=found.gene or "") for key, found in structures.items()}
    return [
        Sighting(
            campaign=other.campaign,
            candidate_id=other.id,
            round=other.round + 1,
            rank=other.rank,
            evidence=Evidence.MATCHER.text,
        )
        for other in others
        if (place := places[other.id]) in described and described[own].is_same(described[place])
    ]
