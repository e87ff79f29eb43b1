"""The barrier between phases and rounds: one idempotent step that may run at any time, in any process.

A round goes ``generate`` → ``prescreen`` → ``validate`` → ``properties`` (the last two where they are asked for) →
``done``. A phase ends when all of its activities are completed; only then is decided what depends on more than one
candidate: uniqueness, selection, ranks, what the next round is judged against and what it proposes. Everything written
here is a function of what the database holds at the barrier, so that doing it twice, or in two processes, changes
nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from genmat.campaign import Campaign
from genmat.database.documents import CampaignState, RoundState, utc_now
from workflows import barrier
from workflows.chunk import GENERATE, PRESCREEN, PROPERTIES, VALIDATE, Chunk
from workflows.planning import generate_chunks, prescreen_chunks
from workflows.properties import close_properties, open_properties
from workflows.snapshot import freeze
from workflows.validation import close_validation, engine_chunks, open_validation

if TYPE_CHECKING:
    from genmat.database.documents import CampaignDocument
    from genmat.database.store import Store

logger = logging.getLogger(__name__)

_BY_ENGINE = {VALIDATE: (open_validation, close_validation), PROPERTIES: (open_properties, close_properties)}


def advance(store: Store, name: str) -> list[Chunk]:
    """Take a campaign as far as it goes without work, and return the chunks that must be done before it goes on.

    Parameters
    ----------
    store
        Database.
    name
        Campaign.

    Returns
    -------
    list
        Chunks with unfinished activities; empty if the campaign is finished.
    """
    while True:
        document = store.campaigns.require(name)
        if document.state is CampaignState.FINISHED:
            return []
        campaign = Campaign.from_dict(document.config, source=f"campaign {name!r}")
        state = document.rounds[-1] if document.rounds else None
        if state is None:
            _begin_round(store, document, number=0)
        elif state.phase == GENERATE:
            if chunks := generate_chunks(store, campaign, state):
                return chunks
            barrier.close_generation(store, campaign, state)
        elif state.phase == PRESCREEN:
            if chunks := prescreen_chunks(store, campaign, state):
                return chunks
            barrier.close_prescreen(store, campaign, document, state)
        elif state.phase in _BY_ENGINE and campaign.validation is not None:
            opening, closing = _BY_ENGINE[state.phase]
            opening(store, campaign, campaign.validation, state)
            if chunks := engine_chunks(store, campaign, state):
                return chunks
            closing(store, campaign, campaign.validation, state)
        elif state.round + 1 < campaign.learn.rounds and not barrier.is_budget_spent(store, campaign, document):
            _begin_round(store, document, number=state.round + 1)
        else:
            store.campaigns.set_state(name, CampaignState.FINISHED)
            return []


def _begin_round(store: Store, document: CampaignDocument, *, number: int) -> None:
    """Freeze the reference of a round and open it with what earlier rounds taught."""
    campaign = Campaign.from_dict(document.config, source=f"campaign {document.id!r}")
    snapshot = freeze(
        store, document.id, round_number=number, structure_ids=barrier.survivor_structures(store, document.id, number)
    )
    weights = barrier.learned_weights(store, campaign, document.id, before=number)
    state = RoundState(
        round=number, phase=GENERATE, snapshot_id=snapshot.id, weights=weights.to_dict(), started_at=utc_now()
    )
    if all(entry.round != number for entry in store.campaigns.require(document.id).rounds):
        store.campaigns.set_round(document.id, state)
