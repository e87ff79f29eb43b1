"""What is decided where many candidates meet: uniqueness, selection, ranks, S.S.U.N., what the next round learns."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import batched
from typing import TYPE_CHECKING

from genmat.database.candidates import Decision
from genmat.database.documents import CandidateStatus, RoundState, VerdictRecord, utc_now
from genmat.learning import Outcome, learn_weights
from genmat.models.potentials import get_potential
from genmat.screening.ranking import Survivor, rank
from genmat.screening.ssun import DrawOutcome, SsunDefinition, outcome_from_verdicts, ssun
from genmat.screening.verdict import Reason, Stage, Verdict
from workflows.chunk import DONE, GENERATE, PRESCREEN, RELAX, VALIDATE
from workflows.planning import plan_prescreen
from workflows.session import current_reference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from genmat.campaign import Campaign
    from genmat.database.documents import CampaignDocument, CandidateDocument
    from genmat.database.store import Store
    from genmat.generation.draw import ProposalWeights
    from genmat.screening.uniqueness import Duplicate

SECONDS_PER_HOUR = 3600.0

_BATCH = 5000
"""Structures that are read at once where draws are compared."""


def close_generation(store: Store, campaign: Campaign, state: RoundState) -> None:
    """Reject what the campaign drew before, select what is relaxed, and open the prescreening of a round."""
    everything = _candidates(store, campaign.name, last_round=state.round)
    reached = [candidate for candidate in everything if _passed(candidate, Stage.NOVELTY)]
    repeats = _duplicates(store, campaign, reached, relaxed=False)
    mine = [candidate for candidate in reached if candidate.round == state.round]
    _record(store, state, {c.id: _uniqueness_verdict(c, repeats, Stage.UNIQUENESS) for c in mine})

    unique = [candidate for candidate in mine if repeats[candidate.id] is None]
    unique.sort(key=lambda candidate: (-(candidate.score or 0.0), candidate.index))
    limit = _relaxation_limit(store, campaign, state, n_candidates=len(unique))
    selections: dict[str, Verdict] = {}
    for place, candidate in enumerate(unique):
        if place < limit:
            selections[candidate.id] = Verdict.accept(Stage.SELECTION, f"{place + 1} of {len(unique)} by score")
        else:
            detail = f"{place + 1} of {len(unique)} by score, the first {limit} are relaxed"
            selections[candidate.id] = Verdict.reject(Stage.SELECTION, Reason.NOT_SELECTED, detail)
    _record(store, state, selections)
    potential = get_potential(campaign.screen.potential)
    plan_prescreen(store, campaign, state, unique[:limit], potential_sha256=potential.sha256)
    store.campaigns.set_round(campaign.name, state.model_copy(update={"phase": PRESCREEN}), expected_phase=GENERATE)


def close_prescreen(store: Store, campaign: Campaign, document: CampaignDocument, state: RoundState) -> None:
    """Reject what relaxed to one crystal, rank all survivors of the campaign, and sum the round up."""
    everything = _candidates(store, campaign.name, last_round=state.round)
    reached = [candidate for candidate in everything if _passed(candidate, Stage.NOVELTY_RELAXED)]
    repeats = _duplicates(store, campaign, reached, relaxed=True)
    judged = [
        c
        for c in reached
        if c.round == state.round and _passed(c, Stage.TARGET) and c.status is not CandidateStatus.REJECTED
    ]
    _record(store, state, {c.id: _uniqueness_verdict(c, repeats, Stage.UNIQUENESS_RELAXED) for c in judged})
    _rank(store, campaign, state)

    everything = _candidates(store, campaign.name, last_round=state.round)
    mine = [candidate for candidate in everything if candidate.round == state.round]
    counts = Counter(candidate.reason for candidate in mine if candidate.status is CandidateStatus.REJECTED)
    counts |= {
        "proposed": len(mine),
        "relaxed": sum(_judged(candidate, Stage.RELAX) for candidate in mine),
        "accepted": sum(candidate.status is CandidateStatus.ACCEPTED for candidate in mine),
    }
    report = ssun([_outcome(store, c, repeats) for c in mine], definition=_definition(campaign, document, state))
    update: dict[str, object] = {"phase": VALIDATE, "counts": dict(counts), "ssun": report.to_dict()}
    if campaign.validation is None:
        update |= {"phase": DONE, "finished_at": utc_now()}
    store.campaigns.set_round(campaign.name, state.model_copy(update=update), expected_phase=PRESCREEN)


def survivor_structures(store: Store, name: str, before: int) -> list[str]:
    """Return the relaxed structures of what earlier rounds accepted, sorted."""
    criteria = {"campaign": name, "round": {"$lt": before}, "status": CandidateStatus.ACCEPTED.value}
    found = store.candidates.project(criteria, ["relaxed_structure_id"])
    return sorted(str(entry["relaxed_structure_id"]) for entry in found)


def learned_weights(store: Store, campaign: Campaign, name: str, *, before: int) -> ProposalWeights:
    """Return what the outcomes of earlier rounds say about elements and templates."""
    outcomes = [
        Outcome(
            elements=tuple(candidate.elements),
            anonymous_gene=str(candidate.origin["anonymous_gene"]),
            reason=Reason(candidate.reason),
            score=candidate.score or 0.0,
            energy_above_hull=_rounded(candidate.energy_above_hull),
        )
        for candidate in _candidates(store, name, last_round=before - 1)
        if candidate.structure_id is not None
    ]
    return learn_weights(outcomes, hull_tolerance=campaign.screen.hull_tolerance, strength=campaign.learn.strength)


def _rounded(energy: float | None) -> float | None:
    """Return an energy to the meV, so that machines whose arithmetic differs learn the same."""
    return None if energy is None else round(energy, 3)


def is_budget_spent(store: Store, campaign: Campaign, document: CampaignDocument) -> bool:
    """Return whether a campaign has used up its hours or its relaxations."""
    hours = campaign.budget.max_hours
    if hours is not None and _hours_worked(store, document.id) >= hours:
        return True
    total = campaign.budget.max_relaxed_total
    return total is not None and _relaxed_before(store, document.id, before=campaign.learn.rounds) >= total


def _hours_worked(store: Store, name: str) -> float:
    """Return the time that attempts took, one after another, hours."""
    seconds = 0.0
    for entry in store.provenance.find({"campaign": name}):
        seconds += sum((a.ended_at - a.started_at).total_seconds() for a in entry.attempts if a.ended_at is not None)
    return seconds / SECONDS_PER_HOUR


def _relaxed_before(store: Store, name: str, *, before: int) -> int:
    activities = store.provenance.find({"campaign": name, "stage": RELAX, "round": {"$lt": before}})
    return sum(len(activity.used) for activity in activities)


def _relaxation_limit(store: Store, campaign: Campaign, state: RoundState, *, n_candidates: int) -> int:
    limit = n_candidates if campaign.screen.max_relaxed is None else min(campaign.screen.max_relaxed, n_candidates)
    total = campaign.budget.max_relaxed_total
    if total is None:
        return limit
    return max(0, min(limit, total - _relaxed_before(store, campaign.name, before=state.round)))


def _candidates(store: Store, name: str, *, last_round: int) -> list[CandidateDocument]:
    """Return the candidates of all rounds up to one, in the order of their draws."""
    criteria = {"campaign": name, "round": {"$lte": last_round}}
    return sorted(store.candidates.iterate(criteria), key=lambda candidate: (candidate.round, candidate.index))


def _verdict(candidate: CandidateDocument, stage: Stage) -> VerdictRecord | None:
    return next((verdict for verdict in candidate.verdicts if verdict.stage == stage), None)


def _judged(candidate: CandidateDocument, stage: Stage) -> bool:
    return _verdict(candidate, stage) is not None


def _passed(candidate: CandidateDocument, stage: Stage) -> bool:
    verdict = _verdict(candidate, stage)
    return verdict is not None and verdict.passed


def _duplicates(
    store: Store, campaign: Campaign, candidates: Sequence[CandidateDocument], *, relaxed: bool
) -> dict[str, Duplicate | None]:
    """Return which earlier draw each candidate repeats, as drawn or as relaxed; None for the first of its kind.

    The candidates come in the order of their draws; of a million only the firsts stay in memory.
    """
    from genmat.screening.identity import describe, describe_disordered
    from genmat.screening.uniqueness import MANY, Candidate, KnownDraws

    known, repeats = KnownDraws(compiled=len(candidates) >= MANY), {}
    for batch in batched(candidates, _BATCH):
        place = {c.id: str(c.relaxed_structure_id if relaxed else c.structure_id) for c in batch}
        documents = store.structures.get_many(place.values())
        for candidate in batch:
            document = documents[place[candidate.id]]
            structure = document.to_structure()
            if campaign.screen.matching == "disordered":
                description = describe_disordered(structure)
            else:
                description = describe(structure, gene=document.gene or "")
            draw = Candidate(candidate.id, (candidate.round, candidate.index), description)
            repeats[candidate.id] = known.add(draw)
    return repeats


def _uniqueness_verdict(candidate: CandidateDocument, repeats: Mapping[str, Duplicate | None], stage: Stage) -> Verdict:
    duplicate = repeats[candidate.id]
    if duplicate is None:
        return Verdict.accept(stage)
    reason = Reason.DUPLICATE if stage is Stage.UNIQUENESS else Reason.DUPLICATE_AFTER_RELAXATION
    detail = f"the same crystal as candidate {duplicate.id[:12]} by {duplicate.evidence.text}"
    return Verdict.reject(stage, reason, detail, duplicate_of=duplicate.id)


def _record(store: Store, state: RoundState, verdicts: Mapping[str, Verdict], **fields: object) -> None:
    store.candidates.record(
        Decision(candidate, VerdictRecord.of(verdict, snapshot_id=state.snapshot_id), fields)
        for candidate, verdict in verdicts.items()
    )


def _rank(store: Store, campaign: Campaign, state: RoundState) -> None:
    """Accept the survivors and give every accepted candidate of the campaign its rank."""
    survivors = [
        candidate
        for candidate in _candidates(store, campaign.name, last_round=state.round)
        if _passed(candidate, Stage.UNIQUENESS_RELAXED) and candidate.status is not CandidateStatus.REJECTED
    ]
    accepted = {c.id: Verdict.accept(Stage.RANK) for c in survivors if not _judged(c, Stage.RANK)}
    _record(store, state, accepted, status=CandidateStatus.ACCEPTED)
    merits = [Survivor(c.id, _merit(c), float(c.energy_above_hull or 0.0)) for c in survivors]
    store.candidates.set_fields({entry.id: {"rank": place} for place, entry in enumerate(rank(merits), start=1)})


def _merit(candidate: CandidateDocument) -> float:
    verdict = _verdict(candidate, Stage.TARGET)
    return float(verdict.values["merit"]) if verdict is not None else 0.0


def _outcome(store: Store, candidate: CandidateDocument, repeats: Mapping[str, Duplicate | None]) -> DrawOutcome:
    """Return what is known about the S.S.U.N. of a draw; an off-target crystal can be unique all the same."""
    verdicts = [
        Verdict(Stage(v.stage), v.passed, Reason(v.reason), v.detail, dict(v.values)) for v in candidate.verdicts
    ]
    drawn = None
    if candidate.structure_id is not None:
        drawn = store.structures.require(candidate.structure_id).space_group_number
    after = candidate.space_group_number if candidate.relaxed_structure_id is not None else None
    outcome = outcome_from_verdicts(verdicts, number_before=drawn, number_after=after)
    if _passed(candidate, Stage.NOVELTY_RELAXED):
        return replace(outcome, unique=repeats[candidate.id] is None)
    return outcome


def _definition(campaign: Campaign, document: CampaignDocument, state: RoundState) -> SsunDefinition:
    from genmat.screening.identity import MATCHER, Evidence
    from workflows.description import SYMPREC
    from workflows.relaxation import relax_protocol
    from workflows.snapshot import hull_text

    reference = current_reference()
    potential = get_potential(campaign.screen.potential)
    protocol = relax_protocol(campaign)
    return SsunDefinition(
        hull_tolerance=campaign.screen.hull_tolerance,
        hull=hull_text(campaign.screen.hull, potential),
        potential=potential.name,
        potential_sha256=potential.sha256,
        relaxation=protocol.text,
        reference_id=reference.id,
        snapshot_id=next(s.id for s in document.snapshots if s.round == state.round),
        matcher=Evidence.DISORDERED.text if campaign.screen.matching == "disordered" else MATCHER,
        symprec=SYMPREC,
    )
