"""Target: the properties of a relaxed crystal, and whether it is what the campaign asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genmat.campaign.properties import PROPERTY_KINDS, PropertyName
from genmat.screening.equation_of_state import (
    EquationOfState,
    FitFailure,
    fit_birch_murnaghan,
    scaled_structures,
)
from genmat.screening.prediction import PREDICTED, Prediction
from genmat.screening.verdict import Reason, Stage, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from pymatgen.core.structure import Structure

    from genmat.campaign.properties import Violation
    from genmat.campaign.target import Target

    type EnergyFunction = Callable[[Sequence[Structure]], Sequence[float]]
    """Total energies (eV) of structures at fixed cell; whether ions relax in it is the caller's choice."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Properties of one relaxed crystal.

    Parameters
    ----------
    values
        Value of each property that could be computed, in the unit that the campaign schema fixes for it.
    failures
        For each property that could not be computed: why, in one line.
    details
        Further numbers of the same calculations, such as ``bulk_modulus_pressure_derivative``.
    predictions
        What a head said, with its interval, where a value is a prediction.
    """

    values: Mapping[PropertyName, float]
    failures: Mapping[PropertyName, str] = field(default_factory=dict)
    details: Mapping[str, float] = field(default_factory=dict)
    predictions: Mapping[PropertyName, Prediction] = field(default_factory=dict)


def evaluate_properties(
    structure: Structure,
    *,
    energy_above_hull: float,
    formation_energy_per_atom: float,
    needed: Collection[PropertyName] = (),
    energies: EnergyFunction | None = None,
    predictions: Mapping[PropertyName, Prediction | str] | None = None,
) -> Evaluation:
    """Return the properties of a relaxed crystal.

    Parameters
    ----------
    structure
        Relaxed crystal.
    energy_above_hull, formation_energy_per_atom
        What the stability verdict found, eV/atom.
    needed
        Properties that the target uses; the expensive ones are computed only if named here.
    energies
        Energies of strained cells for the bulk modulus, see :data:`EnergyFunction`.
    predictions
        What :func:`genmat.screening.prediction.predict_properties` says about the needed properties that heads give.

    Returns
    -------
    Evaluation
        The cheap properties always; the bulk modulus (GPa) and predicted ones if needed.
    """
    values = {
        PropertyName.ENERGY_ABOVE_HULL: energy_above_hull,
        PropertyName.FORMATION_ENERGY_PER_ATOM: formation_energy_per_atom,
        PropertyName.VOLUME_PER_ATOM: float(structure.volume) / len(structure),
        PropertyName.DENSITY: float(structure.density),
    }
    failures: dict[PropertyName, str] = {}
    details: dict[str, float] = {}
    found: dict[PropertyName, Prediction] = {}
    for name in sorted(PREDICTED.intersection(needed)):
        prediction = (predictions or {}).get(name, "no model was asked for it")
        if isinstance(prediction, str):
            failures[name] = prediction
        else:
            values[name], found[name] = prediction.value, prediction
    if PropertyName.BULK_MODULUS in needed:
        fit = _equation_of_state(structure, energies)
        if isinstance(fit, FitFailure):
            failures[PropertyName.BULK_MODULUS] = fit.reason
        else:
            values[PropertyName.BULK_MODULUS] = fit.bulk_modulus
            details["bulk_modulus_pressure_derivative"] = fit.pressure_derivative
    return Evaluation(values, failures, details, found)


def _equation_of_state(structure: Structure, energies: EnergyFunction | None) -> EquationOfState | FitFailure:
    if energies is None:
        return FitFailure("no potential was given for the equation of state")
    strained = scaled_structures(structure)
    return fit_birch_murnaghan([cell.volume for cell in strained], list(energies(strained)))


def check_target(evaluation: Evaluation, *, target: Target, structure: Structure, space_group_number: int) -> Verdict:
    """Decide whether a relaxed crystal is on target.

    Parameters
    ----------
    evaluation
        Its properties.
    target
        Ranges, chemistry and symmetry asked for.
    structure
        Relaxed crystal, primitive cell.
    space_group_number
        Its space group after relaxation, 1 to 230.

    Returns
    -------
    Verdict
        Of the stage ``target``: ``off_target`` with each number and its range, ``property_failed`` if a property with a
        range could not be computed. A predicted value counts as it is, its interval stands in the detail. Values: every
        property, both ends of predicted ones (``band_gap_low`` …), and ``merit`` (0 to 1).
    """
    merit = target.merit(evaluation.values)
    values: dict[str, float | str] = {name.value: value for name, value in sorted(evaluation.values.items())}
    values |= dict(evaluation.details) | {"merit": merit}
    for name, prediction in evaluation.predictions.items():
        values |= {f"{name.value}_low": prediction.low, f"{name.value}_high": prediction.high}
    wrong = []
    if not target.allows_composition(structure.composition):
        wrong.append(f"composition {structure.composition.reduced_formula} is outside the target chemistry")
    if not target.allows_space_group(space_group_number):
        wrong.append(f"space group {space_group_number} is not among those asked for")
    if not target.allows_n_atoms(len(structure)):
        wrong.append(f"{len(structure)} atoms in the primitive cell (asked: {target.n_atoms})")
    violations = target.check_values(evaluation.values)
    failed = [violation for violation in violations if violation.name in evaluation.failures]
    wrong += [_violation_text(violation, evaluation) for violation in violations if violation not in failed]
    if wrong:
        return Verdict.reject(Stage.TARGET, Reason.OFF_TARGET, "; ".join(wrong), **values)
    if failed:
        detail = "; ".join(f"{item.name.value}: {evaluation.failures[item.name]}" for item in failed)
        return Verdict.reject(Stage.TARGET, Reason.PROPERTY_FAILED, detail, **values)
    return Verdict.accept(Stage.TARGET, _summary(evaluation, target), **values)


def _violation_text(violation: Violation, evaluation: Evaluation) -> str:
    prediction = evaluation.predictions.get(violation.name)
    if prediction is None:
        return str(violation)
    return f"{violation}, 90 % interval {prediction.low:.4g} to {prediction.high:.4g} {violation.unit}"


def _summary(evaluation: Evaluation, target: Target) -> str:
    """Return the values of the target's properties in words."""
    parts = [
        f"{name.value} {evaluation.values[name]:.4g} {PROPERTY_KINDS[name].unit}"
        for name in sorted(target.needed_properties)
        if name in evaluation.values
    ]
    return ", ".join(parts)
