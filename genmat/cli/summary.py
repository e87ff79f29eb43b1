"""What the tables of several commands say about a campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genmat.cli.terminal import console, print_line, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genmat.database.documents import CandidateDocument
    from genmat.database.summary import StageCounts


BAR_WIDTH = 24
"""Characters of the longest bar."""


def print_funnel(stages: Sequence[StageCounts], *, title: str) -> None:
    """Print a funnel as a table, in a terminal with bars: what is left of those that the first stage judged."""
    most = max((counts.judged for counts in stages), default=0)
    drawn = console().is_terminal
    rows = [
        [
            counts.stage.replace("_", " "),
            counts.judged,
            counts.passed,
            *([bar(counts.passed / most)] if drawn else []),
            ", ".join(f"{number} {reason}" for reason, number in counts.fallen.items()),
        ]
        for counts in stages
    ]
    if rows:
        print_table(["stage", "judged", "passed", *([""] if drawn else []), "fell"], rows, title=title)
    else:
        print_line(f"{title}: no candidate yet")


def bar(share: float) -> str:
    """Return a bar for a share between 0 and 1, to an eighth of a character."""
    eighths = round(8 * BAR_WIDTH * share)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


CANDIDATE_COLUMNS = ("rank", "id", "formula", "space group", "E_hull eV/atom", "round", "stage", "reason", "template")


def candidate_row(candidate: CandidateDocument) -> list[Any]:
    """Return the row of a candidate under :data:`CANDIDATE_COLUMNS`."""
    return [
        candidate.rank,
        candidate.id[:12],
        candidate.formula_pretty,
        candidate.space_group_number,
        candidate.energy_above_hull,
        candidate.round + 1,
        candidate.stage.replace("_", " "),
        candidate.reason if candidate.status.value != "accepted" else "accepted",
        candidate.origin.get("template"),
    ]


def best_rows(candidates: Sequence[CandidateDocument]) -> tuple[list[str], list[list[Any]]]:
    """Return columns and rows of the best candidates, with the properties that they have."""
    names = sorted({name for candidate in candidates for name in candidate.properties} - {"energy_above_hull"})
    columns = ["rank", "id", "formula", "space group", f"energy_above_hull {unit_of('energy_above_hull')}"]
    columns += [f"{name} {unit_of(name)}".strip() for name in names]
    rows = [
        [
            candidate.rank,
            candidate.id[:12],
            candidate.formula_pretty,
            candidate.space_group_number,
            candidate.energy_above_hull,
            *(candidate.properties.get(name) for name in names),
        ]
        for candidate in candidates
    ]
    return columns, rows


def unit_of(name: str) -> str:
    """Return the unit of a property, empty if it has none that is known."""
    from genmat.campaign import PROPERTY_KINDS, PropertyName

    return PROPERTY_KINDS[PropertyName(name)].unit if name in list(PropertyName) else ""
