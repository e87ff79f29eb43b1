"""Prescreening: candidates are relaxed by a potential, then judged by what only a relaxed crystal can tell."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jobflow.core.flow import Flow
from jobflow.core.job import job
from jobflow.core.maker import Maker

from genmat.database.candidates import Decision
from genmat.database.documents import PropertyDocument
from workflows.calibration import hull_calibration
from workflows.chunk import ASSESS, RELAX, attempt
from workflows.committee import CommitteeMaker
from workflows.further import (
    ElasticMaker,
    EquationOfStateMaker,
    MolecularDynamicsMaker,
    PhononMaker,
    ThermalExpansionMaker,
)
from workflows.identity import property_id
from workflows.relaxation import potential_properties, relax_protocol, write_relaxation
from workflows.session import potential_pool
from workflows.static import StaticMaker, worth_relaxing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from jobflow.core.job import Job
    from pymatgen.core.structure import Structure

    from genmat.campaign import PropertyName
    from genmat.database.documents import CandidateDocument, StructureDocument
    from genmat.screening.prediction import Prediction
    from genmat.screening.uncertainty import Calibration
    from workflows.chunk import Chunk, Work

INTERVAL_KEYS = (
    "energy_above_hull_low",
    "energy_above_hull_high",
    "interval_confidence",
    "interval_population",
    "interval_status",
    "straddles_tolerance",
    "competing_phases",
    "hull",
)
"""What of a stability verdict is stored with the property ``energy_above_hull`` too."""

ONE_SIGMA = 0.68

HEADS = "property-heads"

VOLUME_STEPS = 60
"""Steps of an ion relaxation at fixed volume, for the equation of state."""


@dataclass
class PrescreenMaker(Maker):
    """Relax and judge the candidates of one chunk.

    1. the job of :class:`StaticMaker`, where the campaign asks for it: drop what is hopeless as proposed.
    2. ``relax``: relax each candidate, displaced on its way; writes structures, energies, trajectories.
    3. ``assess``: distance to the hull, novelty once more, properties against the target; writes properties.
    4. the jobs of the Makers of :mod:`workflows.committee` and :mod:`workflows.further` that the campaign asks for.
    """

    name: str = "prescreen"
    static_maker: StaticMaker = field(default_factory=StaticMaker)
    committee_maker: CommitteeMaker = field(default_factory=CommitteeMaker)
    equation_of_state_maker: EquationOfStateMaker = field(default_factory=EquationOfStateMaker)
    elastic_maker: ElasticMaker = field(default_factory=ElasticMaker)
    phonon_maker: PhononMaker = field(default_factory=PhononMaker)
    molecular_dynamics_maker: MolecularDynamicsMaker = field(default_factory=MolecularDynamicsMaker)
    thermal_expansion_maker: ThermalExpansionMaker = field(default_factory=ThermalExpansionMaker)

    def make(self, chunk: Chunk) -> Flow:
        """Return the jobs of a chunk."""
        jobs: list[Job] = []
        for stage, activity in zip(chunk.stages or (RELAX, ASSESS), chunk.activity_ids, strict=True):
            before = [jobs[-1].output] if jobs else []
            if stage in {RELAX, ASSESS}:
                jobs.append((relax_job if stage == RELAX else assess_job)(activity, *before))
            else:
                jobs.append(getattr(self, f"{stage}_maker").make(activity, *before))
        return Flow(jobs, output=jobs[-1].output, name=self.name)


@job(name="relax")
def relax_job(activity_id: str, static: dict[str, Any] | None = None) -> dict[str, Any]:
    """Relax the candidates of a chunk that are not relaxed yet; each is written as soon as it is done.

    Parameters
    ----------
    activity_id
        Activity of this job.
    static
        Summary of the job of :class:`StaticMaker`; only makes this job wait for that one.
    """
    from genmat.screening.verdict import Stage

    del static
    with attempt(activity_id) as work:
        pool = potential_pool(work.campaign.screen.potential)
        protocol = relax_protocol(work.campaign)
        candidates = worth_relaxing(work)
        missing = {candidate.id for candidate in _without_verdict(work, Stage.RELAX)}
        drawn = work.store.structures.get_many(str(candidate.structure_id) for candidate in candidates.values())
        structures = {c.id: drawn[str(c.structure_id)].to_structure() for c in candidates.values()}
        for identifier, relaxation in pool.relax(structures, missing=missing, protocol=protocol):
            if identifier in missing:
                write_relaxation(work, candidates[identifier], relaxation, potential=pool.potential, protocol=protocol)
        decided = work.store.candidates.get_many(candidates).values()
        work.counts.update(Counter(_reason(candidate, Stage.RELAX) for candidate in decided))
        work.generated.update(c.relaxed_structure_id for c in decided if c.relaxed_structure_id is not None)
    return {"activity_id": activity_id, "counts": work.counts}


def _without_verdict(work: Work, stage: str) -> list[CandidateDocument]:
    """Return the chunk's active candidates that a stage has not judged, in the order of their draws."""
    candidates = work.store.candidates.get_many(work.activity.used).values()
    open_ones = [c for c in candidates if c.status == "active" and all(v.stage != stage for v in c.verdicts)]
    return sorted(open_ones, key=lambda candidate: (candidate.round, candidate.index))


def _reason(candidate: CandidateDocument, stage: str) -> str:
    return next((verdict.reason for verdict in candidate.verdicts if verdict.stage == stage), "undecided")


@job(name="assess")
def assess_job(activity_id: str, relaxed: dict[str, Any]) -> dict[str, Any]:
    """Judge the relaxed candidates of a chunk: stability, novelty, target.

    Parameters
    ----------
    activity_id
        Activity of this job.
    relaxed
        Summary of :func:`relax_job`; only makes this job wait for that one.
    """
    from genmat.screening.verdict import Stage

    del relaxed
    with attempt(activity_id) as work:
        snapshot = work.snapshot()
        potential = potential_pool(work.campaign.screen.potential).potential
        calibration = hull_calibration(
            work.store,
            work.campaign.name,
            before=work.activity.round,
            potential=potential,
            hull=work.campaign.screen.hull,
        )
        todo = [c for c in _without_verdict(work, Stage.TARGET) if c.relaxed_structure_id is not None]
        for candidate in todo:
            _assess(work, candidate, snapshot, calibration)
        decided = list(work.store.candidates.get_many(work.activity.used).values())
        work.counts.update(Counter(candidate.reason for candidate in decided))
        work.generated.update(c.relaxed_structure_id for c in decided if c.relaxed_structure_id is not None)
    return {"activity_id": activity_id, "counts": work.counts}


def _assess(
    work: Work, candidate: CandidateDocument, snapshot: Any, calibration: tuple[Calibration | None, bool]
) -> None:
    """Record the verdicts of a relaxed candidate up to the first that rejects."""
    from genmat.campaign import PropertyName
    from genmat.screening.identity import describe
    from genmat.screening.stability import check_stability
    from genmat.screening.target import check_target, evaluate_properties
    from genmat.screening.verdict import Stage

    potential = potential_pool(work.campaign.screen.potential).potential
    document = work.store.structures.require(str(candidate.relaxed_structure_id))
    structure = document.to_structure()
    (energy,) = work.store.properties.find({"structure_id": document.id, "name": "energy_per_atom"}, limit=1)
    causes = {"snapshot_id": snapshot.id}

    hull = snapshot.judging(work.campaign.screen.hull, potential)
    verdict = check_stability(
        structure.composition,
        energy.value,
        hull=hull.hull,
        scale=hull.scale,
        coverage=hull.coverage,
        tolerance=work.campaign.screen.hull_tolerance,
        covered_hull=work.campaign.screen.gates.covered_hull,
        calibration=calibration[0],
        is_calibrated=calibration[1],
    )
    fields: dict[str, Any] = {}
    if "energy_above_hull" in verdict.values:
        names = ("energy_above_hull", "formation_energy_per_atom")
        values = {name: float(verdict.values[name]) for name in names}
        deviation = _standard_deviation(calibration[0], structure, values["energy_above_hull"])
        interval = {key: verdict.values[key] for key in INTERVAL_KEYS if key in verdict.values}
        other = snapshot.other_distance(hull.name, potential, structure.composition, energy.value)
        verdict = replace(verdict, values={**verdict.values, **other})
        documents = potential_properties(work, document, values | other, potential, causes, {**causes, **interval})
        work.store.properties.insert_if_absent(
            entry.model_copy(update={"uncertainty": deviation}) if entry.name == "energy_above_hull" else entry
            for entry in documents
        )
        fields = {"energy_above_hull": values["energy_above_hull"], "properties": values}
    work.store.candidates.record([Decision(candidate.id, work.record(verdict), fields)])
    if not verdict.passed:
        return
    verdict = snapshot.novelty.check(
        describe(structure, gene=document.gene or ""),
        stage=Stage.NOVELTY_RELAXED,
        disordered=work.campaign.screen.matching == "disordered",
    )
    work.store.candidates.record([Decision(candidate.id, work.record(verdict))])
    if not verdict.passed:
        return
    needed = work.campaign.target.needed_properties
    evaluation = evaluate_properties(
        structure,
        energy_above_hull=values["energy_above_hull"],
        formation_energy_per_atom=values["formation_energy_per_atom"],
        needed=needed,
        energies=_energies_at_fixed_cell(work) if PropertyName.BULK_MODULUS in needed else None,
        predictions=_predictions(document, needed),
    )
    verdict = check_target(
        evaluation,
        target=work.campaign.target,
        structure=structure,
        space_group_number=document.space_group_number or 1,
    )
    found = {name.value: value for name, value in evaluation.values.items()}
    predicted = {name.value for name in evaluation.predictions}
    further = {k: v for k, v in {**found, **evaluation.details}.items() if k not in values and k not in predicted}
    work.store.properties.insert_if_absent(
        [
            *potential_properties(work, document, further, potential, {}, {}),
            *_predicted_properties(work, document, evaluation.predictions),
        ]
    )
    fields = {"properties": found, "on_target": verdict.passed}
    work.store.candidates.record([Decision(candidate.id, work.record(verdict), fields)])


def _predictions(document: StructureDocument, needed: Collection[PropertyName]) -> dict[PropertyName, Prediction | str]:
    """Return what heads say about a relaxed crystal; the models are loaded only if a property needs one."""
    from genmat.representation import Crystal
    from genmat.screening.prediction import PREDICTED, predict_properties

    names = PREDICTED.intersection(needed)
    if not names or document.x is None:
        return dict.fromkeys(names, "the crystal has no symmetry representation")
    return predict_properties(Crystal.from_dict(document.x), names)


def _predicted_properties(
    work: Work, structure: StructureDocument, predictions: Mapping[PropertyName, Prediction]
) -> list[PropertyDocument]:
    from genmat.campaign import PROPERTY_KINDS

    return [
        PropertyDocument(
            id=property_id(structure.id, name=name.value, method=HEADS, parameters={"sha256": item.model_sha256}),
            structure_id=structure.id,
            name=name.value,
            value=item.value,
            unit=PROPERTY_KINDS[name].unit,
            fidelity=f"model:{item.model_sha256[:12]}",
            method=HEADS,
            parameters={"sha256": item.model_sha256, "low": item.low, "high": item.high, "interval_confidence": 0.9},
            uncertainty=item.standard_deviation,
            activity_id=work.activity.id,
        )
        for name, item in predictions.items()
    ]


def _standard_deviation(calibration: Calibration | None, structure: Structure, above: float) -> float | None:
    """Return half the width of the interval that a normal distribution would have within one sigma, eV/atom."""
    if calibration is None:
        return None
    interval = calibration.interval(structure.composition, above, confidence=ONE_SIGMA)
    return interval.half_width if math.isfinite(interval.half_width) else None


def _energies_at_fixed_cell(work: Work) -> Any:
    """Return the function that relaxes ions in given cells and returns their total energies (eV)."""
    from genmat.models.protocol import RelaxProtocol

    pool = potential_pool(work.campaign.screen.potential)
    protocol = RelaxProtocol(fmax=work.campaign.screen.relax.fmax, max_steps=VOLUME_STEPS, cell=False)

    def energies(structures: Iterable[Any]) -> list[float]:
        cells = {str(position): structure for position, structure in enumerate(structures)}
        relaxed = dict(pool.relax(cells, missing=set(cells), protocol=protocol))
        return [relaxed[position].energy for position in cells]

    return energies
