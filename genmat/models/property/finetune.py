"""Stage 2 from a table to a head: features, training, and the error on rows that nothing was chosen by."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from genmat.models.property.features import head_features
from genmat.models.property.train import fit_head

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from genmat.models.foundation.tokens import TokenTable
    from genmat.models.property.config import HeadConfig
    from genmat.models.property.io import PropertyTable
    from genmat.models.property.sample import PropertyHead
    from genmat.models.property.train import Progress

    Features = NDArray[np.float32]


def finetune(
    table: PropertyTable,
    tokens: TokenTable,
    latent: Features,
    *,
    gene_latent: Features | None = None,
    configs: Sequence[HeadConfig],
    seed: int,
    progress: Callable[[Progress], None] | None = None,
) -> PropertyHead:
    """Return the head with the lowest validation error of one or several configurations, measured on the test rows.

    Parameters
    ----------
    table
        Crystals with values and splits.
    tokens
        The crystals as the encoder reads them.
    latent
        Their latent vectors from the frozen encoder, shape (n, d).
    gene_latent
        Those of their genes, geometry unseen; ``None`` for a head of crystals only.
    configs
        Configurations of heads for the property, such as one for each set of features.
    seed
        Of weights, order and dropout.
    progress
        Called after every pass.

    Raises
    ------
    InputError
        If a split is empty, or values or features are not what the property needs.
    """
    genes = without_geometry(tokens)
    best: tuple[PropertyHead, Features] | None = None
    for config in configs:
        features = head_features(latent, tokens, features=config.features)
        gene_features = None if gene_latent is None else head_features(gene_latent, genes, features=config.features)
        head = fit_head(
            features,
            table.values,
            is_training=table.rows("train"),
            is_validation=table.rows("val"),
            config=replace(config, n_latent=latent.shape[1]),
            seed=seed,
            gene_features=gene_features,
            progress=progress,
        )
        if best is None or head.metrics.validation_mae < best[0].metrics.validation_mae:
            best = head, features
    if best is None:
        msg = f"no configuration of a head for {table.name}, expected one at least"
        raise ValueError(msg)
    head, features = best
    test = table.rows("test")
    if not test.any():
        return head
    return replace(head, metrics=replace(head.metrics, test=held_out_errors(head, features[test], table.values[test])))


def without_geometry(tokens: TokenTable) -> TokenTable:
    """Return crystals as genes: space group and orbits alone."""
    geometry = ("free", "shapes", "environments")
    return replace(tokens, **{name: np.zeros_like(getattr(tokens, name)) for name in geometry})


def held_out_errors(head: PropertyHead, features: Features, values: NDArray[np.float64]) -> dict[str, float]:
    """Return number of rows, mean absolute error (property's unit) and share inside the 90 % interval."""
    low, high = head.interval(features)
    return {
        "n": float(len(values)),
        "mae": float(np.abs(head.predict(features).value - values).mean()),
        "coverage": float(((low <= values) & (values <= high)).mean()),
    }
