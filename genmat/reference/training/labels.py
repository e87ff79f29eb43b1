"""Labels ζ of training crystals, all energies on the scale of one reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from genmat.models.foundation.tokens import symbol
from genmat.reference.formula import parse_formula

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genmat.models.foundation.tokens import TokenTable
    from genmat.reference.table import Reference

FAR_FROM_HULL = 0.1
"""eV/atom: a crystal without an energy of the reference keeps the table's distance to the hull if it is larger.

Functionals and potentials disagree by less, so that what is far stays far on any scale."""


def intrinsic_labels(
    tokens: TokenTable,
    material_ids: Sequence[str],
    table_above_hull: NDArray[np.float64],
    *,
    reference: Reference,
) -> tuple[NDArray[np.float32], dict[str, int]]:
    """Return the labels of P_i and how many crystals have which.

    Parameters
    ----------
    tokens
        The crystals.
    material_ids
        Of each; a crystal gets the energy of the row of the reference with its id, if their compositions agree.
    table_above_hull
        The table's distances to the hull, eV/atom, shape (n,); NaN where unknown.
    reference
        Energies and the hull.

    Returns
    -------
    labels
        Formation energy (eV/atom, from the reference's elements), ln of the volume per atom (Å³, of the crystal
        itself), distance to the reference's hull (eV/atom); shape (n, 3), NaN where not known.
    counts
        Crystals by where their energies are from.

    Raises
    ------
    MissingReferenceError
        If the reference lacks an element.
    """
    numbers = tokens.elements.astype(np.int64)
    present = sorted(set(np.unique(numbers[numbers > 0]).tolist()))
    hull = reference.hull()
    hull.check_elements([symbol(z) for z in present])
    elemental = np.zeros(119)
    for z in present:
        elemental[z] = -hull.formation_energy_per_atom({symbol(z): 1.0}, 0.0, scale=reference.scale)
    rows, mismatched = _reference_rows(tokens, material_ids, reference)
    known = rows >= 0
    energy = np.where(known, reference.energies[rows], np.nan)
    above = np.where(known, reference.energies_above_hull[rows], np.nan)
    amounts = tokens.amounts.astype(float)
    shares = amounts / amounts.sum(axis=1, keepdims=True)
    formation = energy - (shares * elemental[numbers]).sum(axis=1)
    has_energy = ~np.isnan(energy)
    far = np.isnan(above) & (table_above_hull > FAR_FROM_HULL)
    above = np.where(far, table_above_hull, above)
    counts = {
        "energy_of_reference": int(has_energy.sum()),
        "hull_distance_of_table": int(far.sum()),
        "without_energy": int((~has_energy & ~far).sum()),
        "other_composition_in_reference": mismatched,
    }
    return np.stack([formation, tokens.shapes[:, 0].astype(float), above], axis=1).astype(np.float32), counts


def _reference_rows(
    tokens: TokenTable, material_ids: Sequence[str], reference: Reference
) -> tuple[NDArray[np.int64], int]:
    """Return the row of each crystal in the reference, -1 for none, and how many ids stand for something else there."""
    rows = np.asarray([reference.row_of.get(name, -1) for name in material_ids], dtype=np.int64)
    amounts = tokens.amounts
    mismatched = 0
    for i in np.flatnonzero(rows >= 0).tolist():
        if _shares(tokens, amounts, i) != _formula_shares(reference.formulas[rows[i]]):
            rows[i], mismatched = -1, mismatched + 1
    return rows, mismatched


def _shares(tokens: TokenTable, amounts: NDArray[np.int64], row: int) -> dict[str, float]:
    counts: dict[str, float] = {}
    for z, amount in zip(tokens.elements[row].tolist(), amounts[row].tolist(), strict=True):
        if z:
            counts[symbol(z)] = counts.get(symbol(z), 0.0) + amount
    return _normalised(counts)


def _formula_shares(formula: str) -> dict[str, float]:
    return _normalised(parse_formula(formula))


def _normalised(counts: dict[str, float]) -> dict[str, float]:
    total = sum(counts.values())
    return {name: round(amount / total, 6) for name, amount in counts.items()}


def label_provenance(reference: Reference, counts: dict[str, int]) -> dict[str, Any]:
    """Return what labels are, for the file of a model."""
    return {"reference": reference.id, "scale": str(reference.scale), **counts}
