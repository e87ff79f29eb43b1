"""What G learns from: latents of crystals near the hull, labelled with ζ and with what the heads predict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genmat.models.foundation.config import INTRINSIC
from genmat.models.foundation.sample import encode
from genmat.models.generator.train import GeneratorData
from genmat.models.property.features import head_features
from genmat.representation.descriptors import GRAMS_PER_CUBIC_CENTIMETRE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from genmat.models.foundation.model import FoundationModel
    from genmat.models.foundation.train import PretrainData
    from genmat.models.property.sample import PropertyHead

MEASURED = ("energy_above_hull", "formation_energy_per_atom", "volume_per_atom", "density", "n_atoms")
"""Properties of a crystal itself that G is always conditioned on, in this order; those of the heads follow.

eV/atom, eV/atom, Å³/atom, g/cm³, atoms in the primitive cell."""


def generator_data(
    data: PretrainData,
    model: FoundationModel,
    heads: Mapping[str, PropertyHead],
    *,
    max_energy_above_hull: float = 0.1,
) -> GeneratorData:
    """Return the training crystals of Stage 1 that G learns to propose.

    Labels of the heads' properties are their predictions: few crystals have a measured one, and Stage 2 exists to give
    it to all. P1 crystals are left out: they are proposed only when asked for, and then by the masks alone.

    Parameters
    ----------
    data
        Crystals of Stage 1 with their labels.
    model
        Its encoder makes the latents.
    heads
        By the name of their property.
    max_energy_above_hull
        eV/atom; crystals beyond are not proposed.
    """
    above = data.labels[:, INTRINSIC.index("energy_above_hull")]
    rows = np.flatnonzero(data.is_training & (above <= max_energy_above_hull) & (data.tokens.numbers > 1))
    tokens = data.tokens[rows]
    latents = encode(model, tokens)
    log_volume = tokens.shapes[:, 0].astype(float)
    amounts = tokens.amounts
    n_atoms = amounts.sum(axis=1)
    masses = _masses()[tokens.elements.astype(int)]
    mass = (amounts * masses).sum(axis=1) / n_atoms
    columns = [
        above[rows],
        data.labels[rows, INTRINSIC.index("formation_energy_per_atom")],
        np.exp(log_volume),
        mass * GRAMS_PER_CUBIC_CENTIMETRE / np.exp(log_volume),
        n_atoms,
    ]
    columns += [
        head.predict(head_features(latents, tokens, features=head.config.features)).value for head in heads.values()
    ]
    return GeneratorData(tokens, latents, np.stack(columns, axis=1).astype(np.float32))


def _masses() -> NDArray[np.float64]:
    from pymatgen.core.periodic_table import Element

    return np.asarray([0.0, *(float(Element.from_Z(z).atomic_mass) for z in range(1, 119))])
