"""What the tables of several commands say about a campaign."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genmat.cli.terminal import print_line, print_table
from genmat.database.campaigns import is_stale
from genmat.database.documents import CampaignState, utc_now
from genmat.screening.verdict import Reason, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from genmat.database.candidates import FunnelRow
    from genmat.database.documents import CampaignDocument, CandidateDocument
    from genmat.database.store import Store

INTERRUPTED = "interrupted"
"""Shown for a campaign that is marked as running while nobody runs it."""


@dataclass(slots=True)
class StageCounts:
    """What one stage decided: how many it judged and let pass, and why the others fell."""

    stage: str
    passed: int = 0
    fallen: dict[str, int] = field(default_factory=dict)

    @property
    def judged(self) -> int:
        """Candidates that reached the stage."""
        return self.passed + sum(self.fallen.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as JSON-serialisable mapping."""
        return {"stage": self.stage, "judged": self.judged, "passed": self.passed, "fallen": self.fallen}


def funnel(rows: Iterable[FunnelRow], *, round_number: int | None = None) -> list[StageCounts]:
    """Return the outcomes of every stage in the order of the funnel, of one round or of all."""
    stages: dict[str, StageCounts] = {}
    for row in rows:
        if round_number is not None and row.round != round_number:
            continue
        counts = stages.setdefault(row.stage, StageCounts(row.stage))
        if row.passed:
            counts.passed += row.count
        else:
            counts.fallen[row.reason] = counts.fallen.get(row.reason, 0) + row.count
    order = {stage.value: stage.order for stage in Stage}
    for counts in stages.values():
        counts.fallen = dict(sorted(counts.fallen.items(), key=lambda item: (-item[1], item[0])))
    return sorted(stages.values(), key=lambda counts: (order.get(counts.stage, len(order)), counts.stage))


def print_funnel(stages: Sequence[StageCounts], *, title: str) -> None:
    """Print a funnel as a table."""
    rows = [
        [
            counts.stage.replace("_", " "),
            counts.judged,
            counts.passed,
            ", ".join(f"{number} {reason}" for reason, number in counts.fallen.items()),
        ]
        for counts in stages
    ]
    if rows:
        print_table(["stage", "judged", "passed", "fell"], rows, title=title)
    else:
        print_line(f"{title}: no candidate yet")


def state_of(document: CampaignDocument) -> str:
    """Return the state of a campaign for people: running only if somebody does."""
    if document.state is CampaignState.RUNNING and not is_held(document):
        return INTERRUPTED
    return document.state.value


def is_held(document: CampaignDocument) -> bool:
    """Return whether a live process runs a campaign."""
    return document.owner is not None and not is_stale(document.owner, now=utc_now())


def owner_of(document: CampaignDocument) -> str | None:
    """Return who runs a campaign, or ``None``."""
    if document.owner is None or not is_held(document):
        return None
    owner = document.owner
    return f"process {owner.pid} on {owner.host} since {owner.since:%Y-%m-%d %H:%M:%S} UTC"


def rounds_planned(document: CampaignDocument) -> int:
    """Return how many rounds a campaign is to have."""
    learn = document.config.get("learn")
    rounds = learn.get("rounds", 1) if isinstance(learn, dict) else 1
    return rounds if isinstance(rounds, int) else 1


def overview(store: Store, document: CampaignDocument) -> dict[str, Any]:
    """Return the line of one campaign in a list of campaigns."""
    totals: dict[str, int] = {}
    for counts in store.candidates.statuses(document.id).values():
        for status, number in counts.items():
            totals[status] = totals.get(status, 0) + number
    return {
        "name": document.id,
        "state": state_of(document),
        "rounds_begun": len(document.rounds),
        "rounds_planned": rounds_planned(document),
        "candidates": sum(totals.values()),
        "rejected": totals.get("rejected", 0),
        "accepted": totals.get("accepted", 0),
        "updated_at": document.updated_at.isoformat(timespec="seconds"),
    }


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


def reason_text(reason: str) -> str:
    """Return a reason code in words."""
    return Reason(reason).text if reason in list(Reason) else reason
