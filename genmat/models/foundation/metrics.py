"""How well a foundation model does on crystals that it was not trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genmat.models.foundation.config import INTRINSIC
from genmat.models.foundation.sample import decode_genes, encode, predict
from genmat.representation.filling import N_GROUPS, GeneConstraints

if TYPE_CHECKING:
    from genmat.models.foundation.model import FoundationModel
    from genmat.models.foundation.train import PretrainData

UNITS = ("ev_per_atom", "ln_angstrom3_per_atom", "ev_per_atom")
"""Of ``INTRINSIC``."""


def validation_metrics(
    model: FoundationModel, data: PretrainData, *, max_energy_above_hull: float, n: int = 500, seed: int = 0
) -> dict[str, float]:
    """Return metrics of reconstruction and of P_i on the validation split.

    Parameters
    ----------
    model
        Stage 1.
    data
        Crystals with their labels.
    max_energy_above_hull
        eV/atom: crystals beyond are not reconstructed, the decoder was not trained to.
    n
        Crystals that are reconstructed at most, drawn with ``seed``.
    seed
        Of the draw.

    Returns
    -------
    dict
        ``gene_accuracy`` and ``space_group_accuracy``: share of the reconstructions x → z → x, likeliest choice at each
        step, whose whole gene (space group, Wyckoff letters with their elements) or space group is exact;
        ``n_reconstructed``; ``NAME_mae_UNIT`` of each intrinsic property over all labelled validation crystals, and
        ``gene_only_NAME_mae_UNIT`` where the encoder does not see the geometry. A metric without a crystal is absent.
    """
    validation = np.flatnonzero(data.is_validation)
    above = data.labels[validation, INTRINSIC.index("energy_above_hull")]
    near = validation[~(above > max_energy_above_hull)]
    found: dict[str, float] = {}
    for prefix, has_geometry in (("", True), ("gene_only_", False)):
        mean, _ = predict(model, encode(model, data.tokens[validation], has_geometry=has_geometry))
        for column, (name, unit) in enumerate(zip(INTRINSIC, UNITS, strict=True)):
            error = np.abs(mean[:, column] - data.labels[validation, column])
            if not np.isnan(error).all():
                found[f"{prefix}{name}_mae_{unit}"] = float(np.nanmean(error))
    rows = np.sort(np.random.default_rng(seed).permutation(near)[:n])
    if not len(rows):
        return found
    tokens = data.tokens[rows]
    genes = decode_genes(
        model,
        encode(model, tokens),
        np.zeros(len(rows), dtype=np.float32),
        constraints=GeneConstraints(numbers=frozenset(range(1, N_GROUPS + 1))),
        streams=[np.random.default_rng(row) for row in range(len(rows))],
        temperature=0.0,
    ).tokens
    same_group = genes.numbers == tokens.numbers
    # Both are in sorted order, so that equal genes are equal arrays.
    same_orbits = (genes.ranks == tokens.ranks) & (genes.elements == tokens.elements)
    found["gene_accuracy"] = float((same_group & same_orbits.all(axis=1)).mean())
    found["space_group_accuracy"] = float(same_group.mean())
    found["n_reconstructed"] = float(len(rows))
    return found
