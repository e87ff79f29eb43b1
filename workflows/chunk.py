"""A chunk of work: some candidates of one round at one stage, registered as an activity before it runs."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genmat import __version__
from genmat.campaign import Campaign
from genmat.campaign.computed import ComputedProperty
from genmat.database.documents import ActivityDocument, VerdictRecord
from workflows.identity import activity_id as make_activity_id
from workflows.session import current_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from genmat.database.documents import CampaignDocument, RoundState
    from genmat.database.store import Store
    from genmat.generation.draw import ProposalWeights
    from genmat.screening.verdict import Verdict
    from workflows.snapshot import Snapshot

logger = logging.getLogger(__name__)

GENERATE, PRESCREEN, VALIDATE, PROPERTIES, DONE = "generate", "prescreen", "validate", "properties", "done"
"""Phases of a round; all but the last have chunks."""
STATIC, RELAX, ASSESS = "static", "relax", "assess"
"""Stages of the activities of a prescreening chunk, the first only where it is asked for; that of a generation chunk is
called like its phase."""
COMPETE, SELECT = "compete", "select_validation"
"""Stages of validation besides the one called like the phase: a competing phase, and who is computed and why."""
SELECT_PROPERTIES = "select_properties"
PROPERTY_STAGES = {name: f"property_{name.value}" for name in ComputedProperty}
"""Stages of the properties: which are computed of whom, and one a calculation."""
SELECTED_BY = {VALIDATE: SELECT, PROPERTIES: SELECT_PROPERTIES}
"""Stage that ends the opening of a phase."""
COUNTED = {
    GENERATE: (GENERATE,),
    PRESCREEN: (ASSESS,),
    VALIDATE: (COMPETE, VALIDATE),
    PROPERTIES: tuple(PROPERTY_STAGES.values()),
}
"""Stages whose activities are the chunks of a phase."""
BY_ENGINE = frozenset({*COUNTED[VALIDATE], *COUNTED[PROPERTIES]})
"""Stages whose calculations run side by side and tell why they failed."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Ids of one chunk; small enough to travel in any job.

    Parameters
    ----------
    campaign, round
        Where it belongs.
    phase
        ``generate``, ``prescreen``, ``validate`` or ``properties``.
    activity_ids
        One activity a job, in the order of the jobs.
    stages
        Stage of each activity of a prescreening chunk.
    """

    campaign: str
    round: int
    phase: str
    activity_ids: tuple[str, ...]
    stages: tuple[str, ...] = ()


@dataclass(slots=True)
class Work:
    """What a job has at hand while it works on a chunk; ``generated``, ``counts`` and ``found`` are what it reports."""

    store: Store
    activity: ActivityDocument
    document: CampaignDocument
    campaign: Campaign
    generated: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def round_state(self) -> RoundState:
        """State of the chunk's round."""
        return next(state for state in self.document.rounds if state.round == self.activity.round)

    @property
    def weights(self) -> ProposalWeights:
        """What earlier rounds taught."""
        from genmat.generation.draw import ProposalWeights  # generators load what no login node needs

        return ProposalWeights.from_dict(self.round_state.weights)  # type: ignore[arg-type]

    def snapshot(self) -> Snapshot:
        """Return the frozen reference of the chunk's round."""
        from workflows.snapshot import load_snapshot  # loads pymatgen, which no login node needs

        return load_snapshot(self.store, next(s for s in self.document.snapshots if s.round == self.activity.round))

    def record(self, verdict: Verdict) -> VerdictRecord:
        """Return a verdict as the database keeps it, with what it was judged against and by which activity."""
        return VerdictRecord.of(verdict, snapshot_id=self.round_state.snapshot_id, activity_id=self.activity.id)


def plan_activity(campaign: str, round_number: int, stage: str, used: Sequence[str], **fields: Any) -> ActivityDocument:
    """Return the activity of a chunk, ready to be registered."""
    return ActivityDocument(
        id=make_activity_id(campaign=campaign, round_number=round_number, stage=stage, used=used),
        campaign=campaign,
        round=round_number,
        stage=stage,
        used=sorted(used),
        code_version=__version__,
        **fields,
    )


@contextmanager
def attempt(activity_id: str) -> Iterator[Work]:
    """Work on an activity: the attempt is recorded with its outcome, whatever that is."""
    store = current_store()
    activity = store.provenance.require(activity_id)
    document = store.campaigns.require(activity.campaign)
    work = Work(
        store=store,
        activity=activity,
        document=document,
        campaign=Campaign.from_dict(document.config, source=f"campaign {document.id!r}"),
    )
    current = store.provenance.begin_attempt(activity_id)
    try:
        yield work
    except BaseException as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        store.provenance.fail(activity_id, current.id, error=reason)
        raise
    fields = {"parameters": {**activity.parameters, **work.found}} if work.found else None
    store.provenance.complete(activity_id, current.id, generated=work.generated, counts=work.counts, fields=fields)
