"""The story of one candidate, as data and as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genmat.cli.summary import reason_text
from genmat.cli.terminal import print_line, print_table, shown

if TYPE_CHECKING:
    from genmat.database.documents import ActivityDocument, CampaignDocument, PropertyDocument, VerdictRecord
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
                "role": "drawn" if structure.id == candidate.structure_id else "relaxed",
                "parents": structure.parents,
                "formula": structure.formula_pretty,
                "space_group_number": structure.space_group_number,
                "n_sites": structure.nsites,
                "volume": structure.volume,
            }
            for structure in lineage.structures
        ],
        "verdicts": [_verdict(verdict, campaign, activities) for verdict in candidate.verdicts],
        "properties": [_property(value, activities) for value in lineage.properties],
        "activities": [
            _activity(activity) for activity in sorted(activities.values(), key=lambda a: (a.round, _start(a), a.id))
        ],
    }


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


def print_story(story: dict[str, Any]) -> None:
    """Print a story that :func:`tell` told."""
    place = f"rank {story['rank']}, " if story["rank"] is not None else ""
    print_line(f"{story['formula'] or 'no structure'}, candidate {story['id']}", style="bold")
    print_line(f"{place}{story['status']} at {story['stage'].replace('_', ' ')}: {story['reason_text']}")
    print_line("\nWhere it came from", style="bold")
    origin = story["origin"]
    print_line(f"  campaign {story['campaign']}, round {story['round']}, draw {story['draw']}")
    print_line(f"  generator {origin['generator']} ({origin['generator_hash'][:12]}), seed {origin['seed']}")
    if (above := origin.get("predicted_energy_above_hull")) is not None:
        width = _exact(origin.get("predicted_uncertainty"))
        print_line(f"  predicted energy above hull: {_exact(above)} ± {width} eV/atom")
    if "start" in origin:
        known = origin["start"] == "template"
        print_line(f"  geometry: {f'that of known crystal {origin.get("template")}' if known else 'decoded'}")
    for key, item in origin.items():
        if key not in _TOLD and not ("start" in origin and key == "template"):
            print_line(f"  {key.replace('_', ' ')}: {_exact(item)}")
    for structure in story["structures"]:
        line = (
            f"  {structure['role']} structure {structure['id'][:12]}: {structure['formula']}, space group "
            f"{shown(structure['space_group_number'])}, {structure['n_sites']} atoms, {structure['volume']:.2f} Å^3"
        )
        print_line(line + (f", made from {structure['parents'][0][:12]}" if structure["parents"] else ""))
    _print_verdicts(story["verdicts"])
    _print_properties(story["properties"])
    _print_activities(story["activities"])


_TOLD = frozenset(
    {"generator", "generator_hash", "seed", "predicted_energy_above_hull", "predicted_uncertainty", "start"}
)
"""Entries of an origin that have a line of their own."""


def _print_verdicts(verdicts: list[dict[str, Any]]) -> None:
    print_line("\nHow it was judged", style="bold")
    for verdict in verdicts:
        mark = "passed" if verdict["passed"] else "FELL"
        reason = "" if verdict["passed"] else f", {verdict['reason']} ({verdict['reason_text']})"
        print_line(f"  {verdict['stage'].replace('_', ' ')}: {mark}{reason}")
        if verdict["detail"]:
            print_line(f"    {verdict['detail']}")
        if verdict["values"]:
            print_line(f"    {', '.join(f'{name} {_exact(value)}' for name, value in verdict['values'].items())}")
        against = verdict["judged_against"]
        if against is not None:
            added = against["added_structures"]
            more = f" and {added} structures of earlier rounds" if added else ""
            reference = (
                f"reference {against['reference_id'][:12]}{more}" if against["reference_id"] else "its reference"
            )
            print_line(f"    judged against {reference} (snapshot {against['snapshot_id'][:12]})")


def _print_properties(properties: list[dict[str, Any]]) -> None:
    if not properties:
        return
    print_line("\nNumbers and their sources", style="bold")
    rows = [
        [
            value["name"],
            _exact(value["value"]),
            value["unit"],
            value["fidelity"],
            _scale(value["energy_scale"]),
            value["structure_id"][:12],
            f"{value['activity_stage'] or '-'} {(value['activity_id'] or '')[:12]}".strip(),
        ]
        for value in properties
    ]
    print_table(["name", "value", "unit", "source", "energy scale", "structure", "activity"], rows)


def _scale(scale: dict[str, str] | None) -> str | None:
    if not scale:
        return None
    from genmat.energy import EnergyScale

    return str(EnergyScale.from_dict(scale))


def _print_activities(activities: list[dict[str, Any]]) -> None:
    print_line("\nWhat made it", style="bold")
    for activity in activities:
        sha256 = f", weights {activity['model_sha256'][:12]}" if activity["model_sha256"] else ""
        model = f", {activity['model']}{sha256}" if activity["model"] else ""
        seed = f", seed {activity['seed']}" if activity["seed"] is not None else ""
        print_line(
            f"  {activity['stage']} {activity['id'][:12]} ({activity['state']}): "
            f"genmat {activity['code_version']}{model}{seed}"
        )
        for attempt in activity["attempts"]:
            outcome = attempt["outcome"] or "not ended"
            print_line(
                f"    {attempt['started_at'][:19]} UTC on {attempt['host']}, process {attempt['pid']}: {outcome}"
            )


def _exact(value: Any) -> str:
    """Return a number with six digits: a story is there to be checked."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} → {_exact(item)}" for key, item in value.items()) or "-"
    return shown(value)
