"""The story of one candidate as text; as data it comes from :mod:`genmat.database.story`."""

from __future__ import annotations

from typing import Any

from genmat.cli.terminal import print_line, print_table, shown


def print_story(story: dict[str, Any]) -> None:
    """Print a story that :func:`genmat.database.story.tell` told."""
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
    for other in story["also_found_by"]:
        place = f"rank {other['rank']}" if other["rank"] is not None else "accepted"
        print_line(
            f"  also found by campaign {other['campaign']} in round {other['round']}: {place}, candidate "
            f"{other['candidate_id'][:12]}, the same crystal by {other['evidence']}"
        )
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
