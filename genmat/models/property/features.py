"""What a head reads: latent vectors, alone or beside descriptors of the composition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core.periodic_table import Element

from genmat.errors import InputError
from genmat.models.property.config import FeatureSet
from genmat.representation.descriptors import composition_descriptors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genmat.representation import Crystal

    Features = NDArray[np.float32]

N_ELEMENTS = 103
"""Elements with a share of their own: hydrogen to lawrencium."""


def composition_features(crystals: Sequence[Crystal]) -> Features:
    """Return statistics of elemental descriptors and the square roots of the elements' shares, shape (n, 159).

    The statistics let rare elements borrow from common ones, the shares let common ones differ from their neighbours in
    the periodic table; the square root keeps a dopant visible.
    """
    shares = np.zeros((len(crystals), N_ELEMENTS))
    counts = [crystal.element_counts for crystal in crystals]
    longest = max(map(len, counts), default=1)
    numbers = np.zeros((len(crystals), longest), dtype=np.int64)
    amounts = np.zeros((len(crystals), longest))
    for row, count in enumerate(counts):
        for column, (symbol, amount) in enumerate(count.items()):
            numbers[row, column], amounts[row, column] = Element(symbol).Z, amount
    for column in range(longest):
        known = (numbers[:, column] > 0) & (numbers[:, column] <= N_ELEMENTS)
        shares[np.flatnonzero(known), numbers[known, column] - 1] = amounts[known, column]
    shares /= np.maximum(amounts.sum(axis=1, keepdims=True), 1.0)
    return np.concatenate([composition_descriptors(numbers, amounts), np.sqrt(shares)], axis=1).astype(np.float32)


def head_features(latent: Features, crystals: Sequence[Crystal], *, features: FeatureSet) -> Features:
    """Return what a head reads, shape (n, d) or (n, d + 159).

    Parameters
    ----------
    latent
        Output of the frozen encoder, shape (n, d).
    crystals
        The same crystals, n.
    features
        Which of the two.

    Raises
    ------
    InputError
        If the numbers of rows differ.
    """
    if len(latent) != len(crystals):
        msg = f"{len(latent)} latent vectors for {len(crystals)} crystals, expected one each"
        raise InputError(msg)
    if features is FeatureSet.LATENT:
        return np.asarray(latent, dtype=np.float32)
    return np.concatenate([np.asarray(latent, dtype=np.float32), composition_features(crystals)], axis=1)
