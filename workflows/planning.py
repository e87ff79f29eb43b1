"""Chunks of a round: registered as activities before they run, found again after a kill."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

from genmat.ids import canonical_json
from workflows.chunk import ASSESS, GENERATE, PRESCREEN, RELAX, STATIC, Chunk, plan_activity
from workflows.identity import activity_id, candidate_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from genmat.campaign import Campaign
    from genmat.campaign.schema import Resources
    from genmat.database.documents import ActivityDocument, CandidateDocument, RoundState
    from genmat.database.store import Store
    from genmat.generation.draw import Generator
    from genmat.reference.table import Reference


def campaign_generator(campaign: Campaign) -> Generator:
    """Return the generator that a campaign asks for; what it learns from the reference is learned once a process."""
    from workflows.session import current_reference

    asked = campaign.generate
    parameters = canonical_json({"oversample": asked.oversample, **asked.parameters})
    return _generator(asked.generator, parameters, current_reference())


@lru_cache(maxsize=4)
def _generator(name: str, parameters: str, reference: Reference) -> Generator:
    from genmat.generation.registry import get_generator

    return get_generator(name, json.loads(parameters), reference=reference)


def generate_chunks(store: Store, campaign: Campaign, state: RoundState) -> list[Chunk]:
    """Register the generation of a round and return what of it is not done."""
    planned = store.provenance.count({"campaign": campaign.name, "round": state.round, "stage": GENERATE})
    size = campaign.resources.generate_chunk
    starts = range(0, campaign.generate.n, size)
    if planned < len(starts):
        asked = campaign.generate
        generator = campaign_generator(campaign)
        provenance = dict(generator.provenance(campaign.target))
        weights = provenance.get("models", {})
        activities = []
        for first in starts:
            last = min(first + size, asked.n) - 1
            used = [
                candidate_id(
                    campaign=campaign.name,
                    round_number=state.round,
                    generator_configuration=generator.configuration_id,
                    index=index,
                )
                for index in range(first, last + 1)
            ]
            parameters = {"first": first, "last": last, "generator": generator.name, **dict(generator.parameters)}
            parameters |= provenance
            activities.append(
                plan_activity(
                    campaign.name,
                    state.round,
                    GENERATE,
                    used,
                    model=generator.name,
                    model_sha256=next(iter(weights.values()), None),
                    seed=asked.seed,
                    parameters=parameters,
                )
            )
        store.provenance.insert_if_absent(activities)
    return [
        Chunk(campaign.name, state.round, GENERATE, (activity.id,))
        for activity in sorted(_unfinished(store, campaign.name, state.round, GENERATE), key=_first_draw)
    ]


def _first_draw(activity: ActivityDocument) -> int:
    return int(activity.parameters["first"])  # type: ignore[arg-type]


def prescreen_chunks(store: Store, campaign: Campaign, state: RoundState) -> list[Chunk]:
    """Return the prescreening chunks of a round that are not done."""
    chunks, stages = [], _prescreen_stages(campaign)
    for activity in _unfinished(store, campaign.name, state.round, stages[-1]):
        identifiers = tuple(
            activity_id(campaign=campaign.name, round_number=state.round, stage=stage, used=activity.used)
            for stage in stages
        )
        chunks.append(Chunk(campaign.name, state.round, PRESCREEN, identifiers, stages))
    return sorted(chunks, key=lambda chunk: chunk.activity_ids)


def plan_prescreen(
    store: Store,
    campaign: Campaign,
    state: RoundState,
    candidates: Sequence[CandidateDocument],
    *,
    potential_sha256: str,
) -> None:
    """Register the relaxation and assessment of the selected candidates of a round, in chunks."""
    activities = []
    for chunk in _screen_chunks(candidates, campaign.resources):
        activities += [
            plan_activity(
                campaign.name,
                state.round,
                stage,
                [candidate.id for candidate in chunk],
                model=campaign.screen.potential,
                model_sha256=potential_sha256,
                parameters=campaign.screen.model_dump(mode="json"),
            )
            for stage in _prescreen_stages(campaign)
        ]
    store.provenance.insert_if_absent(activities)


def _screen_chunks(candidates: Sequence[CandidateDocument], resources: Resources) -> Iterator[list[CandidateDocument]]:
    """Yield candidates in their order; a chunk is full by its atoms, which say how long it takes, or by its number."""
    chunk: list[CandidateDocument] = []
    atoms = 0
    for candidate in candidates:
        size = candidate.nsites or 1
        if chunk and (atoms + size > resources.screen_chunk_atoms or len(chunk) == resources.screen_chunk):
            yield chunk
            chunk, atoms = [], 0
        chunk.append(candidate)
        atoms += size
    if chunk:
        yield chunk


def _prescreen_stages(campaign: Campaign) -> tuple[str, ...]:
    """Return the stages of a prescreening chunk in their order, one activity each."""
    before = () if campaign.screen.static is None else (STATIC,)
    return (*before, RELAX, ASSESS, *campaign.screen.further.asked)


def _unfinished(store: Store, name: str, round_number: int, stage: str) -> Iterable[ActivityDocument]:
    identifiers = store.provenance.unfinished(name, round_number=round_number, stage=stage)
    return store.provenance.get_many(identifiers).values()
