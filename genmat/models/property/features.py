"""What a head reads: latent vectors, alone or beside descriptors of x.

Descriptors of the composition are 56 statistics of the elements and the elements' shares. Those of the geometry are the
lattice's shape, packing, symmetry, and what surrounds the sites; NaN where a gene has no geometry.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from genmat.errors import InputError
from genmat.models.foundation.tokens import N_GROUPS, TokenTable
from genmat.models.property.config import FeatureSet
from genmat.representation import space_group
from genmat.representation.descriptors import composition_descriptors, element_descriptors, element_radii

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genmat.representation import Crystal

    Features = NDArray[np.float32]

N_ELEMENTS = 103
"""Elements with a share of their own: hydrogen to lawrencium."""

SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")


def head_features(latent: Features, crystals: TokenTable | Sequence[Crystal], *, features: FeatureSet) -> Features:
    """Return what a head reads, shape (n, d) for latents of d numbers alone, more with descriptors.

    Parameters
    ----------
    latent
        Output of the frozen encoder, shape (n, d).
    crystals
        The same crystals, or genes: tokens whose geometry is zero.
    features
        What the head was configured for.

    Raises
    ------
    InputError
        If the numbers of rows differ, or a latent is not finite.
    """
    if len(latent) != len(crystals):
        msg = f"{len(latent)} latent vectors for {len(crystals)} crystals, expected one each"
        raise InputError(msg)
    if not np.isfinite(latent).all():
        rows = np.flatnonzero(~np.isfinite(latent).all(axis=1))
        msg = f"latent vectors are not finite in {len(rows)} of {len(latent)} rows, the first is {rows[0]}"
        raise InputError(msg)
    parts = [np.asarray(latent, dtype=np.float32)]
    if features is not FeatureSet.LATENT:
        tokens = crystals if isinstance(crystals, TokenTable) else TokenTable.from_crystals(crystals)
        parts.append(composition_features(tokens))
        if features is FeatureSet.LATENT_DESCRIPTORS:
            parts.append(geometry_features(tokens))
    return np.concatenate(parts, axis=1)


def composition_features(tokens: TokenTable) -> Features:
    """Return statistics of elemental descriptors and the square roots of the elements' shares, shape (n, 159).

    The statistics let rare elements borrow from common ones, the shares let common ones differ from their neighbours in
    the periodic table; the square root keeps a dopant visible.
    """
    numbers, amounts = tokens.elements.astype(np.int64), tokens.amounts.astype(np.float64)
    shares = np.zeros((len(numbers), N_ELEMENTS + 2))
    columns = np.minimum(numbers, N_ELEMENTS + 1)  # 0 and the last are thrown away
    np.add.at(shares, (np.arange(len(numbers))[:, None], columns), amounts)
    shares = shares[:, 1:-1] / np.maximum(amounts.sum(axis=1, keepdims=True), 1.0)
    return np.concatenate([composition_descriptors(numbers, amounts), np.sqrt(shares)], axis=1).astype(np.float32)


def geometry_features(tokens: TokenTable) -> Features:
    """Return descriptors of symmetry, lattice and site environments, shape (n, 199).

    The environments of the orbits enter by mean, standard deviation, minimum and maximum over the atoms, and by their
    mean products with the descriptors of the elements, which say what sits in which surroundings.
    """
    numbers, amounts = tokens.numbers.astype(np.int64), tokens.amounts.astype(np.float64)
    n_atoms = np.maximum(amounts.sum(axis=1, keepdims=True), 1.0)
    present = (amounts > 0)[..., None]  # (n, orbits, 1)
    weights = (amounts / n_atoms)[..., None]
    spheres = (weights[..., 0] * element_radii()[tokens.elements] ** 3).sum(axis=1) * 4.0 / 3.0 * np.pi
    symmetry = np.concatenate([_symmetry()[numbers], np.log(n_atoms), present.sum(axis=1)], axis=1)

    shapes = tokens.shapes.astype(np.float64)
    packing = np.log(np.maximum(spheres, 1e-6))[:, None] - shapes[:, :1]
    environments = tokens.environments.astype(np.float64)  # (n, orbits, 10)
    mean = (weights * environments).sum(axis=1)
    deviation = np.sqrt((weights * (environments - mean[:, None]) ** 2).sum(axis=1))
    low = np.where(present, environments, np.inf).min(axis=1)
    high = np.where(present, environments, -np.inf).max(axis=1)
    elements = weights * element_descriptors()[tokens.elements]
    products = np.einsum("nok,noe->nke", elements, environments).reshape(len(numbers), -1)
    geometry = np.concatenate([shapes, packing, mean, deviation, low, high, products], axis=1)
    geometry[tokens.shapes[:, 0] == 0.0] = np.nan  # 1 Å³ an atom: a gene
    return np.concatenate([symmetry, geometry], axis=1).astype(np.float32)


@cache
def _symmetry() -> NDArray[np.float64]:
    """Return crystal system (one of seven), ln(order of the point group) and group number / 100, shape (231, 9)."""
    table = np.zeros((N_GROUPS, len(SYSTEMS) + 2))
    for number in range(1, N_GROUPS):
        group = space_group(number)
        order = max(position.multiplicity for position in group.positions.values()) // group.n_centring
        table[number, SYSTEMS.index(group.crystal_system)] = 1.0
        table[number, len(SYSTEMS) :] = np.log(order), number / 100.0
    return table
