"""Stability: the distance to the convex hull against the tolerance τ, and what a crystal competes with."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from genmat.errors import MissingReferenceError
from genmat.reference.formula import parse_formula
from genmat.screening.verdict import Reason, Stage, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core.composition import Composition

    from genmat.energy import EnergyScale
    from genmat.reference.coverage import LabelCoverage
    from genmat.reference.hull import Hull, Phase
    from genmat.screening.uncertainty import Calibration

LOWEST_FORMATION_ENERGY = -6.0
"""No compound binds stronger than about -4.5 eV/atom (fluorides of the lanthanides): below this a potential failed."""


class HullName(StrEnum):
    """Whose energies span a hull."""

    OWN = "own"
    """Of the potential that judges: its systematic error cancels."""
    DFT = "dft"
    """Labels: the potential's energy is taken as a prediction of them."""

    @property
    def text(self) -> str:
        """What it is called in sentences."""
        return "the DFT hull" if self is HullName.DFT else "the hull"


def check_stability(  # noqa: PLR0913 - all that the verdict rests on
    composition: Composition,
    energy_per_atom: float,
    *,
    hull: Hull,
    scale: EnergyScale,
    tolerance: float,
    coverage: LabelCoverage | None = None,
    covered_hull: bool = True,
    calibration: Calibration | None = None,
    is_calibrated: bool = False,
) -> Verdict:
    """Decide whether a relaxed crystal is stable within a tolerance.

    Parameters
    ----------
    composition
        Composition of the crystal.
    energy_per_atom
        Energy after relaxation, eV/atom, on ``scale``.
    hull
        Hull of the reference snapshot that the round is judged against.
    scale
        Scale of the energy; must be that of the hull.
    tolerance
        τ: largest distance to the hull that counts as stable, eV/atom.
    coverage
        Which competing phases have a label, where the hull is that of labels (DFT); ``None`` for the potential's own.
    covered_hull
        Whether a compound falls that competes with elements alone, where its distance would be its formation energy, or
        with a phase that has no label, where its distance is too small.
    calibration
        Residuals of the potential's distances; ``None`` where there are none on its scale.
    is_calibrated
        Whether the crystal belongs to the population of the calibration.

    Returns
    -------
    Verdict
        Of the stage ``stability``. Values, all eV/atom: ``energy_above_hull`` (negative below the hull),
        ``formation_energy_per_atom``, ``energy_per_atom``, ``hull_tolerance``; ``hull`` (``own`` or ``dft``) and
        ``competing_phases`` as text. With a
        calibration, ``energy_above_hull_low`` and ``_high``, ``interval_confidence``, ``interval_population``,
        ``interval_status`` (``calibrated`` or ``uncalibrated``) and ``straddles_tolerance`` (``yes`` or ``no``: a
        calculation from first principles would decide). The interval decides nothing here.

    Raises
    ------
    EnergyScaleError
        If the scales differ.
    """
    name = HullName.OWN if coverage is None else HullName.DFT
    try:
        above = hull.energy_above_hull(composition, energy_per_atom, scale=scale)
        formation = hull.formation_energy_per_atom(composition, energy_per_atom, scale=scale)
        phases = hull.decomposition(composition)
    except MissingReferenceError as err:
        return Verdict.reject(Stage.STABILITY, Reason.MISSING_REFERENCE, str(err), energy_per_atom=energy_per_atom)
    competing = phases_text(phases)
    values: dict[str, float | str] = {
        "energy_above_hull": above,
        "formation_energy_per_atom": formation,
        "energy_per_atom": energy_per_atom,
        "hull_tolerance": tolerance,
        "hull": name.value,
        "competing_phases": competing,
    }
    if formation < LOWEST_FORMATION_ENERGY:
        detail = f"formation energy {formation:.3f} eV/atom, plausible above {LOWEST_FORMATION_ENERGY:g} eV/atom"
        return Verdict.reject(Stage.STABILITY, Reason.IMPLAUSIBLE_ENERGY, detail, **values)
    if covered_hull and len(composition) > 1 and all(len(parse_formula(phase.formula)) == 1 for phase in phases):
        detail = (
            f"the reference knows no compound that competes with {composition.reduced_formula}, only {competing}: "
            f"its formation energy, {formation:.3f} eV/atom, says nothing about stability"
        )
        return Verdict.reject(Stage.STABILITY, Reason.MISSING_REFERENCE, detail, **values)
    if covered_hull and coverage is not None and (unlabelled := coverage.unlabelled(composition)):
        detail = (
            f"{name.text} has no energy of {', '.join(unlabelled)}, which competes with "
            f"{composition.reduced_formula}: {above:.3f} eV/atom above what it knows is too low a distance"
        )
        return Verdict.reject(Stage.STABILITY, Reason.MISSING_REFERENCE, detail, **values)
    side = "above" if above >= 0.0 else "below"
    detail = f"{abs(above):.3f} eV/atom {side} {name.text}, tolerance {tolerance:g} eV/atom; competes with {competing}"
    if calibration is not None:
        interval = calibration.interval(composition, above, is_member=is_calibrated)
        values |= interval.to_dict() | {"straddles_tolerance": "yes" if interval.straddles(tolerance) else "no"}
        detail += f"; {interval}"
    if above > tolerance:
        return Verdict.reject(Stage.STABILITY, Reason.ABOVE_HULL, detail, **values)
    return Verdict.accept(Stage.STABILITY, detail, **values)


def phases_text(phases: Sequence[Phase]) -> str:
    """Return a decomposition in words: ``0.600 Li2O (mp-1960) + 0.400 TiO2 (mp-2657)``, shares of the atoms."""
    return " + ".join(f"{phase.fraction:.3f} {phase.formula} ({phase.material_id})" for phase in phases)
