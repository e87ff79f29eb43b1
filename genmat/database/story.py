"""The story of one candidate: where it came from, each verdict, each number with its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genmat.database.sightings import sightings
from genmat.screening.verdict import Reason

if TYPE_CHECKING:
    from genmat.database.documents import (
        ActivityDocument,
        CampaignDocument,
        CandidateDocument,
        PropertyDocument,
        StructureDocument,
        VerdictRecord,
    )
    from genmat.database.store import Store


def tell(store: Store, candidate_id: str) -> dict[str, Any]:
    """Return everything that is known about how a candidate came about and was judged, JSON-serialisable."""
    lineage = store.lineage(candidate_id)
    candidate = lineage.candidate
    campaign = store.campaigns.get(candidate.campaign)
    judging = store.provenance.get_many(verdict.activity_id for verdict in candidate.verdicts if verdict.activity_id)
    activities = {activity.id: activity for activity in lineage.activities} | judging
    measured = store.provenance.get_many(value.activity_id for value in lineage.properties if value.activity_id)
    activities |= measured
    return {
        "id": candidate.id,
        "campaign": candidate.campaign,
        "round": candidate.round + 1,
        "draw": candidate.index,
        "formula": candidate.formula_pretty,
        "space_group_number": candidate.space_group_number,
        "n_atoms": candidate.nsites,
        "gene": candidate.gene,
        "status": candidate.status.value,
        "stage": candidate.stage,
        "reason": candidate.reason,
        "reason_text": reason_text(candidate.reason),
        "rank": candidate.rank,
        "origin": {
            "generator": candidate.generator,
            "generator_hash": candidate.generator_hash,
            "seed": candidate.seed,
            "score": candidate.score,
            **candidate.origin,
        },
        "structures": [
            {
                "id": structure.id,
                "role": _role(structure, candidate),
                "parents": structure.parents,
                "formula": structure.formula_pretty,
                "space_group_number": structure.space_group_number,
                "n_sites": structure.nsites,
                "volume": structure.volume,
            }
            for structure in lineage.structures
        ],
        "also_found_by": sightings(store, candidate),
        "verdicts": [_verdict(verdict, campaign, activities) for verdict in candidate.verdicts],
        "properties": [_property(value, activities) for value in lineage.properties],
        "activities": [
            _activity(activity) for activity in sorted(activities.values(), key=lambda a: (a.round, _start(a), a.id))
        ],
    }


def _role(structure: StructureDocument, candidate: CandidateDocument) -> str:
    if structure.id == candidate.structure_id:
        return "drawn"
    return "computed" if candidate.relaxed_structure_id in structure.parents else "relaxed"


def _start(activity: ActivityDocument) -> str:
    return min((attempt.started_at.isoformat() for attempt in activity.attempts), default="~")


def _verdict(
    verdict: VerdictRecord, campaign: CampaignDocument | None, activities: dict[str, ActivityDocument]
) -> dict[str, Any]:
    snapshots = [] if campaign is None else [s for s in campaign.snapshots if s.id == verdict.snapshot_id]
    against = None
    if verdict.snapshot_id is not None:
        against = {
            "snapshot_id": verdict.snapshot_id,
            "reference_id": snapshots[0].reference_id if snapshots else None,
            "added_structures": len(snapshots[0].structure_ids) if snapshots else None,
        }
    activity = activities.get(verdict.activity_id or "")
    return {
        **verdict.model_dump(mode="json"),
        "reason_text": reason_text(verdict.reason),
        "judged_against": against,
        "model": None if activity is None else activity.model,
        "code_version": None if activity is None else activity.code_version,
    }


def _property(value: PropertyDocument, activities: dict[str, ActivityDocument]) -> dict[str, Any]:
    activity = activities.get(value.activity_id or "")
    return {
        **value.model_dump(mode="json"),
        "activity_stage": None if activity is None else activity.stage,
        "model_sha256": None if activity is None else activity.model_sha256,
    }


def _activity(activity: ActivityDocument) -> dict[str, Any]:
    return {
        "id": activity.id,
        "stage": activity.stage,
        "round": activity.round + 1,
        "state": activity.state.value,
        "code_version": activity.code_version,
        "model": activity.model,
        "model_sha256": activity.model_sha256,
        "seed": activity.seed,
        "parameters": activity.parameters,
        "job_uuid": activity.job_uuid,
        "attempts": [attempt.model_dump(mode="json") for attempt in activity.attempts],
    }


def reason_text(reason: str) -> str:
    """Return a reason code in words; an unknown one as it is."""
    return Reason(reason).text if reason in set(Reason) else reason
