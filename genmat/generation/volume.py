"""How large a decorated template will be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genmat.generation.mixing import Amounts, PairModel, fit_pair_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SMALLEST = 3.0
"""Å³/atom below which no prediction goes (diamond has 5.7)."""

PENALTY = 0.03
"""λ of the fit, in units of the mean squared volume."""

TEMPLATE_SHARE = 0.75
"""Share of the template in the geometric mean of equation (1)."""


@dataclass(frozen=True, slots=True)
class VolumeModel:
    """Volume per atom as function of the composition.

    Parameters
    ----------
    model
        Coefficients in Å³/atom.
    """

    model: PairModel

    def volume_per_atom(self, amounts: Amounts) -> float:
        """Return the volume of a composition, Å³/atom."""
        return max(self.model.value(amounts), SMALLEST)

    def element_volume(self, z: int) -> float:
        """Return the volume of one atom of an element, pairs left aside, Å³."""
        return max(float(self.model.linear[z]), SMALLEST)

    def decorated(self, volume: float, old: Amounts, new: Amounts) -> float:
        """Return the volume of a template after other elements moved in.

        Parameters
        ----------
        volume
            Of the template, Å³/atom.
        old, new
            Amounts of the elements before and after.

        Returns
        -------
        float
            Å³/atom,

                v = (v_t f(new) / f(old))^w f(new)^(1 − w)                                   (1)

            with the model f, the template's volume v_t and w = 0.75: what the template's structure adds to the volume
            of its composition carries over in part.
        """
        predicted = self.volume_per_atom(new)
        from_template = volume * predicted / self.volume_per_atom(old)
        return float(from_template**TEMPLATE_SHARE * predicted ** (1.0 - TEMPLATE_SHARE))


def fit_volume_model(compositions: Sequence[Amounts], volumes: NDArray[np.float64]) -> VolumeModel:
    """Return the model that minimises the squared relative error.

    Parameters
    ----------
    compositions
        Amounts of the elements of each crystal, length n.
    volumes
        Å³/atom, shape (n,).
    """
    scale = float(np.mean(volumes**2))
    return VolumeModel(fit_pair_model(compositions, volumes, penalty=PENALTY / scale, weights=1.0 / volumes**2))
