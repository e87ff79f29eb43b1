"""Stage 3: training of the flow on latents of known crystals, each with conditions that it fulfils.

L = ⟨|v(z_t, t, y) - (ε - z)|²⟩ over z, ε, t and random subsets y of what is known of z                 (1)
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from genmat.errors import InputError
from genmat.models.generator.conditions import random_conditions, to_scale
from genmat.models.generator.model import LatentFlow
from genmat.models.training import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from genmat.models.foundation.tokens import TokenTable
    from genmat.models.generator.config import GeneratorConfig, GeneratorTraining

QUANTILES = (0.005, 0.995)
"""Of the labels: the range that the model is said to have seen."""


@dataclass(frozen=True, slots=True, eq=False)
class GeneratorData:
    """Latents of known crystals with what they can be asked for.

    Parameters
    ----------
    tokens
        The crystals.
    latents
        z, shape (n, latent size).
    labels
        Properties in the units of the model's table, shape (n, P); NaN where not known.

    Raises
    ------
    InputError
        If there is no crystal.
    """

    tokens: TokenTable
    latents: NDArray[np.float32]
    labels: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check that there is something to train on."""
        if not len(self.latents):
            msg = "no crystal is left to train the generator on, expected some near the hull"
            raise InputError(msg)


def new_flow(config: GeneratorConfig, data: GeneratorData, *, seed: int) -> LatentFlow:
    """Return an untrained flow whose scales fit the labels."""
    torch.manual_seed(seed)
    flow = LatentFlow(config)
    for column in range(len(config.properties)):
        values = data.labels[~np.isnan(data.labels[:, column]), column]
        if len(values):
            low, high = np.quantile(values, QUANTILES)
            inside = to_scale(config.properties[column], np.clip(values, low, high))
            flow.property_mean[column], flow.property_scale[column] = (
                float(inside.mean()),
                max(float(inside.std()), 1e-3),
            )
            flow.property_range[column, 0], flow.property_range[column, 1] = float(low), float(high)
    return flow


def train_flow(  # noqa: PLR0913 - one for each part of a run
    data: GeneratorData,
    *,
    config: GeneratorConfig,
    training: GeneratorTraining,
    device: str = "cpu",
    save: Callable[[LatentFlow, LatentFlow, torch.optim.Optimizer, int], None] | None = None,
    resume: Callable[[LatentFlow, LatentFlow, torch.optim.Optimizer], int] | None = None,
    stop: Callable[[], bool] | None = None,
    report_every: int = 50,
    save_seconds: float = 120.0,
) -> Iterator[Progress]:
    """Train Stage 3; yield progress, the last time when it is done.

    Parameters
    ----------
    data
        Latents, crystals and labels.
    config, training
        What is trained, and how.
    device
        Where.
    save
        Called with the flow, its running mean, the optimiser and the steps done after each epoch, every
        ``save_seconds`` and when training is told to stop.
    resume
        Called once; restores what ``save`` wrote and returns the number of steps done.
    stop
        Asked after every step; training saves and ends early once it returns true.
    report_every
        Steps between two reports.
    save_seconds
        Longest time between two calls of ``save``, s.

    Raises
    ------
    InputError
        If the loss is not finite.
    """
    flow = new_flow(config, data, seed=training.seed).to(device)
    average = new_flow(config, data, seed=training.seed).to(device)
    optimiser = torch.optim.AdamW(
        flow.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
    )
    done = resume(flow, average, optimiser) if resume is not None else 0
    n_batches = max(1, len(data.latents) // training.batch_size)
    n_steps = n_batches * training.epochs
    start, step, total, count = time.monotonic(), done, 0.0, 0
    saved = start
    for epoch in range(done // n_batches, training.epochs):
        order = np.random.default_rng([training.seed, epoch]).permutation(len(data.latents))
        for index in range(n_batches):
            if epoch * n_batches + index < done:
                continue
            rows = order[index * training.batch_size : (index + 1) * training.batch_size]
            rate = training.learning_rate * min(1.0, (step + 1) / 200, 2 * (1 - step / n_steps))
            total += _step(flow, average, optimiser, data, rows, training, step=step, rate=rate)
            step, count = step + 1, count + 1
            ends = step == n_steps or (stop is not None and stop())
            if step % report_every == 0 or ends:
                yield Progress(step, n_steps, {"velocity": total / count}, time.monotonic() - start)
                total, count = 0.0, 0
            now = time.monotonic()
            if save is not None and (ends or index == n_batches - 1 or now - saved > save_seconds):
                save(flow, average, optimiser, step)
                saved = now
            if ends:
                return


def flow_loss(
    flow: LatentFlow,
    data: GeneratorData,
    rows: NDArray[np.intp],
    training: GeneratorTraining,
    *,
    rng: np.random.Generator,
) -> torch.Tensor:
    """Return the loss (1) of some crystals under random conditions, times and noise."""
    device = flow.property_mean.device
    columns = [to_scale(name, data.labels[rows, i]) for i, name in enumerate(flow.config.properties)]
    labels = (np.stack(columns, axis=1) - flow.property_mean.cpu().numpy()) / flow.property_scale.cpu().numpy()
    conditions = random_conditions(
        data.tokens[rows], labels, kept=training.kept, unconditional=training.unconditional, rng=rng
    )
    latent = torch.from_numpy(data.latents[rows]).to(device)
    noise = torch.from_numpy(rng.standard_normal(latent.shape, dtype=np.float32)).to(device)
    # Most of what there is to learn lies between the ends: t is logit-normal (Esser et al. 2024, arXiv:2403.03206).
    t = torch.sigmoid(torch.from_numpy(rng.standard_normal(len(rows), dtype=np.float32))).to(device)
    known = flow.condition(
        torch.from_numpy(conditions.to_features()).to(device), torch.from_numpy(conditions.positions).to(device)
    )
    velocity = flow((1 - t[:, None]) * latent + t[:, None] * noise, t, known)
    loss: torch.Tensor = ((velocity - (noise - latent)) ** 2).mean()
    return loss


def _step(
    flow: LatentFlow,
    average: LatentFlow,
    optimiser: torch.optim.Optimizer,
    data: GeneratorData,
    rows: NDArray[np.intp],
    training: GeneratorTraining,
    *,
    step: int,
    rate: float,
) -> float:
    """Take one step and return the loss."""
    loss = flow_loss(flow, data, rows, training, rng=np.random.default_rng([training.seed, 1, step]))
    found = float(loss.detach())
    if not math.isfinite(found):
        msg = f"the loss of step {step} is not finite: lower the learning rate, or check latents and labels"
        raise InputError(msg)
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(flow.parameters(), 1.0)
    optimiser.step()
    with torch.no_grad():
        decay = min(training.average, (1 + step) / (10 + step))
        for kept, new in zip(average.parameters(), flow.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)
    return found
