"""Validity of a proposed structure: distances, volume and charges, before any energy is computed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.optimization.neighbors import find_points_in_spheres

from genmat.screening.neutrality import ChargeBalance, charge_balance, charge_test_name
from genmat.screening.verdict import Reason, Stage, Verdict

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

    from genmat.campaign.schema import Gates

MIN_DISTANCE = 0.5
"""Two atoms are never closer (Å), whatever their radii; the shortest bond there is, in H2, has 0.74 Å."""

UNKNOWN_RADIUS = 1.7
"""Covalent radius (Å) of elements beyond curium, about that of the heaviest tabulated ones."""

COINCIDENT = 1e-8
"""Distance (Å) below which a point of the neighbour search is the atom itself."""


@dataclass(frozen=True, slots=True)
class Contact:
    """The pair of atoms that is closest for its size.

    Parameters
    ----------
    elements
        The two elements.
    distance
        Their distance, Å.
    ratio
        ``distance`` over the sum of their covalent radii.
    """

    elements: tuple[str, str]
    distance: float
    ratio: float


def covalent_radius(symbol: str) -> float:
    """Return the covalent radius of an element, Å (Cordero et al., Dalton Trans. 2832, 2008, doi:10.1039/b801115j)."""
    return _covalent_radii().get(symbol, UNKNOWN_RADIUS)


def closest_contact(structure: Structure, *, cutoff: float) -> Contact | None:
    """Return the pair of atoms with the smallest distance relative to their radii.

    Parameters
    ----------
    structure
        Ordered crystal; periodic images count, those of an atom itself included.
    cutoff
        Only pairs closer than ``cutoff`` times the sum of their radii are looked for (dimensionless).

    Returns
    -------
    Contact | None
        The pair; ``None`` if there is none within ``cutoff``.
    """
    symbols = [site.specie.symbol for site in structure]
    radii = np.asarray([covalent_radius(symbol) for symbol in symbols])
    cartesian = np.ascontiguousarray((structure.frac_coords % 1.0) @ structure.lattice.matrix)
    search = max(MIN_DISTANCE, 2.0 * cutoff * float(radii.max()))
    first, second, images, distances = find_points_in_spheres(
        cartesian,
        cartesian,
        r=search,
        pbc=np.ones(3, dtype=np.int64),
        lattice=np.ascontiguousarray(structure.lattice.matrix),
        tol=COINCIDENT,
    )
    other = (first != second) | (images != 0).any(axis=1)
    if not other.any():
        return None
    first, second, distances = first[other], second[other], distances[other]
    ratios = distances / (radii[first] + radii[second])
    nearest = int(np.argmin(ratios))
    if ratios[nearest] >= cutoff and distances.min() >= MIN_DISTANCE:
        return None
    pair = sorted((symbols[first[nearest]], symbols[second[nearest]]))
    return Contact((pair[0], pair[1]), float(distances[nearest]), float(ratios[nearest]))


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


@lru_cache(maxsize=1)
def _covalent_radii() -> dict[str, float]:
    from pymatgen.analysis.molecule_structure_comparator import CovalentRadius

    return {str(symbol): float(radius) for symbol, radius in CovalentRadius.radius.items()}
