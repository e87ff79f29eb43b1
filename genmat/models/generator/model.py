"""G: y → z, a conditional flow in latent space.

The flow moves noise to latents along straight paths z_t = (1 - t) z + t ε; its network is trained to give the velocity
(rectified flow: Liu et al. 2022, arXiv:2209.03003; Lipman et al. 2022, arXiv:2210.02747)

    v(z_t, t, y) ≈ E[ε - z | z_t, y]                                                                       (1)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from genmat.models.foundation.tokens import wyckoff_arrays
from genmat.models.generator.conditions import n_features
from genmat.models.layers import SquaredReLU, embed_time

if TYPE_CHECKING:
    from genmat.models.generator.config import GeneratorConfig

N_TIME = 64
"""Features of the time."""
N_TEMPLATE = 48
"""Channels of a template."""


class ModulatedBlock(nn.Module):
    """A residual perceptron whose normalised input is scaled and shifted by the condition (Peebles & Xie 2022)."""

    def __init__(self, width: int, condition_size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulate = nn.Linear(condition_size, 3 * width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), SquaredReLU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return the new channels, shape (B, width)."""
        shift, scale, gate = self.modulate(condition).chunk(3, dim=-1)
        change: Tensor = self.mlp(self.norm(x) * (1 + scale) + shift)
        return x + (1 + gate) * change


class LatentFlow(nn.Module):
    """The velocity of the flow.

    Parameters
    ----------
    config
        Sizes and conditions.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        n_properties, size = len(config.properties), config.condition_size
        self.features = nn.Linear(n_features(n_properties), size)
        self.template = nn.Sequential(
            nn.Linear(wyckoff_arrays().n_positions, N_TEMPLATE, bias=False), nn.Linear(N_TEMPLATE, size, bias=False)
        )
        self.mix = nn.Sequential(nn.Linear(size + N_TIME, 2 * size), nn.SiLU(), nn.Linear(2 * size, size), nn.SiLU())
        self.enter = nn.Linear(config.latent_size, config.width)
        self.blocks = nn.ModuleList(ModulatedBlock(config.width, size) for _ in range(config.n_blocks))
        self.norm = nn.LayerNorm(config.width)
        self.leave = nn.Linear(config.width, config.latent_size)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.property_mean: Tensor
        self.property_scale: Tensor
        self.property_range: Tensor
        self.register_buffer("property_mean", torch.zeros(n_properties))
        self.register_buffer("property_scale", torch.ones(n_properties))
        self.register_buffer("property_range", torch.zeros(n_properties, 2))

    def condition(self, features: Tensor, positions: Tensor) -> Tensor:
        """Return what the network knows of y, shape (B, condition size): the same for all times."""
        known: Tensor = self.features(features) + self.template(positions)
        return known

    def forward(self, latent: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """Return the velocity, shape (B, latent size).

        Parameters
        ----------
        latent
            z_t, shape (B, latent size).
        t
            Times, shape (B,).
        condition
            From :meth:`condition`, shape (B, condition size).
        """
        known = self.mix(torch.cat([condition, embed_time(t, N_TIME)], dim=-1))
        x = self.enter(latent)
        for block in self.blocks:
            x = block(x, known)
        velocity: Tensor = self.leave(self.norm(x))
        return velocity
