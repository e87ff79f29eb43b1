"""Which calibration the distances to the hull of a round get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genmat.screening.verdict import Stage
from genmat.validation.selection import Why
from workflows.chunk import SELECT

if TYPE_CHECKING:
    from genmat.database.store import Store
    from genmat.energy import EnergyScale
    from genmat.screening.uncertainty import Calibration, Residual


def hull_calibration(
    store: Store, campaign: str, *, before: int, scale: EnergyScale, hull: str
) -> tuple[Calibration | None, bool]:
    """Return the calibration of a round, and whether it holds for generated crystals.

    Parameters
    ----------
    store
        Database.
    campaign
        Name of the campaign.
    before
        The round: audits of earlier ones count, which are complete, so that verdicts do not depend on when they fall.
    scale
        Scale of the potential that screens.
    hull
        Which hull the campaign judges by.

    Returns
    -------
    tuple
        What the campaign's audit gives, once it is large enough; until then the shipped calibration, if there is one on
        the scale for that hull, which holds for crystals of the Materials Project only.
    """
    from genmat.screening.uncertainty import audited_calibration, shipped_calibration

    audited = audited_calibration(audited_residuals(store, campaign, before=before), scale=scale, campaign=campaign)
    return (audited, True) if audited is not None else (shipped_calibration(scale, hull=hull), False)


def audited_residuals(store: Store, campaign: str, *, before: int) -> list[Residual]:
    """Return what first principles said about the audit slices of the rounds before one, by candidate id.

    Only candidates that were drawn at random count: those chosen for their rank are better than the rest.
    """
    from pymatgen.core.composition import Composition

    from genmat.screening.uncertainty import Residual

    criteria = {"campaign": campaign, "stage": SELECT, "round": {"$lt": before}}
    chosen: dict[str, Any] = {}
    for activity in store.provenance.find(criteria):
        selected: Any = activity.parameters.get("chosen", {})
        chosen |= {key: why for key, why in selected.items() if why == Why.AUDIT}
    candidates = store.candidates.get_many(sorted(chosen))
    found = []
    for key in sorted(candidates):
        candidate = candidates[key]
        verdict = next((v for v in candidate.verdicts if v.stage == Stage.VALIDATE), None)
        label = None if verdict is None else verdict.values.get("energy_above_hull")
        if isinstance(label, float) and candidate.energy_above_hull is not None:
            composition = Composition(str(candidate.formula_pretty))
            found.append(Residual(composition, candidate.energy_above_hull, label))
    return found
