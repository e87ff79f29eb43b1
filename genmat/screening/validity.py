"""Validity of a proposed structure: distances, volume and charges, before any energy is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genmat.representation.contacts import MIN_DISTANCE, Contact, closest_contact, covalent_radius
from genmat.screening.neutrality import ChargeBalance, charge_balance, charge_test_name
from genmat.screening.verdict import Reason, Stage, Verdict

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

    from genmat.campaign.screen import Gates

__all__ = ["MIN_DISTANCE", "Contact", "check_validity", "closest_contact", "covalent_radius"]


def check_validity(structure: Structure, *, gates: Gates, stage: Stage = Stage.VALIDITY) -> Verdict:
    """Decide whether a proposed structure is worth an energy.

    Parameters
    ----------
    structure
        Ordered crystal as proposed.
    gates
        Smallest distance (fraction of the sum of covalent radii), volume per atom (Å^3/atom), whether charges balance.

    stage
        Stage that asks; relaxed structures are checked once more in ``Stage.RELAX``.

    Returns
    -------
    Verdict
        Values: ``volume_per_atom`` (Å^3/atom), ``min_distance`` (Å) and ``min_distance_ratio`` of a rejected contact,
        ``charge_balance`` and ``charge_test`` where charges were looked at.

    Notes
    -----
    The cheapest test comes first; the verdict tells the first that failed.
    """
    volume = float(structure.volume) / len(structure)
    if not np.isfinite(volume) or volume not in gates.volume_per_atom:
        return Verdict.reject(
            stage,
            Reason.VOLUME_OUT_OF_RANGE,
            f"volume {volume:.4g} Å^3/atom, allowed {gates.volume_per_atom}",
            volume_per_atom=volume if np.isfinite(volume) else str(volume),
        )
    if not np.isfinite(structure.frac_coords).all():
        detail = "coordinates of an atom are no numbers"
        return Verdict.reject(stage, Reason.NO_REPRESENTATION, detail, volume_per_atom=volume)
    if gates.charge_neutral:
        balance = charge_balance(structure.composition)
        values = {"charge_balance": balance.value, "charge_test": charge_test_name()}
        if balance is ChargeBalance.UNBALANCED:
            formula = structure.composition.reduced_formula
            detail = f"{formula} has no charge-neutral assignment of oxidation states ({values['charge_test']})"
            return Verdict.reject(Stage.VALIDITY, Reason.CHARGE_UNBALANCED, detail, volume_per_atom=volume, **values)
    else:
        values = {}
    contact = closest_contact(structure, cutoff=gates.min_distance)
    if contact is not None:
        left, right = contact.elements
        return Verdict.reject(
            stage,
            Reason.TOO_CLOSE,
            f"{left}-{right} are {contact.distance:.3f} Å apart, {contact.ratio:.2f} of their covalent radii's sum; "
            f"allowed {gates.min_distance:g} and at least {MIN_DISTANCE} Å",
            min_distance=contact.distance,
            min_distance_ratio=contact.ratio,
            volume_per_atom=volume,
            **values,
        )
    return Verdict.accept(stage, volume_per_atom=volume, **values)
