"""Stage 2: train a head on features of the frozen encoder.

Members see the same rows in different orders. Each step minimises the negative logarithm of the likelihood of the
standardised target t, with location μ and width σ predicted (Nix & Weigend 1994, doi:10.1109/ICNN.1994.374138):

    Gaussian: ln σ + (t - μ)² / 2 σ²        Laplace: ln σ + |t - μ| / σ

The weights of the epoch with the lowest validation error of the ensemble are kept.
"""

from __future__ import annotations

import copy
import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from genmat.errors import InputError
from genmat.models.property.config import HeadConfig, HeadMetrics, Likelihood
from genmat.models.property.model import HeadEnsemble
from genmat.models.property.sample import LEVEL, NORMAL_QUANTILE, PropertyHead, ensemble_moments, standardise
from genmat.models.tensors import MAX_HALF

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    Features = NDArray[np.float32]
    Mask = NDArray[np.bool_]

logger = logging.getLogger(__name__)

GRADIENT_NORM = 5.0
"""Largest norm of a gradient."""

WARMUP = 0.1
"""Share of the steps in which the learning rate rises."""

_MIN_SCALE = 1e-6
_MIN_STORED = 1e-4
"""Smallest scale that float16 keeps with all its digits."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the training of a head stands.

    Parameters
    ----------
    epoch, n_epochs
        Passes done, and at most.
    loss
        Mean of the pass, nats.
    validation_mae
        Of the ensemble, in units of the standard deviation of the target on its scale.
    """

    epoch: int
    n_epochs: int
    loss: float
    validation_mae: float


def fit_head(
    features: Features,
    targets: FloatArray,
    *,
    is_training: Mask,
    is_validation: Mask,
    config: HeadConfig,
    seed: int,
    gene_features: Features | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> PropertyHead:
    """Return a head trained on some rows, stopped and calibrated by others.

    Parameters
    ----------
    features
        Of every row, shape (n, d), float32; NaN where unknown.
    targets
        The property in its unit, shape (n,); NaN where unknown, such rows are left out.
    is_training, is_validation
        Rows to learn from, and rows that stop the training and set the width of the intervals; shape (n,).
    config
        The property and the sizes.
    seed
        Of weights, order and dropout.
    gene_features
        Features of the same rows without their geometry, shape (n, d); a share of the steps' rows is shown as these.
    progress
        Called after every pass.

    Raises
    ------
    InputError
        If shapes disagree, a split is empty, a label does not suit the property's scale, or features are infinite.
    """
    training, validation = check_rows(features, targets, is_training, is_validation, config=config)
    definition = config.definition
    gain = np.where(np.arange(features.shape[1]) < config.n_latent, config.latent_gain, 1.0)
    mean, scale = feature_scales(features[training], gain)
    x = standardise(features[training], mean, scale, name=definition.name)
    genes = None if gene_features is None else standardise(gene_features[training], mean, scale, name=definition.name)
    x_validation = standardise(features[validation], mean, scale, name=definition.name)
    scaled = definition.to_scale(targets[training])
    target_mean, target_scale = float(scaled.mean()), max(float(scaled.std()), _MIN_SCALE)
    t = torch.from_numpy(((scaled - target_mean) / target_scale).astype(np.float32))
    t_validation = (definition.to_scale(targets[validation]) - target_mean) / target_scale

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = HeadEnsemble(config, features.shape[1])
        epochs = _optimise(network, (x, genes), t, x_validation, t_validation, config=config, progress=progress)
    location, deviation = ensemble_moments(network, x_validation, likelihood=config.likelihood)
    calibration = calibrate(np.abs(t_validation - location) / deviation)
    predicted = definition.from_scale(location * target_scale + target_mean)
    inside = np.abs(t_validation - location) <= NORMAL_QUANTILE * calibration * deviation
    metrics = HeadMetrics(
        n_train=len(training),
        n_validation=len(validation),
        validation_mae=float(np.abs(predicted - targets[validation]).mean()),
        validation_coverage=float(inside.mean()),
        epochs=epochs,
    )
    logger.info("%s: validation MAE %.4g %s", definition.name, metrics.validation_mae, definition.unit)
    return PropertyHead(
        config=config,
        network=network,
        feature_mean=mean,
        feature_scale=scale,
        target_mean=target_mean,
        target_scale=target_scale,
        calibration=calibration,
        metrics=metrics,
    )


def check_rows(
    features: Features, targets: FloatArray, is_training: Mask, is_validation: Mask, *, config: HeadConfig
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the training and the validation rows that have a label.

    Raises
    ------
    InputError
        If shapes disagree, every label is missing, or a split is empty.
    """
    name, n = config.definition.name, len(targets)
    if len(features) != n or len(is_training) != n or len(is_validation) != n:
        msg = (
            f"{len(features)} rows of features, {n} of {name}, {len(is_training)} and {len(is_validation)} of the split"
        )
        raise InputError(msg)
    labelled = np.isfinite(targets)
    if not labelled.any():
        msg = f"none of the {n} rows has a value of {name}: a head needs labels"
        raise InputError(msg)
    rows = tuple(np.flatnonzero(labelled & mask) for mask in (is_training, is_validation))
    for split, found in zip(("train", "val"), rows, strict=True):
        if not len(found):
            msg = f"the split {split!r} of {name} holds no labelled row, expected some: check the split column"
            raise InputError(msg)
    return rows[0], rows[1]


def feature_scales(features: Features, gain: FloatArray) -> tuple[Features, Features]:
    """Return mean and scale of every feature, shapes (d,), exact as float16, which is how they are stored.

    A feature that is the same in all rows, such as the share of an absent element, taught nothing: its scale is so
    large that it is not heard later either.

    Parameters
    ----------
    features
        Shape (n, d).
    gain
        Standard deviation that each feature gets, shape (d,).
    """
    mean, deviation = np.nanmean(features, axis=0), np.nanstd(features, axis=0)
    scale = np.where(deviation < _MIN_SCALE, MAX_HALF, np.clip(deviation / gain, _MIN_STORED, MAX_HALF))
    return mean.astype(np.float16).astype(np.float32), scale.astype(np.float16).astype(np.float32)


def calibrate(ratios: FloatArray) -> float:
    """Return c such that the share ``LEVEL`` of the errors lies within 1.645 c standard deviations.

    Parameters
    ----------
    ratios
        |error| over predicted standard deviation of rows that were not trained on, shape (n,). The quantile carries the
        correction for their finite number (Vovk et al. 2005, doi:10.1007/b106715).
    """
    rank = min(math.ceil((len(ratios) + 1) * LEVEL), len(ratios))
    return max(float(np.sort(ratios)[rank - 1]) / NORMAL_QUANTILE, _MIN_SCALE)


def _optimise(
    network: HeadEnsemble,
    inputs: tuple[torch.Tensor, torch.Tensor | None],
    t: torch.Tensor,
    x_validation: torch.Tensor,
    t_validation: FloatArray,
    *,
    config: HeadConfig,
    progress: Callable[[Progress], None] | None,
) -> int:
    """Train ``network`` in place; return the number of passes until its best state, which it is left in."""
    x, genes = inputs
    n = len(x)
    size = min(config.batch_size, n)
    n_batches = n // size
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.99), fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.epochs * n_batches + 1, pct_start=WARMUP
    )
    best, best_epoch, state = math.inf, 0, copy.deepcopy(network.state_dict())
    for epoch in range(1, config.epochs + 1):
        network.train()
        order = torch.stack([torch.randperm(n) for _ in range(config.n_members)])  # (M, n)
        total = 0.0
        for batch in torch.split(order[:, : n_batches * size], size, dim=1):
            shown = x[batch]  # (M, B, d)
            if genes is not None:
                bare = torch.rand(batch.shape) < config.gene_share
                shown[bare] = genes[batch[bare]]
            location, log_scale = network(shown)  # (M, B)
            loss = negative_log_likelihood(location, log_scale, t[batch], likelihood=config.likelihood)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM)
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        error = float(
            np.abs(ensemble_moments(network, x_validation, likelihood=config.likelihood)[0] - t_validation).mean()
        )
        if error < best:
            best, best_epoch, state = error, epoch, copy.deepcopy(network.state_dict())
        if progress is not None:
            progress(Progress(epoch, config.epochs, total / n_batches, error))
        if epoch - best_epoch >= config.patience:
            break
    network.load_state_dict(state)
    network.eval()
    return best_epoch


def negative_log_likelihood(
    location: torch.Tensor, log_scale: torch.Tensor, target: torch.Tensor, *, likelihood: Likelihood
) -> torch.Tensor:
    """Return the mean of the loss, constants left out; all of shape (M, B)."""
    residual = (target - location) * torch.exp(-log_scale)
    penalty = residual.abs() if likelihood is Likelihood.LAPLACE else 0.5 * residual.square()
    return (log_scale + penalty).mean()
