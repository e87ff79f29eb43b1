"""The network of a head: an ensemble of perceptrons that share their matrices.

Member m's hidden layer is ((x ∘ r_m) W ∘ s_m + b_m) with a matrix W of all and factors r_m, s_m of its own
(BatchEnsemble, Wen et al. 2020, arXiv:2002.06715; for tables TabM, Gorishniy et al. 2025, arXiv:2410.24210): it needs
the storage of little more than one perceptron, and predicts nearly as well as that many independent ones.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from genmat.models.property.config import HeadConfig

LOG_SCALE_RANGE = (-6.0, 3.0)
"""Bounds of the predicted ln(width), target standardised: from a perfect fit to no idea."""

_FACTOR_SPREAD = 0.5
_OUTPUT_GAIN = 0.1


class HeadEnsemble(nn.Module):
    """Location and ln(width) of a standardised target, by every member.

    Parameters
    ----------
    config
        Sizes.
    n_features
        Features of a crystal, d.
    """

    def __init__(self, config: HeadConfig, n_features: int) -> None:
        super().__init__()
        members, sizes = config.n_members, [n_features] + [config.width] * config.depth
        self.dropout = config.dropout
        shapes = list(pairwise(sizes))
        self.matrices = nn.ParameterList(torch.randn(i, o) / math.sqrt(i) for i, o in shapes)
        self.inner = nn.ParameterList(torch.ones(members, 1, i) for i, _ in shapes)
        self.outer = nn.ParameterList(torch.ones(members, 1, o) for _, o in shapes)
        self.biases = nn.ParameterList(torch.zeros(members, 1, o) for _, o in shapes)
        self.output = nn.Parameter(torch.randn(members, config.width, 2) * _OUTPUT_GAIN / math.sqrt(config.width))
        self.output_bias = nn.Parameter(torch.zeros(members, 1, 2))
        nn.init.normal_(self.inner[0], mean=1.0, std=_FACTOR_SPREAD)  # members start out different by their inputs

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return location and ln(width), both of shape (M, B).

        Parameters
        ----------
        x
            Standardised features, shape (B, d), or (M, B, d) where every member has its own.
        """
        for layer, (matrix, inner) in enumerate(zip(self.matrices, self.inner, strict=True)):
            y = functional.silu(((x * inner) @ matrix) * self.outer[layer] + self.biases[layer])  # (M, B, width)
            y = functional.dropout(y, self.dropout, training=self.training)
            x = y if layer == 0 else x + y
        location, log_scale = torch.baddbmm(self.output_bias, x, self.output).unbind(-1)  # (M, B, 2) -> 2 x (M, B)
        return location, log_scale.clamp(*LOG_SCALE_RANGE)
