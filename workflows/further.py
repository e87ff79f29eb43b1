"""Opt-in tests of what is on target, one Maker each: equation of state, elasticity, phonons, dynamics, expansion.

:mod:`workflows.committee` is a further one.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from jobflow.core.job import Job, job
from jobflow.core.maker import Maker

from genmat.database.candidates import Decision
from genmat.database.documents import PropertyDocument
from genmat.errors import GenmatError
from workflows.chunk import attempt
from workflows.identity import property_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pymatgen.core.structure import Structure
    from torch_sim.models.interface import ModelInterface

    from genmat.screening.verdict import Verdict
    from workflows.chunk import Work

    type Judge = Callable[[Structure, ModelInterface, Any], Judged]
    """What a test says about a tightly relaxed crystal, given the potential and the test's settings."""
    type Test = Callable[[Work, Structure], Judged]
    """What a test says about a candidate's relaxed crystal."""

logger = logging.getLogger(__name__)

FMAX, SMAX, STEPS = 0.005, 0.05, 300
"""Force (eV/Å) and stress (GPa) below which a crystal is strained, displaced or heated, and the steps to get there."""

UNITS = {
    "committee_energy_spread": "eV/atom",
    "committee_energy_above_hull_spread": "eV/atom",
    "committee_force_spread": "eV/Å",
    "bulk_modulus_eos": "GPa",
    "bulk_modulus_pressure_derivative_eos": "1",
    "bulk_modulus_vrh": "GPa",
    "shear_modulus_vrh": "GPa",
    "smallest_elastic_eigenvalue": "GPa",
    "min_phonon_frequency": "THz",
    "max_phonon_frequency": "THz",
    "gamma_min_phonon_frequency": "THz",
    "thermal_expansion_qha": "1/K",
    "site_shift": "1",
    "lindemann": "1",
    "volume_change_at_temperature": "1",
}
"""Units of the properties that these tests give; ``shift`` and ``lindemann`` are those of the hottest run."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a test found: its verdict and properties by name."""

    verdict: Verdict
    properties: Mapping[str, float] = field(default_factory=dict)


@dataclass
class EquationOfStateMaker(Maker):
    """Equation of state of the candidates of one chunk that are on target.

    1. ``equation_of_state``: energies at seven volumes, ions relaxed; writes the bulk modulus and its derivative.
    """

    name: str = "equation_of_state"

    def make(self, activity_id: str, before: Any = None) -> Job:
        """Return the job of a chunk; ``before`` is only waited for."""
        return equation_of_state_job(activity_id, before)


@dataclass
class ElasticMaker(Maker):
    """Elastic tensor and moduli of the candidates of one chunk that are on target.

    1. ``elastic``: stresses under 24 strains, ions relaxed; writes moduli; ``mechanically_unstable`` falls.
    """

    name: str = "elastic"

    def make(self, activity_id: str, before: Any = None) -> Job:
        """Return the job of a chunk; ``before`` is only waited for."""
        return elastic_job(activity_id, before)


@dataclass
class PhononMaker(Maker):
    """Phonons of the candidates of one chunk that are on target.

    1. ``phonon``: forces of displaced supercells; writes frequencies; ``dynamically_unstable`` falls.
    """

    name: str = "phonon"

    def make(self, activity_id: str, before: Any = None) -> Job:
        """Return the job of a chunk; ``before`` is only waited for."""
        return phonon_job(activity_id, before)


@dataclass
class MolecularDynamicsMaker(Maker):
    """Short molecular dynamics of the candidates of one chunk that are on target.

    1. ``molecular_dynamics``: one run a temperature; writes how far atoms moved; ``lost_structure`` falls.
    """

    name: str = "molecular_dynamics"

    def make(self, activity_id: str, before: Any = None) -> Job:
        """Return the job of a chunk; ``before`` is only waited for."""
        return molecular_dynamics_job(activity_id, before)


@dataclass
class ThermalExpansionMaker(Maker):
    """Thermal expansion of the candidates of one chunk that are on target, in the quasi-harmonic approximation.

    1. ``thermal_expansion``: phonons at seven volumes; writes the coefficient; an imaginary mode falls.
    """

    name: str = "thermal_expansion"

    def make(self, activity_id: str, before: Any = None) -> Job:
        """Return the job of a chunk; ``before`` is only waited for."""
        return thermal_expansion_job(activity_id, before)


@job(name="equation_of_state")
def equation_of_state_job(activity_id: str, before: Any = None) -> dict[str, Any]:
    """Compute the equation of state of a chunk's candidates."""
    del before
    return judge_chunk(
        activity_id, "equation_of_state", partial(_after_tight_relaxation, "equation_of_state", judge_equation_of_state)
    )


@job(name="elastic")
def elastic_job(activity_id: str, before: Any = None) -> dict[str, Any]:
    """Judge the mechanical stability of a chunk's candidates."""
    del before
    return judge_chunk(activity_id, "elastic", partial(_after_tight_relaxation, "elastic", judge_elastic))


@job(name="phonon")
def phonon_job(activity_id: str, before: Any = None) -> dict[str, Any]:
    """Judge the dynamical stability of a chunk's candidates."""
    del before
    return judge_chunk(activity_id, "phonon", partial(_after_tight_relaxation, "phonon", judge_phonons))


@job(name="molecular_dynamics")
def molecular_dynamics_job(activity_id: str, before: Any = None) -> dict[str, Any]:
    """Judge whether a chunk's candidates keep their structure at temperatures."""
    del before
    return judge_chunk(
        activity_id, "molecular_dynamics", partial(_after_tight_relaxation, "molecular_dynamics", judge_motion)
    )


@job(name="thermal_expansion")
def thermal_expansion_job(activity_id: str, before: Any = None) -> dict[str, Any]:
    """Compute the thermal expansion of a chunk's candidates."""
    del before
    return judge_chunk(
        activity_id, "thermal_expansion", partial(_after_tight_relaxation, "thermal_expansion", judge_expansion)
    )


def judge_equation_of_state(structure: Structure, model: ModelInterface, settings: Any) -> Judged:
    """Return the bulk modulus of a crystal and its pressure derivative, ions relaxed at each volume."""
    from genmat.models.calculation import calculate
    from genmat.screening.equation_of_state import FitFailure, fit_birch_murnaghan, scaled_structures
    from genmat.screening.verdict import Reason, Stage, Verdict

    stage = Stage.EQUATION_OF_STATE
    cells = _relaxed_ions(scaled_structures(structure), model, fmax=settings.fmax)
    if isinstance(cells, str):
        return Judged(Verdict.reject(stage, Reason.PROPERTY_FAILED, cells))
    energies = [cell.energy for cell in calculate(cells, model=model)]
    found = fit_birch_murnaghan([cell.volume for cell in cells], energies)
    if isinstance(found, FitFailure):
        return Judged(Verdict.reject(stage, Reason.PROPERTY_FAILED, found.reason))
    values = {
        "bulk_modulus_eos": found.bulk_modulus,
        "bulk_modulus_pressure_derivative_eos": found.pressure_derivative,
    }
    detail = f"bulk modulus {found.bulk_modulus:.0f} GPa, its pressure derivative {found.pressure_derivative:.1f}"
    return Judged(Verdict.accept(stage, detail, **values), values)


def judge_elastic(structure: Structure, model: ModelInterface, settings: Any) -> Judged:
    """Return the moduli of a crystal, and whether no strain lowers its energy."""
    import numpy as np

    from genmat.models.calculation import calculate
    from genmat.screening.elasticity import fit_elasticity, strained_structures
    from genmat.screening.verdict import Reason, Stage, Verdict

    cells = _relaxed_ions(strained_structures(structure), model, fmax=settings.fmax)
    if isinstance(cells, str):
        return Judged(Verdict.reject(Stage.ELASTIC, Reason.PROPERTY_FAILED, cells))
    found = fit_elasticity(np.array([cell.stress for cell in calculate(cells, model=model)]))
    values = {
        "bulk_modulus_vrh": found.bulk_modulus,
        "shear_modulus_vrh": found.shear_modulus,
        "smallest_elastic_eigenvalue": found.smallest_eigenvalue,
    }
    numbers = f"smallest eigenvalue of the elastic tensor {found.smallest_eigenvalue:.1f} GPa"
    if not found.is_stable:
        return Judged(Verdict.reject(Stage.ELASTIC, Reason.MECHANICALLY_UNSTABLE, numbers, **values), values)
    detail = f"bulk modulus {found.bulk_modulus:.0f} GPa, shear modulus {found.shear_modulus:.0f} GPa, {numbers}"
    return Judged(Verdict.accept(Stage.ELASTIC, detail, **values), values)


def judge_phonons(structure: Structure, model: ModelInterface, settings: Any) -> Judged:
    """Return the range of a crystal's frequencies, and whether none is imaginary."""
    from genmat.screening.phonons import compute_phonons
    from genmat.screening.verdict import Reason, Stage, Verdict

    found = compute_phonons(structure, forces=_forces(model), min_length=settings.min_length)
    values = {
        "min_phonon_frequency": found.min_frequency,
        "max_phonon_frequency": found.max_frequency,
        "gamma_min_phonon_frequency": found.gamma_min_frequency,
    }
    cell = " x ".join(map(str, found.supercell))
    detail = f"frequencies {found.min_frequency:.2f} to {found.max_frequency:.2f} THz in a supercell {cell}"
    if found.min_frequency <= settings.min_frequency:
        detail += f", allowed above {settings.min_frequency:g} THz"
        return Judged(Verdict.reject(Stage.PHONON, Reason.DYNAMICALLY_UNSTABLE, detail, **values), values)
    return Judged(Verdict.accept(Stage.PHONON, detail, **values), values)


def judge_motion(structure: Structure, model: ModelInterface, settings: Any) -> Judged:
    """Return how far atoms of a crystal move, coldest run first, up to the first in which they leave their sites."""
    from genmat.models.calculation import molecular_dynamics
    from genmat.screening.motion import analyse_motion
    from genmat.screening.phonons import supercell_of
    from genmat.screening.verdict import Reason, Stage, Verdict

    cell = structure * supercell_of(structure, min_length=settings.min_length)
    values: dict[str, float] = {}
    details = []
    for temperature in sorted(settings.temperatures):
        moved = molecular_dynamics(
            cell,
            model=model,
            temperature=temperature,
            n_steps=settings.steps,
            timestep=settings.timestep,
            pressure=settings.pressure,
        )
        motion = analyse_motion(moved.start, moved.fractions, moved.cells, moved.temperatures)
        values = {
            "site_shift": motion.shift,
            "lindemann": motion.lindemann,
            "volume_change_at_temperature": motion.volume_change,
        }
        details.append(f"{temperature:g} K: shift {motion.shift:.2f}, Lindemann {motion.lindemann:.2f}")
        if not motion.keeps_structure:
            verdict = Verdict.reject(Stage.MOLECULAR_DYNAMICS, Reason.LOST_STRUCTURE, "; ".join(details), **values)
            return Judged(verdict, values)
    return Judged(Verdict.accept(Stage.MOLECULAR_DYNAMICS, "; ".join(details), **values), values)


def judge_expansion(structure: Structure, model: ModelInterface, settings: Any) -> Judged:
    """Return the thermal expansion of a crystal."""
    from genmat.models.calculation import calculate
    from genmat.screening.equation_of_state import FitFailure, scaled_structures
    from genmat.screening.phonons import QHA_SCALES, thermal_expansion
    from genmat.screening.verdict import Reason, Stage, Verdict

    stage = Stage.THERMAL_EXPANSION
    cells = _relaxed_ions(scaled_structures(structure, scales=QHA_SCALES), model, fmax=FMAX)
    if isinstance(cells, str):
        return Judged(Verdict.reject(stage, Reason.PROPERTY_FAILED, cells))
    found = thermal_expansion(
        cells,
        [cell.energy for cell in calculate(cells, model=model)],
        forces=_forces(model),
        min_length=settings.min_length,
        temperature=settings.temperature,
    )
    if isinstance(found, FitFailure):
        return Judged(Verdict.reject(stage, Reason.PROPERTY_FAILED, found.reason))
    values = {"thermal_expansion_qha": found}
    detail = f"thermal expansion {found:.3g} 1/K at {settings.temperature:g} K"
    return Judged(Verdict.accept(stage, detail, **values), values)


def _relaxed_ions(cells: list[Structure], model: ModelInterface, *, fmax: float) -> list[Structure] | str:
    """Return the cells with their ions relaxed, or in one line how many did not converge."""
    from genmat.models.calculation import relax_ions

    converged = [cell for cell in relax_ions(cells, model=model, fmax=fmax) if cell is not None]
    if len(converged) < len(cells):
        return f"ions of {len(cells) - len(converged)} of {len(cells)} strained cells did not converge"
    return converged


def _forces(model: ModelInterface) -> Callable[[Any], list[Any]]:
    from genmat.models.calculation import calculate

    return lambda structures: [found.forces for found in calculate(structures, model=model)]


@lru_cache(maxsize=8)
def potential_model(potential: str) -> ModelInterface:
    """Return a potential of this process; these tests need its forces and stresses, not relaxations side by side."""
    from genmat.models.potentials import get_potential

    return get_potential(potential).load(device="cpu")


def judge_chunk(activity_id: str, stage: str, test: Test) -> dict[str, Any]:
    """Judge the candidates of a chunk that came so far; each is written as soon as it is done."""
    from genmat.screening.verdict import Stage

    with attempt(activity_id) as work:
        candidates = work.store.candidates.get_many(work.activity.used).values()
        todo = [
            candidate
            for candidate in candidates
            if candidate.status == "active"
            and any(v.stage == Stage.TARGET and v.passed for v in candidate.verdicts)
            and all(v.stage != stage for v in candidate.verdicts)
        ]
        for candidate in sorted(todo, key=lambda candidate: (candidate.round, candidate.index)):
            structure_id = str(candidate.relaxed_structure_id)
            structure = work.store.structures.require(structure_id).to_structure()
            judged = _judged(work, stage, test, structure)
            work.store.properties.insert_if_absent(_properties(work, stage, structure_id, judged.properties))
            work.store.candidates.record([Decision(candidate.id, work.record(judged.verdict))])
        decided = work.store.candidates.get_many(work.activity.used).values()
        work.counts.update(Counter(v.reason for c in decided for v in c.verdicts if v.stage == stage))
    return {"activity_id": activity_id, "counts": work.counts}


def _judged(work: Work, stage: str, test: Test, structure: Structure) -> Judged:
    """Return what a test says; a crystal that it cannot treat falls with the reason."""
    from genmat.screening.verdict import Reason, Stage, Verdict

    try:
        return test(work, structure)
    except (GenmatError, ArithmeticError, IndexError, RuntimeError, ValueError) as err:
        logger.warning("%s of %s failed: %s", stage, structure.composition.reduced_formula, err)
        detail = f"{type(err).__name__}: {' '.join(str(err).split())}"
        return Judged(Verdict.reject(Stage(stage), Reason.PROPERTY_FAILED, detail))


def _after_tight_relaxation(stage: str, judge: Judge, work: Work, structure: Structure) -> Judged:
    """Relax a crystal further than candidates are, and judge it."""
    from genmat.models.protocol import RelaxProtocol
    from genmat.models.relaxation import relax
    from genmat.screening.verdict import Reason, Stage, Verdict

    model = potential_model(work.campaign.screen.potential)
    protocol = RelaxProtocol(fmax=FMAX, smax=SMAX, max_steps=STEPS)
    elements = frozenset(structure.atomic_numbers)
    ((_, outcome),) = relax([structure], model=model, protocol=protocol, atomic_numbers=elements)
    if outcome.failure is not None:
        detail = f"{outcome.failure.value} when relaxed to {FMAX} eV/Å, which the test begins with"
        return Judged(Verdict.reject(Stage(stage), Reason.PROPERTY_FAILED, detail))
    return judge(outcome.structure, model, getattr(work.campaign.screen.further, stage))


def _properties(work: Work, stage: str, structure_id: str, values: Mapping[str, float]) -> list[PropertyDocument]:
    from genmat.screening.verdict import Stage

    settings = getattr(work.campaign.screen.further, stage).model_dump(mode="json")
    potential = work.campaign.screen.potential
    tight = {} if stage == Stage.COMMITTEE else {"relaxed_fmax": FMAX, "relaxed_smax": SMAX}
    parameters = {**settings, **tight}
    return [
        PropertyDocument(
            id=property_id(structure_id, name=name, method=potential, parameters=parameters),
            structure_id=structure_id,
            name=name,
            value=value,
            unit=UNITS[name],
            fidelity=f"mlip:{potential}",
            method=potential,
            parameters=parameters,
            activity_id=work.activity.id,
        )
        for name, value in values.items()
    ]
