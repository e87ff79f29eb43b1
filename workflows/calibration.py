"""What first principles said about a potential so far, and the calibration that the next round gets from it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from genmat.energy import EnergyScale
from genmat.screening.verdict import Stage
from genmat.validation.calibration import Calibration, calibrate
from genmat.validation.selection import Why
from genmat.validation.summary import Deviation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from genmat.database.documents import CandidateDocument
    from genmat.database.store import Store
    from genmat.models.potentials import Potential
    from genmat.screening.uncertainty import Calibration as HullCalibration
    from genmat.screening.uncertainty import Residual


def hull_calibration(
    store: Store, campaign: str, *, before: int, potential: Potential, hull: str
) -> tuple[HullCalibration | None, bool]:
    """Return the calibration of the distances to the hull of a round, and whether it holds for generated crystals.

    Parameters
    ----------
    store
        Database.
    campaign
        Name of the campaign.
    before
        The round: audits of earlier ones count, which are complete, so that verdicts do not depend on when they fall.
    potential
        What screens.
    hull
        Which hull the campaign judges by. Distances to that of the labels are calibrated by what lies on their scale
        alone: those of any other engine are to another hull.

    Returns
    -------
    tuple
        What the campaign's audit gives, once it is large enough; until then the shipped calibration, if there is one on
        the scale for that hull, which holds for crystals of the Materials Project only.
    """
    from genmat.screening.stability import HullName
    from genmat.screening.uncertainty import audited_calibration, shipped_calibration

    labels = potential.label_scale if hull == HullName.DFT else None
    found = audited_residuals(store, campaign, before=before, labels=labels)
    audited = audited_calibration(found, scale=potential.scale, campaign=campaign)
    return (audited, True) if audited is not None else (shipped_calibration(potential.scale, hull=hull), False)


def audited_residuals(store: Store, campaign: str, *, before: int, labels: EnergyScale | None = None) -> list[Residual]:
    """Return what first principles said about the audit slices of the rounds before one, the latest last.

    Only candidates that were drawn at random count: those chosen for their rank are better than the rest. All lie on
    one scale: ``labels``, or else that of the latest audit, for the settings of an engine may have changed since.
    """
    from pymatgen.core.composition import Composition

    from genmat.screening.uncertainty import Residual

    judged = [
        (candidate, float(values["energy_above_hull"]), scale)
        for candidate, values, scale in _judged(store, campaign, before=before)
        if values["chosen_as"] == Why.AUDIT and candidate.energy_above_hull is not None
    ]
    if labels is None and judged:
        labels = judged[-1][2]
    return [
        Residual(Composition(str(candidate.formula_pretty)), float(candidate.energy_above_hull or 0.0), above)
        for candidate, above, scale in judged
        if scale == labels
    ]


def residuals(store: Store, campaign: str, *, before: int | None = None) -> list[tuple[float, EnergyScale]]:
    """Return the distances of a campaign's earlier rounds minus the potential's, eV/atom, with the engine's scale.

    The latest come last.
    """
    name = "energy_above_hull_residual"
    judged = _judged(store, campaign, before=before)
    return [(float(values[name]), scale) for _, values, scale in judged if name in values]


def latest_calibration(store: Store, campaign: str) -> Calibration | None:
    """Return what all rounds of a campaign say on the scale of the latest; ``None`` where nothing was computed."""
    known = residuals(store, campaign)
    return calibrate(known, scale=known[-1][1]) if known else None


def _judged(
    store: Store, campaign: str, *, before: int | None
) -> Iterator[tuple[CandidateDocument, Mapping[str, Any], EnergyScale]]:
    """Yield by round the candidates of earlier ones with a distance by an engine, its values and its scale."""
    criteria: dict[str, Any] = {"campaign": campaign, "verdicts.stage": Stage.VALIDATE.value}
    if before is not None:
        criteria["round"] = {"$lt": before}
    for candidate in sorted(store.candidates.iterate(criteria), key=lambda found: (found.round, found.id)):
        values = _values(candidate)
        if "energy_above_hull" not in values:
            continue
        wanted = {"structure_id": values["structure_id"], "name": "energy_above_hull"}
        scales = [stored.energy_scale for stored in store.properties.find(wanted) if stored.energy_scale is not None]
        for scale in scales[:1]:
            yield candidate, values, EnergyScale.from_dict(scale)


def energy_for_scale(store: Store, structure_id: str, scale: EnergyScale) -> float | None:
    """Return a potential's energy of a crystal, eV/atom, that means the same as those of a scale.

    They may differ in who computed them alone; ``None`` where functional, Hubbard U, pseudopotentials or correction do.
    """
    for stored in store.properties.find({"structure_id": structure_id, "name": "energy_per_atom"}):
        if stored.energy_scale is not None:
            found = EnergyScale.from_dict(stored.energy_scale)
            if replace(found, engine=scale.engine) == scale:
                return stored.value
    return None


def geometry_deviations(store: Store, potential: str) -> list[Deviation]:
    """Return how engines changed what a potential relaxed, in all campaigns of the database; whole rounds only."""
    names = [entry.id for entry in store.campaigns.find({"config.screen.potential": potential})]
    criteria = {"campaign": {"$in": names}, "verdicts.stage": Stage.VALIDATE.value}
    return [
        Deviation.from_values(candidate.elements, _values(candidate))
        for candidate in store.candidates.iterate(criteria)
    ]


def _values(candidate: CandidateDocument) -> Mapping[str, Any]:
    return next(verdict for verdict in candidate.verdicts if verdict.stage == Stage.VALIDATE).values
