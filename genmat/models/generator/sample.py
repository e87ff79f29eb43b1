"""Using G: from conditions to latents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from genmat.models.generator.conditions import ConditionTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from genmat.models.generator.model import LatentFlow

CHUNK = 1024
"""Draws that are integrated together."""
N_STEPS = 16
"""Steps of the integration from t = 1 to 0; fewer where it ends earlier."""


@torch.no_grad()
def sample_latents(
    flow: LatentFlow,
    conditions: ConditionTable,
    *,
    end: float,
    guidance: float = 1.0,
    streams: Sequence[np.random.Generator],
    n_steps: int = N_STEPS,
) -> NDArray[np.float32]:
    """Return z_t at t = ``end``, shape (n, latent size).

    The flow is integrated from noise with the midpoint rule. Guidance w mixes the velocities with and without the
    condition (Ho & Salimans 2022, arXiv:2207.12598),

        v = v(∅) + w (v(y) - v(∅))                                                                          (1)

    Parameters
    ----------
    flow
        G.
    conditions
        y of each draw.
    end
        Where the integration ends, 0 to 1; at 1 the latent is noise.
    guidance
        w; 1 is none, 0 ignores the condition.
    streams
        Random stream of each draw.
    n_steps
        Evaluations of the network from t = 1 to 0.
    """
    n, size = len(conditions), flow.config.latent_size
    noise = np.stack([stream.standard_normal(size, dtype=np.float32) for stream in streams]) if n else None
    found = np.zeros((n, size), dtype=np.float32)
    if noise is None or end >= 1.0:
        return found if noise is None else noise
    for begin in range(0, n, CHUNK):
        rows = slice(begin, begin + CHUNK)
        found[rows] = _integrate(flow, noise[rows], conditions[rows], end, guidance, n_steps)
    return found


def _integrate(
    flow: LatentFlow,
    noise: NDArray[np.float32],
    conditions: ConditionTable,
    end: float,
    guidance: float,
    n_steps: int,
) -> NDArray[np.float32]:
    device = flow.property_mean.device
    latent = torch.from_numpy(noise).to(device)
    given = flow.condition(
        torch.from_numpy(conditions.to_features()).to(device), torch.from_numpy(conditions.positions).to(device)
    )
    nothing = ConditionTable.empty(1, len(flow.config.properties))
    free = flow.condition(
        torch.from_numpy(nothing.to_features()).to(device), torch.from_numpy(nothing.positions).to(device)
    ).expand_as(given)

    def velocity(z: Tensor, t: float) -> Tensor:
        times = torch.full((len(z),), t, device=device)
        if guidance == 1.0:
            return torch.as_tensor(flow(z, times, given))
        without = flow(z, times, free)
        return torch.as_tensor(without + guidance * (flow(z, times, given) - without))

    count = max(1, round(n_steps * (1.0 - end) / 2))  # midpoint steps of two evaluations each
    edges = np.linspace(1.0, end, count + 1)
    for left, right in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        step = right - left
        middle = latent + 0.5 * step * velocity(latent, left)
        latent = latent + step * velocity(middle, left + 0.5 * step)
    return latent.cpu().numpy()
