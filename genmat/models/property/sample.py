"""Prediction of one property with its uncertainty.

With locations μ_m and widths σ_m of the members, both standardised, the prediction is the mean of the locations and

    σ² = c² [ mean_m v(σ_m) + var_m μ_m ],    v(σ) = σ² (Gaussian), 2 σ² (Laplace)

The first term is the noise of the data, the second the ignorance of the model (Lakshminarayanan et al. 2017,
arXiv:1612.01474). c is chosen such that 90 % of the validation rows lie within 1.645 σ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from genmat.errors import InputError
from genmat.models.property.config import HeadConfig, HeadMetrics, Likelihood, PropertyDefinition

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genmat.models.property.model import HeadEnsemble

    FloatArray = NDArray[np.float64]
    Features = NDArray[np.float32]

CLIP = 6.0
"""Standardised features beyond are clipped: a crystal unlike all others must not fly off."""

LEVEL = 0.9
"""Level of the interval by which uncertainties are calibrated."""

NORMAL_QUANTILE = 1.6448536269514722
"""Half width of the central interval of that level, in standard deviations of a normal distribution."""

_CHUNK = 4096


class Prediction(NamedTuple):
    """Values and standard deviations in the property's unit, each of shape (n,), float64."""

    value: FloatArray
    standard_deviation: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class PropertyHead:
    """A trained head.

    Parameters
    ----------
    config
        Property, features and sizes.
    network
        The ensemble.
    feature_mean, feature_scale
        Standardisation of the features, shape (d,).
    target_mean, target_scale
        Standardisation of the target, on the property's scale.
    calibration
        c of the module's formula.
    metrics
        How well it does.
    """

    config: HeadConfig
    network: HeadEnsemble
    feature_mean: Features
    feature_scale: Features
    target_mean: float
    target_scale: float
    calibration: float
    metrics: HeadMetrics

    @property
    def definition(self) -> PropertyDefinition:
        """The property."""
        return self.config.definition

    def predict(self, features: Features) -> Prediction:
        """Return the property of crystals with its standard deviation.

        The standard deviation is half the width of the interval from -σ to +σ, which on a logarithmic scale is not
        symmetric; :meth:`interval` returns both ends.

        Parameters
        ----------
        features
            As trained on, shape (n, d).

        Raises
        ------
        InputError
            If the features have another width, or are infinite.
        """
        location, deviation = self._scaled(features)
        low, high = (self.definition.from_scale(location + sign * deviation) for sign in (-1.0, 1.0))
        return Prediction(self.definition.from_scale(location), 0.5 * (high - low))

    def interval(self, features: Features) -> tuple[FloatArray, FloatArray]:
        """Return both ends of the interval that holds the true value in 90 % of the cases, property's unit.

        Raises
        ------
        InputError
            If the features have another width, or are infinite.
        """
        location, deviation = self._scaled(features)
        half = NORMAL_QUANTILE * deviation
        return self.definition.from_scale(location - half), self.definition.from_scale(location + half)

    def _scaled(self, features: Features) -> tuple[FloatArray, FloatArray]:
        """Return location and standard deviation on the property's scale, each of shape (n,)."""
        standardised = standardise(features, self.feature_mean, self.feature_scale, name=self.definition.name)
        location, deviation = ensemble_moments(self.network, standardised, likelihood=self.config.likelihood)
        return (
            location * self.target_scale + self.target_mean,
            deviation * self.target_scale * self.calibration,
        )


def standardise(features: Features, mean: Features, scale: Features, *, name: str) -> torch.Tensor:
    """Return standardised features, shape (n, d), none beyond ``CLIP``; NaN, which is unknown, becomes the mean.

    Raises
    ------
    InputError
        If they have another width, or are infinite.
    """
    if features.ndim != 2 or features.shape[1] != len(mean):
        msg = f"features for {name} have shape {features.shape}, expected (n, {len(mean)}): another encoder made them"
        raise InputError(msg)
    if np.isinf(features).any():
        rows = np.flatnonzero(np.isinf(features).any(axis=1))
        msg = f"features for {name} are infinite in {len(rows)} of {len(features)} rows, the first is {rows[0]}"
        raise InputError(msg)
    standardised = np.nan_to_num(np.clip((features - mean) / scale, -CLIP, CLIP), nan=0.0)
    return torch.from_numpy(standardised.astype(np.float32))


@torch.inference_mode()
def ensemble_moments(
    network: HeadEnsemble, features: torch.Tensor, *, likelihood: Likelihood
) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of the standardised target before calibration, each of shape (n,).

    Parameters
    ----------
    network
        The ensemble; left in evaluation mode.
    features
        Standardised, shape (n, d).
    likelihood
        What the widths are widths of.
    """
    network.eval()
    parts = [network(chunk) for chunk in torch.split(features, _CHUNK)]
    locations = np.concatenate([part[0].double().numpy() for part in parts], axis=1)  # (M, n)
    widths = np.exp(np.concatenate([part[1].double().numpy() for part in parts], axis=1))  # (M, n)
    variance = (2.0 if likelihood is Likelihood.LAPLACE else 1.0) * widths**2
    return locations.mean(axis=0), np.sqrt(variance.mean(axis=0) + locations.var(axis=0))
