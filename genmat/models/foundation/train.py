"""Stage 1: pretraining of E_z, E_z⁻¹ and P_i together, resumable from its last checkpoint.

    L = ⟨L_gene + w_g (L_lattice + L_coordinates)⟩ + w_p L_property + w_c L_contrastive                     (1)

L_gene, L_lattice and L_coordinates are negative log-likelihoods in nats a crystal; L_property is a Gaussian negative
log-likelihood over the labels that there are; L_contrastive asks that crystals with similar properties are near in z.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import distributed
from torch.nn import functional

from genmat.errors import InputError
from genmat.models.foundation.batch import Batch
from genmat.models.foundation.config import INTRINSIC, FoundationConfig, PretrainConfig
from genmat.models.foundation.model import FoundationModel
from genmat.models.muon import Muon
from genmat.models.training import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from genmat.models.foundation.tokens import TokenTable

GRADIENT_NORM = 1.0
"""Largest norm of a gradient."""
CONTRAST_WIDTH = 0.3
"""Standardised properties that differ by this much are no longer alike."""
CONTRAST_TEMPERATURE = 0.1
"""Of the similarities of latents (cosines)."""
CLIP = 4.0
"""Standardised labels beyond are clipped: a few elemental gases are eV away from everything."""


@dataclass(frozen=True, slots=True, eq=False)
class PretrainData:
    """Crystals to pretrain on.

    Parameters
    ----------
    tokens
        All crystals.
    labels
        ``INTRINSIC`` of each, shape (n, 3), float32; NaN where not known.
    is_training, is_validation
        Shape (n,), bool.

    Raises
    ------
    InputError
        If a split is empty or every label of a property is missing.
    """

    tokens: TokenTable
    labels: NDArray[np.float32]
    is_training: NDArray[np.bool_]
    is_validation: NDArray[np.bool_]

    def __post_init__(self) -> None:
        """Check that there is something to train on."""
        for name, rows in (("train", self.is_training), ("val", self.is_validation)):
            if not rows.any():
                msg = f"the split {name!r} holds no crystal, expected some: check the column 'split'"
                raise InputError(msg)
        for column, name in enumerate(INTRINSIC):
            if np.isnan(self.labels[self.is_training, column]).all():
                msg = f"no training crystal has a label {name!r}: P_i cannot be trained on it"
                raise InputError(msg)


def new_model(config: FoundationConfig, data: PretrainData, *, seed: int) -> FoundationModel:
    """Return an untrained model whose scales fit the training crystals."""
    torch.manual_seed(seed)
    model = FoundationModel(config)
    rows = np.flatnonzero(data.is_training)
    tokens = data.tokens[rows]
    model.element_volumes.copy_(torch.from_numpy(_element_volumes(tokens)))
    batch = Batch.from_table(tokens)
    shapes = model.standardise(batch)
    free = model.vocabulary.tables.free_shape[batch.numbers]
    for column in range(shapes.shape[1]):
        values = shapes[free[:, column], column]
        if len(values) > 1:
            model.shape_mean[column], model.shape_scale[column] = values.mean(), values.std().clamp_min(1e-2)
    model.property_mean.copy_(torch.from_numpy(np.nanmean(data.labels[rows], axis=0)))
    spread = np.nanstd(np.clip(data.labels[rows], *np.nanquantile(data.labels[rows], [0.01, 0.99], axis=0)), axis=0)
    model.property_scale.copy_(torch.from_numpy(np.maximum(spread, 1e-3)))
    return model


def _element_volumes(tokens: TokenTable) -> NDArray[np.float32]:
    """Return the volumes v (Å³) that minimise Σ (Σ_i x_i v_i - V/n)² + λ Σ (v - v̄)², shape (119,)."""
    n_elements = 119
    amounts = tokens.amounts.astype(float)
    gram, moment = np.zeros((n_elements, n_elements)), np.zeros(n_elements)
    volumes = np.exp(tokens.shapes[:, 0].astype(float))
    fractions = np.zeros((len(tokens), n_elements))
    weights = amounts / amounts.sum(axis=1, keepdims=True)
    np.add.at(fractions, (np.arange(len(tokens))[:, None], tokens.elements.astype(int)), weights)
    centre = float(np.median(volumes))
    gram = fractions.T @ fractions + np.eye(n_elements)
    moment = fractions.T @ (volumes - centre)
    return np.clip(np.linalg.solve(gram, moment) + centre, 2.0, None).astype(np.float32)


def step_losses(
    model: FoundationModel, batch: Batch, labels: Tensor, *, t: Tensor, noise: Tensor, decoded: Tensor
) -> dict[str, Tensor]:
    """Return the losses of a batch.

    Parameters
    ----------
    model
        Stage 1.
    batch
        Tokens.
    labels
        Standardised labels, NaN where not known, shape (B, 3).
    t, noise
        Time (B,) and noise (B, latent size) of the latents that are decoded.
    decoded
        1 for crystals whose reconstruction counts, else 0, shape (B,).
    """
    shapes = model.standardise(batch)
    latent = model.encoder(batch, shapes)
    noisy = (1 - t[:, None]) * latent + t[:, None] * noise
    losses = model.decoder.losses(batch, shapes, noisy, t)
    found = {name: (value * decoded).sum() / decoded.sum() for name, value in losses.items()}
    clean = (t == 0).float()
    found["gene_clean"] = (losses["gene"].detach() * clean).sum() / clean.sum().clamp_min(1)
    mean, log_sigma = model.property_head(latent).chunk(2, dim=-1)
    log_sigma = log_sigma.clamp(-5.0, 3.0)
    known = ~torch.isnan(labels)
    error = torch.where(known, mean - torch.nan_to_num(labels), torch.zeros_like(mean))
    likelihood = 0.5 * (error * torch.exp(-log_sigma)) ** 2 + log_sigma
    found["property"] = (likelihood * known).sum() / known.sum().clamp_min(1)
    found["contrastive"] = contrastive_loss(latent, labels)
    return found


def contrastive_loss(latent: Tensor, labels: Tensor) -> Tensor:
    """Return the cross entropy between likeness of properties and likeness of latents.

    For crystals i, j of a batch, p_ij ∝ exp(-|y_i - y_j|² / 2 s²) over labels known of both, and
    q_ij ∝ exp(cos(z_i, z_j) / T); the loss is -Σ_j p_ij ln q_ij: the soft form of the contrastive loss of van den Oord
    et al. 2018, arXiv:1807.03748.
    """
    known = ~torch.isnan(labels)
    both = (known[:, None] & known[None]).float()
    difference = torch.nan_to_num(labels)[:, None] - torch.nan_to_num(labels)[None]
    distance = (difference**2 * both).sum(dim=-1) / both.sum(dim=-1).clamp_min(1.0)
    itself = torch.eye(len(latent), dtype=torch.bool, device=latent.device)
    excluded = itself | (both.sum(dim=-1) == 0)
    alike = torch.softmax((-distance / (2 * CONTRAST_WIDTH**2)).masked_fill(excluded, -1e9), dim=-1)
    unit = functional.normalize(latent, dim=-1)
    log_q = torch.log_softmax((unit @ unit.T / CONTRAST_TEMPERATURE).masked_fill(itself, -1e9), dim=-1)
    return -(alike * log_q.masked_fill(itself, 0.0)).sum(dim=-1).mean()


def learning_rate(step: int, n_steps: int, config: PretrainConfig) -> float:
    """Return the factor of the learning rate at a step: up, level, and down to zero linearly."""
    done = step / max(1, n_steps)
    if done < config.warmup:
        return (step + 1) / (config.warmup * n_steps + 1)
    return min(1.0, max(0.0, (1 - done) / (1 - config.decay_from)))


def epoch_batches(
    data: PretrainData, config: PretrainConfig, *, epoch: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.bool_]]]:
    """Yield the rows of each batch and which of them lie near the hull; crystals of like length share a batch."""
    rng = np.random.default_rng([config.seed, epoch])
    rows = np.flatnonzero(data.is_training)
    near = ~(data.labels[rows, INTRINSIC.index("energy_above_hull")] > config.max_energy_above_hull)
    chosen = near | (rng.random(len(rows)) < config.off_hull_share)
    rows, near = rows[chosen], near[chosen]
    length = data.tokens.n_orbits[rows]
    order = np.argsort(length + rng.random(len(rows)) * 1.5, kind="stable")
    batches = [
        order[i : i + config.batch_size] for i in range(0, len(order) - config.batch_size // 2, config.batch_size)
    ]
    for index in rng.permutation(len(batches)):
        yield rows[batches[index]], near[batches[index]]


class Optimisers:
    """Muon for the matrices of the blocks, AdamW for everything else, on one schedule.

    Parameters
    ----------
    model
        What is trained.
    training
        Learning rates and weight decay.

    Attributes
    ----------
    is_stepping
        True from the begin to the end of a step: weights of a step that broke off are half old, half new.
    """

    def __init__(self, model: FoundationModel, training: PretrainConfig) -> None:
        self.training = training
        matrices: list[torch.nn.Parameter] = []
        others: list[torch.nn.Parameter] = []
        for name, parameter in model.named_parameters():
            (matrices if ".blocks." in name and parameter.ndim == 2 else others).append(parameter)
        self.is_stepping = False
        self.parts: tuple[torch.optim.Optimizer, ...] = (
            Muon(matrices, lr=training.matrix_learning_rate, weight_decay=training.weight_decay),
            torch.optim.AdamW(others, lr=training.learning_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
        )

    def step(self, factor: float) -> None:
        """Take a step at ``factor`` times the learning rates, and forget the gradients."""
        self.is_stepping = True
        rates = (self.training.matrix_learning_rate, self.training.learning_rate)
        for part, rate in zip(self.parts, rates, strict=True):
            for group in part.param_groups:
                group["lr"] = rate * factor
            part.step()
            part.zero_grad(set_to_none=True)
        self.is_stepping = False


def average_gradients(model: torch.nn.Module) -> None:
    """Replace every gradient by its mean over the processes of the group."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for gradient, part in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def pretrain(  # noqa: PLR0913 - one for each part of a run
    data: PretrainData,
    *,
    config: FoundationConfig,
    training: PretrainConfig,
    device: str = "cpu",
    start: FoundationModel | None = None,
    save: Callable[[FoundationModel, Optimisers, int], None] | None = None,
    resume: Callable[[FoundationModel, Optimisers], int] | None = None,
    stop: Callable[[], bool] | None = None,
    report_every: int = 20,
    save_seconds: float = 120.0,
) -> Iterator[Progress]:
    """Train Stage 1; yield progress, the last time when it is done.

    Parameters
    ----------
    data
        Crystals with their labels.
    config, training
        What is trained, and how.
    device
        Where; on CUDA the networks run in bfloat16.
    start
        Model whose weights and scales training begins from; ``None`` begins from random ones.
    save
        Called with model, optimiser and number of steps at the end of each epoch, every ``save_seconds``, and at once
        if training breaks off between two steps.
    resume
        Called once; restores what ``save`` wrote and returns the number of steps done, 0 if there is nothing.
    stop
        Asked after every step; training saves and ends early once it returns true.
    report_every
        Steps between two reports.
    save_seconds
        Longest time between two calls of ``save``, s.

    Raises
    ------
    InputError
        If there are fewer crystals than half a batch, or the loss is not finite.
    """
    model = _first_model(config, data, seed=training.seed, start=start).to(device)
    optimiser = Optimisers(model, training)
    done = resume(model, optimiser) if resume is not None else 0
    # Batches of an epoch differ in number by chance; the schedule needs one number for all.
    n_batches = min(sum(1 for _ in epoch_batches(data, training, epoch=epoch)) for epoch in range(training.epochs))
    if not n_batches:
        msg = f"{int(data.is_training.sum())} training crystals do not fill a batch of {training.batch_size}: lower it"
        raise InputError(msg)
    n_steps = n_batches * training.epochs
    begin, step = time.monotonic(), done
    saved = begin
    rank, world = (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)
    sums: dict[str, float] = {}
    count = 0
    try:
        for epoch in range(done // n_batches, training.epochs):
            for index, (rows, near) in enumerate(epoch_batches(data, training, epoch=epoch)):
                if index >= n_batches:
                    break
                if epoch * n_batches + index < done:
                    continue
                mine = slice(rank, None, world)
                losses = _step(model, optimiser, data, rows[mine], near[mine], training, step=step, n_steps=n_steps)
                step, count = step + 1, count + 1
                for name, value in losses.items():
                    sums[name] = sums.get(name, 0.0) + value
                ends = step == n_steps or (stop is not None and stop())
                if step % report_every == 0 or ends:
                    means = {name: value / count for name, value in sums.items()}
                    yield Progress(step, n_steps, means, time.monotonic() - begin)
                    sums, count = {}, 0
                now = time.monotonic()
                if save is not None and (ends or index == n_batches - 1 or now - saved > save_seconds):
                    save(model, optimiser, step)
                    saved = now
                if ends:
                    return
    except BaseException:
        if save is not None and step > done and not optimiser.is_stepping:
            save(model, optimiser, step)
        raise


def _first_model(
    config: FoundationConfig, data: PretrainData, *, seed: int, start: FoundationModel | None
) -> FoundationModel:
    model = new_model(config, data, seed=seed)
    if start is not None:
        model.load_state_dict(start.state_dict())
    return model


def _step(
    model: FoundationModel,
    optimiser: Optimisers,
    data: PretrainData,
    rows: NDArray[np.intp],
    near: NDArray[np.bool_],
    training: PretrainConfig,
    *,
    step: int,
    n_steps: int,
) -> dict[str, float]:
    """Take one step and return its losses."""
    device = model.shape_mean.device
    rank = distributed.get_rank() if distributed.is_initialized() else 0
    rng = np.random.default_rng([training.seed, 1, step, rank])
    has_geometry = rng.random(len(rows)) >= training.geometry_masked
    batch = Batch.from_table(data.tokens[rows], device=device, has_geometry=has_geometry)
    labels = (torch.from_numpy(data.labels[rows]).to(device) - model.property_mean) / model.property_scale
    is_noisy = rng.random(len(rows)) < training.noise_share
    times = np.where(is_noisy & near, rng.random(len(rows)), 0.0).astype(np.float32)
    noise = rng.standard_normal((len(rows), model.config.latent_size), dtype=np.float32)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        losses = step_losses(
            model,
            batch,
            labels.clamp(-CLIP, CLIP),
            t=torch.from_numpy(times).to(device),
            noise=torch.from_numpy(noise).to(device),
            decoded=torch.ones(len(rows), device=device),
        )
    total = (
        losses["gene"]
        + training.geometry_weight * (losses["lattice"] + losses["coordinates"])
        + training.property_weight * losses["property"]
        + training.contrastive_weight * losses["contrastive"]
    )
    found = {name: float(value.detach()) for name, value in losses.items()}
    if not math.isfinite(float(total.detach())):
        msg = f"the loss of step {step} is not finite ({found}): lower the learning rate, or check the labels"
        raise InputError(msg)
    total.backward()
    if distributed.is_initialized():
        average_gradients(model)
    torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
    optimiser.step(learning_rate(step, n_steps, training))
    return found
