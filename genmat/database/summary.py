"""What a campaign's documents say in a few numbers: state, owner, funnel, totals."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genmat.database.campaigns import is_stale
from genmat.database.documents import CampaignState, utc_now
from genmat.screening.verdict import Stage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genmat.database.candidates import FunnelRow
    from genmat.database.documents import CampaignDocument
    from genmat.database.statistics import End
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


def state_of(document: CampaignDocument, *, submitted: bool = False) -> str:
    """Return the state of a campaign for people: running only if somebody does, or workers are to do it."""
    if document.state is CampaignState.RUNNING and not submitted and not is_held(document):
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


def overview(store: Store, document: CampaignDocument, *, ends: Iterable[End] | None = None) -> dict[str, Any]:
    """Return the line of one campaign in a list of campaigns; ``ends`` spares counting its candidates again."""
    totals: Counter[str] = Counter()
    for end in store.statistics.ends(document.id) if ends is None else ends:
        totals[end.status] += end.count
    return {
        "name": document.id,
        "state": state_of(document, submitted=store.cluster.submission(document.id) is not None),
        "rounds_begun": len(document.rounds),
        "rounds_planned": rounds_planned(document),
        "candidates": sum(totals.values()),
        "rejected": totals["rejected"],
        "accepted": totals["accepted"],
        "updated_at": document.updated_at.isoformat(timespec="seconds"),
    }
