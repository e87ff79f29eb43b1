"""The properties phase of a round: what an engine computes of the candidates that it confirmed, and what that says."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobflow.core.job import Job, job
from jobflow.core.maker import Maker

from genmat.campaign import PROPERTY_KINDS
from genmat.campaign.computed import ANSWERS, ComputedProperty
from genmat.campaign.screen import PhononGate
from genmat.database.candidates import Decision
from genmat.database.documents import ActivityState, CandidateStatus, PropertyDocument, VerdictRecord, utc_now
from genmat.errors import DiskFullError
from genmat.screening.verdict import Reason, Stage, Verdict
from genmat.settings import Settings
from genmat.validation.engine import Failure, Measurement
from workflows.accounting import core_hours_left, planned_core_hours
from workflows.chunk import (
    DONE,
    PROPERTIES,
    PROPERTY_STAGES,
    SELECT,
    SELECT_PROPERTIES,
    Chunk,
    attempt,
    plan_activity,
)
from workflows.computation import PROPERTY
from workflows.identity import activity_id as make_activity_id
from workflows.identity import property_id
from workflows.rawfiles import run_folder
from workflows.validate import SECONDS_PER_HOUR, asked_of, campaign_engine, side_by_side
from workflows.validation import failure_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from genmat.campaign import Campaign, PropertyName
    from genmat.campaign.schema import Validation
    from genmat.database.documents import CandidateDocument, RoundState
    from genmat.database.store import Store
    from genmat.validation.engine import Engine, PropertyFlow


@dataclass
class PropertyMaker(Maker):
    """Compute one property of one crystal from first principles.

    1. ``property``: run the engine's flow on a confirmed candidate; writes properties.
    """

    name: str = "property"

    def make(self, chunk: Chunk) -> Job:
        """Return the job of a chunk."""
        return property_job(*chunk.activity_ids)


@job(name="property")
def property_job(activity_id: str) -> dict[str, Any]:
    """Compute the property of an activity; a failure is a count with its reason, never an exception."""
    with attempt(activity_id) as work:
        asked = asked_of(work)
        (structure_id,) = work.activity.used
        measured = measure(
            work.store,
            campaign_engine(asked),
            ComputedProperty(str(work.activity.parameters[PROPERTY])),
            structure_id,
            max_seconds=asked.max_hours_each * SECONDS_PER_HOUR,
            keep=Settings.load().dft_folder,
            activity_id=activity_id,
        )
        if measured is not None:
            work.found |= {"detail": measured.detail, "core_hours": measured.core_hours}
        failure = None if measured is None else measured.failure
        work.counts.update(Counter(["ok" if failure is None else failure.value]))
    return {"activity_id": activity_id, "counts": work.counts}


def measure(
    store: Store,
    engine: Engine,
    name: ComputedProperty,
    structure_id: str,
    *,
    max_seconds: float,
    keep: Path | None = None,
    activity_id: str | None = None,
) -> Measurement | None:
    """Compute a property of a crystal that an engine relaxed, and write it; ``None`` where the database has it.

    Parameters
    ----------
    store
        Database.
    engine
        What computes.
    name
        Calculation.
    structure_id
        Relaxed structure of the engine.
    max_seconds
        Wall time before it is given up.
    keep
        Folder that gets the raw files; ``None`` to keep none.
    activity_id
        Activity that the values are owed to.
    """
    flow = engine.properties[name]
    if stored_values(store, structure_id, name, flow):
        return None
    structure = store.structures.require(structure_id).to_structure()
    try:
        with run_folder(None if keep is None else keep / f"{structure_id}-{name.value}") as folder:
            is_metal = _is_metal(store, structure_id, engine)
            measured = flow.run(structure, is_metal=is_metal, folder=folder, max_seconds=max_seconds)
    except DiskFullError as err:
        return Measurement(Failure.DISK_FULL, str(err))
    parameters = _parameters(name, flow)
    method = engine.scale.engine
    store.properties.insert_if_absent(
        PropertyDocument(
            id=property_id(structure_id, name=value_name, method=method, parameters=parameters),
            structure_id=structure_id,
            name=value_name,
            value=value,
            unit=flow.units[value_name],
            fidelity=flow.fidelity,
            method=method,
            parameters=parameters,
            activity_id=activity_id,
        )
        for value_name, value in measured.values.items()
    )
    return measured


def measure_structures(
    store: Store,
    engine: Engine,
    names: Sequence[ComputedProperty],
    structure_ids: Iterable[str],
    *,
    max_seconds: float,
    workers: int = 1,
    keep: Path | None = None,
    report: Callable[[str, int, int], None] | None = None,
) -> dict[str, dict[ComputedProperty, dict[str, float] | str]]:
    """Return properties of crystals that an engine relaxed: values by name, or why there are none.

    Parameters
    ----------
    store
        Database; it spares what it holds already.
    engine
        What relaxed them, and computes.
    names
        Calculations.
    structure_ids
        Relaxed structures.
    max_seconds
        Wall time of one calculation.
    workers
        Calculations side by side.
    keep
        Folder of the raw files.
    report
        Called with a stage, what is done of it and its total.
    """
    tasks = [(identifier, name) for identifier in structure_ids for name in names]

    def work(task: tuple[str, ComputedProperty]) -> tuple[str, ComputedProperty, dict[str, float] | str]:
        identifier, name = task
        flow = engine.properties[name]
        structure = store.structures.require(identifier).to_structure()
        if obstacle := flow.refusal(structure, is_metal=_is_metal(store, identifier, engine)):
            return *task, f"refused: {obstacle}"
        measured = measure(store, engine, name, identifier, max_seconds=max_seconds, keep=keep)
        if measured is not None and measured.failure is not None:
            return *task, f"{measured.failure}: {measured.detail}"
        return *task, stored_values(store, identifier, name, flow)

    found: dict[str, dict[ComputedProperty, dict[str, float] | str]] = {}
    for done, (identifier, name, told) in enumerate(side_by_side(work, tasks, workers=workers), start=1):
        found.setdefault(identifier, {})[name] = told
        if report is not None:
            report("properties", done, len(tasks))
    return found


def stored_values(store: Store, structure_id: str, name: ComputedProperty, flow: PropertyFlow) -> dict[str, float]:
    """Return what the database holds of a calculation, values by name; empty if it was not done."""
    found = store.properties.find({"structure_id": structure_id, "fidelity": flow.fidelity})
    return {entry.name: entry.value for entry in found if entry.parameters == _parameters(name, flow)}


def _parameters(name: ComputedProperty, flow: PropertyFlow) -> dict[str, Any]:
    return {PROPERTY: name.value, **flow.parameters}


def _is_metal(store: Store, structure_id: str, engine: Engine) -> bool:
    """Return whether the engine's own static calculation found no gap."""
    found = store.properties.find({"structure_id": structure_id, "fidelity": engine.fidelity, "name": "band_gap"})
    return any(entry.value <= 0 for entry in found if PROPERTY not in entry.parameters)


def open_properties(store: Store, campaign: Campaign, asked: Validation, state: RoundState) -> None:
    """Choose what is computed of the confirmed candidates of a round, best first; doing so twice changes nothing."""
    confirmed = _confirmed(store, campaign.name, state.round)
    used = sorted(confirmed.values())
    selection = make_activity_id(campaign=campaign.name, round_number=state.round, stage=SELECT_PROPERTIES, used=used)
    if store.provenance.get(selection) is not None:
        return
    here = {"campaign": campaign.name, "round": state.round}
    engine = campaign_engine(asked)
    left = core_hours_left(store, campaign.name, asked, before=state.round)
    if left is not None:
        left -= planned_core_hours(store, {**here, "stage": SELECT})
    expected, planned = 0.0, []
    passed_over: dict[str, list[str]] = {}
    for candidate, structure_id in confirmed.items():
        structure = store.structures.require(structure_id).to_structure()
        is_metal = _is_metal(store, structure_id, engine)
        before = _computed(store, campaign.name, state.round, structure_id)
        for name in campaign.computed_properties:
            flow = engine.properties[name]
            hours = flow.estimate(structure)
            obstacle = flow.refusal(structure, is_metal=is_metal)
            # What is planned stays and counts: another process may be at this, or a validation was retried since.
            if obstacle is None and name not in before and left is not None and expected + hours > left:
                obstacle = f"{hours:.2g} core hours expected, {max(0.0, left - expected):.2g} are left"
            if obstacle is not None:
                passed_over.setdefault(candidate, []).append(f"{name.value}: {obstacle}")
                continue
            expected += hours
            parameters = {**_parameters(name, flow), "fidelity": flow.fidelity, "expected_core_hours": hours}
            stage = PROPERTY_STAGES[name]
            planned.append(
                plan_activity(
                    campaign.name, state.round, stage, [structure_id], model=engine.scale.engine, parameters=parameters
                )
            )
    store.provenance.insert_if_absent(planned)
    choice: dict[str, Any] = {
        "engine": engine.name,
        "confirmed": confirmed,
        "passed_over": {candidate: "; ".join(reasons) for candidate, reasons in passed_over.items()},
        # Of a selection before a validation was retried, what it paid for is no cost once more.
        "expected_core_hours": expected
        - planned_core_hours(store, {**here, "stage": SELECT_PROPERTIES, "_id": {"$ne": selection}}),
    }
    # Written last: a selection that is there is complete.
    store.provenance.insert_if_absent(
        [
            plan_activity(
                campaign.name,
                state.round,
                SELECT_PROPERTIES,
                used,
                model=engine.scale.engine,
                parameters=choice,
                state=ActivityState.COMPLETED,
                counts={"ok": len(planned)},
            )
        ]
    )


def _confirmed(store: Store, name: str, round_number: int) -> dict[str, str]:
    """Return the relaxed structure of each candidate that the engine confirmed, by id, best first."""
    # Whatever their properties have made of them since: doing this again finds the same.
    criteria = {"campaign": name, "round": round_number, "verdicts.stage": Stage.VALIDATE.value}
    found = []
    for candidate in store.candidates.iterate(criteria):
        verdict = next((v for v in candidate.verdicts if v.stage == Stage.VALIDATE and v.passed), None)
        if verdict is not None:
            found.append((candidate.rank or 0, candidate.id, str(verdict.values["structure_id"])))
    return {identifier: structure_id for _, identifier, structure_id in sorted(found)}


def close_properties(store: Store, campaign: Campaign, asked: Validation, state: RoundState) -> None:
    """Record what the properties say about the confirmed candidates of a round, and end the round."""
    engine = campaign_engine(asked)
    confirmed = _confirmed(store, campaign.name, state.round)
    n_measured = 0
    for key, candidate in store.candidates.get_many(confirmed).items():
        names = _computed(store, campaign.name, state.round, confirmed[key])
        if not names:
            continue
        n_measured += 1
        verdict = _verdict(store, engine, campaign, candidate, confirmed[key], names)
        fields: dict[str, Any] = {}
        if verdict.reason is Reason.PROPERTY_FAILED:
            # A calculation that failed says nothing about the crystal.
            fields["status"] = CandidateStatus.ACCEPTED
        elif not verdict.passed:
            fields["rank"] = None
        record = VerdictRecord.of(verdict, snapshot_id=state.snapshot_id)
        store.candidates.record([Decision(key, record, fields)])
    update = {"phase": DONE, "counts": {**state.counts, "measured": n_measured}, "finished_at": utc_now()}
    store.campaigns.set_round(campaign.name, state.model_copy(update=update), expected_phase=PROPERTIES)


def _computed(store: Store, name: str, round_number: int, structure_id: str) -> list[ComputedProperty]:
    """Return the calculations that were planned for a structure, cheapest first."""
    stages = {stage: calculation for calculation, stage in PROPERTY_STAGES.items()}
    criteria = {"campaign": name, "round": round_number, "stage": {"$in": list(stages)}, "used": structure_id}
    found = {stages[activity.stage] for activity in store.provenance.find(criteria)}
    return [calculation for calculation in ComputedProperty if calculation in found]


def _verdict(
    store: Store,
    engine: Engine,
    campaign: Campaign,
    candidate: CandidateDocument,
    structure_id: str,
    names: Iterable[ComputedProperty],
) -> Verdict:
    """Return what properties say: unstable, off target, or neither; every number beside the screening's."""
    values: dict[str, float | str] = {"engine": engine.name, "structure_id": structure_id}
    answers: dict[PropertyName, tuple[float, str]] = {}
    told, failed = [], []
    for name in names:
        flow = engine.properties[name]
        found = stored_values(store, structure_id, name, flow)
        if not found:
            why = failure_of(store, campaign.name, candidate.round, structure_id, stage=PROPERTY_STAGES[name])
            failed.append(f"{name.value}: {why}")
        # The gaps of two functionals are two numbers of one candidate.
        functional = flow.fidelity.split(":")[1]
        end = "" if flow.fidelity == engine.fidelity else f"_{functional}"
        values |= {f"{key}{end}": value for key, value in found.items()}
        told += [f"{key} {value:.4g} {flow.units[key]} by {flow.fidelity}" for key, value in found.items()]
        # The costlier calculation comes later and has the last word.
        answers |= {asked: (found[key], flow.fidelity) for asked, key in ANSWERS[name].items() if key in found}
    for asked in sorted(answers.keys() & candidate.properties.keys()):
        values[f"{asked}_screening"] = candidate.properties[asked]
    if (unstable := _instability(campaign, values)) is not None:
        reason, detail = unstable
        return Verdict.reject(Stage.PROPERTIES, reason, detail, **values)
    if wrong := _off_target(campaign, candidate, answers):
        return Verdict.reject(Stage.PROPERTIES, Reason.OFF_TARGET, "; ".join(wrong), **values)
    if failed:
        return Verdict.reject(Stage.PROPERTIES, Reason.PROPERTY_FAILED, "; ".join(failed), **values)
    known = candidate.properties
    beside = [name for name in answers if name in known]
    told += [f"{name} {known[name]:.4g} {PROPERTY_KINDS[name].unit} by the screening" for name in beside]
    return Verdict.accept(Stage.PROPERTIES, ", ".join(told), **values)


def _instability(campaign: Campaign, values: Mapping[str, float | str]) -> tuple[Reason, str] | None:
    """Return why a crystal is no minimum of the energy, as the tests by the potential judge it."""
    eigenvalue = float(values.get("smallest_elastic_eigenvalue", 1.0))
    if eigenvalue <= 0:
        return Reason.MECHANICALLY_UNSTABLE, f"smallest eigenvalue of the elastic tensor {eigenvalue:.1f} GPa"
    limit = (campaign.screen.further.phonon or PhononGate()).min_frequency
    frequency = float(values.get("min_phonon_frequency", 0.0))
    if frequency < limit:
        return Reason.DYNAMICALLY_UNSTABLE, f"lowest frequency {frequency:.2f} THz, allowed from {limit:g} THz on"
    return None


def _off_target(
    campaign: Campaign, candidate: CandidateDocument, answers: Mapping[PropertyName, tuple[float, str]]
) -> list[str]:
    """Return the properties that lie outside their ranges, each beside what the screening said."""
    violations = campaign.target.check_values({name: value for name, (value, _) in answers.items()})
    wrong = []
    for violation in violations:
        if violation.name in answers:
            before = candidate.properties.get(violation.name)
            said = "" if before is None else f", {before:.4g} {violation.unit} by the screening"
            wrong.append(f"{violation} by {answers[violation.name][1]}{said}")
    return wrong
