"""The validation phase of a round: who is computed, what it competes with, and what the result says."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from genmat.database.candidates import Decision
from genmat.database.documents import ActivityState, CandidateStatus, VerdictRecord, utc_now
from genmat.errors import EngineError, GenmatError
from genmat.screening.ssun import Audit, engine_ssun
from genmat.screening.verdict import Reason, Stage, Verdict
from genmat.validation.calibration import FEWEST, calibrate, geometry_bounds
from genmat.validation.selection import Option, Selection, Why, select
from workflows.accounting import core_hours_left
from workflows.calibration import energy_for_scale, geometry_deviations, residuals
from workflows.chunk import (
    COMPETE,
    COUNTED,
    DONE,
    PROPERTIES,
    SELECT,
    VALIDATE,
    Chunk,
    plan_activity,
)
from workflows.computation import (
    Computed,
    competing_ids,
    engine_property,
    hull_distance,
    known_competitors,
    phase_structure,
    stored_computation,
)
from workflows.identity import activity_id
from workflows.validate import campaign_engine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from genmat.campaign import Campaign
    from genmat.campaign.schema import Validation
    from genmat.database.documents import CandidateDocument, RoundState
    from genmat.database.store import Store
    from genmat.validation.engine import Engine


def open_validation(store: Store, campaign: Campaign, asked: Validation, state: RoundState) -> None:
    """Choose what is computed of a round and register it; doing so twice changes nothing."""
    if store.provenance.count({"campaign": campaign.name, "round": state.round, "stage": SELECT}):
        return
    engine = campaign_engine(asked)
    accepted = _accepted(store, campaign.name, state.round)
    # The process at the barrier need not be one that can compute: only a campaign that goes on without asks.
    if asked.optional and (absence := absent_engine(asked)) is not None:
        nobody = Selection({}, {candidate.id: absence for candidate in accepted}, 0.0)
        _record_selection(store, campaign, state, engine.name, accepted, nobody, model=None, calibration={})
        return
    documents = store.structures.get_many(str(candidate.relaxed_structure_id) for candidate in accepted)
    known = calibrate(residuals(store, campaign.name, before=state.round), scale=engine.scale)
    is_known = len(known.residuals) >= FEWEST
    limit = asked.hull_tolerance - known.shift if is_known else campaign.screen.hull_tolerance
    options = [
        _option(store, engine, candidate, documents[str(candidate.relaxed_structure_id)].to_structure(), limit)
        for candidate in accepted
    ]
    selection = select(
        options,
        top=asked.top,
        audit=asked.audit,
        max_core_hours=core_hours_left(store, campaign.name, asked, before=state.round),
        seed=campaign.generate.seed + state.round,
    )
    phases = sorted({name for option in options if option.id in selection.chosen for name in option.phases})
    relaxed = {candidate.id: str(candidate.relaxed_structure_id) for candidate in accepted}
    common = {"model": engine.scale.engine, "parameters": dict(engine.parameters)}
    work = [plan_activity(campaign.name, state.round, COMPETE, [name], **common) for name in phases]
    work += [plan_activity(campaign.name, state.round, VALIDATE, [relaxed[key]], **common) for key in selection.chosen]
    store.provenance.insert_if_absent(work)
    calibration = {
        "residuals": len(known.residuals),
        "shift": known.shift,
        "suggested_hull_tolerance": known.tolerance(asked.hull_tolerance),
        "geometry": asdict(geometry_bounds(geometry_deviations(store, campaign.screen.potential))),
    }
    # Written last: a selection that is there is complete.
    _record_selection(
        store, campaign, state, engine.name, accepted, selection, model=engine.scale.engine, calibration=calibration
    )


def absent_engine(asked: Validation) -> str | None:
    """Return why a campaign goes on without its engine, or ``None`` if it runs here.

    Raises
    ------
    EngineError
        If it cannot run and the campaign does not go on without it.
    """
    try:
        campaign_engine(asked).check()
    except EngineError as err:
        if not asked.optional:
            raise
        return str(err)
    return None


def _record_selection(
    store: Store,
    campaign: Campaign,
    state: RoundState,
    engine: str,
    accepted: Sequence[CandidateDocument],
    selection: Selection,
    *,
    model: str | None,
    calibration: Mapping[str, Any],
) -> None:
    choice: dict[str, Any] = {
        "engine": engine,
        "chosen": {key: why.value for key, why in selection.chosen.items()},
        "passed_over": dict(selection.passed_over),
        "expected_core_hours": selection.core_hours,
        "calibration": dict(calibration),
    }
    activity = plan_activity(
        campaign.name,
        state.round,
        SELECT,
        sorted(str(candidate.relaxed_structure_id) for candidate in accepted),
        model=model,
        parameters=choice,
        state=ActivityState.COMPLETED,
        counts={"ok": len(selection.chosen), Reason.NOT_SELECTED.value: len(accepted) - len(selection.chosen)},
    )
    store.provenance.insert_if_absent([activity])


def engine_chunks(store: Store, campaign: Campaign, state: RoundState) -> list[Chunk]:
    """Return the calculations of a phase that are not done, in the order of its stages."""
    return [
        Chunk(campaign.name, state.round, state.phase, (identifier,))
        for stage in COUNTED[state.phase]
        for identifier in store.provenance.unfinished(campaign.name, round_number=state.round, stage=stage)
    ]


def close_validation(store: Store, campaign: Campaign, asked: Validation, state: RoundState) -> None:
    """Record what first principles say about the computed candidates of a round, and end the round or its phase."""
    engine = campaign_engine(asked)
    (selection,) = store.provenance.find({"campaign": campaign.name, "round": state.round, "stage": SELECT})
    chosen: Any = selection.parameters["chosen"]
    candidates = store.candidates.get_many(chosen)
    confirmed = 0
    audited: Counter[str] = Counter()
    for key, candidate in candidates.items():
        verdict = _verdict(store, engine, asked, campaign, candidate, str(chosen[key]))
        confirmed += verdict.passed
        if chosen[key] == Why.AUDIT:
            audited[_AUDITED.get(verdict.reason, "failed")] += 1
        fields: dict[str, Any] = {}
        if verdict.reason is not Reason.NOT_CONFIRMED:
            # A calculation that failed says nothing about the crystal.
            fields["status"] = CandidateStatus.ACCEPTED
        else:
            fields["rank"] = None
        record = VerdictRecord.of(verdict, snapshot_id=state.snapshot_id)
        store.candidates.record([Decision(key, record, fields)])
    update: dict[str, Any] = {
        "phase": PROPERTIES,
        "counts": {**state.counts, "validated": len(candidates), "confirmed": confirmed},
        "ssun": {**state.ssun, "validation": _engine_ssun(store, campaign, asked, state, audited)},
    }
    if not (confirmed and campaign.computed_properties):
        update |= {"phase": DONE, "finished_at": utc_now()}
    store.campaigns.set_round(campaign.name, state.model_copy(update=update), expected_phase=VALIDATE)


_AUDITED = {Reason.OK: "confirmed", Reason.NOT_CONFIRMED: "refuted"}


def _engine_ssun(
    store: Store, campaign: Campaign, asked: Validation, state: RoundState, audited: Mapping[str, int]
) -> dict[str, Any]:
    """Return the S.S.U.N. of a round by the engine; the audits of earlier rounds speak for the same potential."""
    counts = Counter(audited)
    for earlier in store.campaigns.require(campaign.name).rounds:
        found: Any = earlier.ssun.get("validation")
        if earlier.round < state.round and found:
            counts.update(found["audit_of_round"])
    part: Any = state.ssun["proportions"]
    found = engine_ssun(int(part["ssun_after"]["successes"]), int(part["ssun_after"]["total"]), Audit(**counts))
    about = {"engine": asked.engine, "hull_tolerance": asked.hull_tolerance, "audit_of_round": dict(audited)}
    return {**found.to_dict(), **about}


def _accepted(store: Store, name: str, round_number: int) -> list[CandidateDocument]:
    criteria = {"campaign": name, "round": round_number, "status": CandidateStatus.ACCEPTED.value}
    return sorted(store.candidates.iterate(criteria), key=lambda candidate: (candidate.rank or 0, candidate.id))


def _option(store: Store, engine: Engine, candidate: CandidateDocument, structure: Any, limit: float) -> Option:
    obstacle = engine.refusal(structure)
    phases: dict[str, float] = {}
    if obstacle is None:
        try:
            needed = competing_ids(structure.composition)
            for name in sorted(set(needed) - known_competitors(store, engine, needed).keys()):
                phase = phase_structure(name)
                if (refusal := engine.refusal(phase)) is not None:
                    obstacle = f"competes with {phase.composition.reduced_formula} ({name}): {refusal}"
                phases[name] = engine.estimate(phase)
        except GenmatError as err:
            obstacle = " ".join(str(err).split())
    return Option(
        id=candidate.id,
        rank=candidate.rank or 0,
        chemsys=str(candidate.chemsys),
        margin=(candidate.energy_above_hull or 0.0) - limit,
        core_hours=engine.estimate(structure),
        phases=phases,
        obstacle=obstacle,
        # Within and beyond the tolerance by its interval, or by different members of the committee.
        straddles=any(
            v.values.get("straddles_tolerance") == "yes"
            for v in candidate.verdicts
            if v.stage in {Stage.STABILITY, Stage.COMMITTEE}
        ),
    )


def _verdict(
    store: Store, engine: Engine, asked: Validation, campaign: Campaign, candidate: CandidateDocument, why: str
) -> Verdict:
    """Return what first principles say; every number stands beside the potential's."""
    parent = str(candidate.relaxed_structure_id)
    values: dict[str, float | str] = {"engine": engine.name, "chosen_as": why}
    computed = stored_computation(store, parent, engine)
    if computed is None:
        reason = failure_of(store, campaign.name, candidate.round, parent)
        return Verdict.reject(Stage.VALIDATE, Reason.VALIDATION_FAILED, reason, **values)
    values |= _numbers(store, engine, candidate, computed)
    above, competing = hull_distance(store, engine, computed)
    values["competing_phases"] = competing
    if above is None:
        return Verdict.reject(Stage.VALIDATE, Reason.VALIDATION_FAILED, competing, **values)
    document = store.structures.require(computed.structure_id)
    further = {"competing": competing}
    store.properties.insert_if_absent([engine_property(document, "energy_above_hull", above, engine, further=further)])
    values["energy_above_hull"] = above
    if candidate.energy_above_hull is not None:
        values["energy_above_hull_residual"] = above - candidate.energy_above_hull
    limit = asked.hull_tolerance
    side = "above" if above >= 0 else "below"
    detail = f"{abs(above):.3f} eV/atom {side} {competing} by {engine.name}, tolerance {limit:g}"
    if above > limit:
        return Verdict.reject(Stage.VALIDATE, Reason.NOT_CONFIRMED, detail, **values)
    return Verdict.accept(Stage.VALIDATE, detail, **values)


def _numbers(store: Store, engine: Engine, candidate: CandidateDocument, computed: Computed) -> dict[str, float | str]:
    number = store.structures.require(computed.structure_id).space_group_number
    values: dict[str, float | str] = {
        "structure_id": computed.structure_id,
        "space_group_number": number or 0,
        "space_group_kept": "yes" if number == candidate.space_group_number else "no",
        **computed.values,
    }
    if candidate.energy_above_hull is not None:
        values["energy_above_hull_potential"] = candidate.energy_above_hull
    potential = energy_for_scale(store, str(candidate.relaxed_structure_id), engine.scale)
    if potential is not None:
        values["energy_per_atom_residual"] = float(computed.values["energy_per_atom"]) - potential
    return values


def failure_of(store: Store, name: str, round_number: int, parent: str, *, stage: str = VALIDATE) -> str:
    """Return why a calculation has no result, as its activity recorded it."""
    key = activity_id(campaign=name, round_number=round_number, stage=stage, used=[parent])
    activity = store.provenance.require(key)
    reasons = ", ".join(sorted(activity.counts)) or "it was not computed"
    return f"{reasons}: {activity.parameters.get('detail', '')}".rstrip(": ")
