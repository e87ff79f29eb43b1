"""Muon: momentum whose matrices are orthogonalised (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).

PyTorch has the same optimiser, but orthogonalises in bfloat16, which is five times slower than float32 on a CPU without
matrix instructions for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""a, b, c of the quintic iteration X ← a X + (b A + c A²) X, A = X Xᵀ."""
ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Update matrices by their orthogonalised Nesterov momentum.

    Parameters
    ----------
    params
        Matrices, shape (rows, columns).
    lr
        Learning rate; an update has singular values near lr · √max(1, rows / columns).
    momentum
        Of the gradients.
    weight_decay
        Decoupled, per unit of learning rate.
    """

    def __init__(
        self, params: Iterable[Tensor], *, lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(list(params), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Take one step."""
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                direction = parameter.grad.lerp(state["momentum"], group["momentum"])
                rows, columns = parameter.shape
                scale = max(1.0, rows / columns) ** 0.5
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(orthogonalised(direction), alpha=-group["lr"] * scale)
        return loss


def orthogonalised(matrix: Tensor) -> Tensor:
    """Return a matrix with the singular vectors of ``matrix`` and singular values near 1, by Newton-Schulz steps."""
    a, b, c = COEFFICIENTS
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x
