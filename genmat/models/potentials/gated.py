"""Gated perceptrons of CHGNet with a hand-written gradient.

φ(x) = SiLU(LN(core(x))) ⊙ σ(LN(gate(x))) (Deng et al. 2023, doi:10.1038/s42256-023-00716-3, eq. 4). Autograd would keep
ten tensors an edge and visit memory for each; here the backward pass reuses its buffers, which is most of what an
evaluation on a CPU costs.
"""

from __future__ import annotations

from typing import Any

import torch

Tensor = torch.Tensor
LAYER_NORM_EPSILON = 1e-5


class GatedLayer:
    """A gated perceptron whose first layer is split by input block; core and gate are stacked.

    Parameters
    ----------
    gated
        The published module.
    blocks
        Widths of the concatenated inputs, in their order.
    """

    def __init__(self, gated: Any, blocks: tuple[int, ...]) -> None:
        core = [layer for layer in gated.mlp_core.layers if hasattr(layer, "weight")]
        gate = [layer for layer in gated.mlp_gate.layers if hasattr(layer, "weight")]
        weight = torch.cat([core[0].weight, gate[0].weight]).detach()  # (2 H, sum(blocks))
        self.weights = [block.T.contiguous() for block in torch.split(weight, list(blocks), dim=1)]  # each (width, 2 H)
        self.bias = torch.cat([core[0].bias, gate[0].bias]).detach()  # (2 H,)
        self.parameters = _Parameters(core, gate, gated.bn1, gated.bn2)

    def __call__(self, hidden: Tensor) -> Tensor:
        """Return the gated output, shape (n, D), of the summed first layer ``hidden``, shape (n, 2 H)."""
        return _GatedFunction.apply(hidden, self.parameters)  # type: ignore[no-any-return]


class _Parameters:
    """Second layers and norms of core and gate, in this order; no second layers where the perceptron has one layer."""

    def __init__(self, core: list[Any], gate: list[Any], core_norm: Any, gate_norm: Any) -> None:
        self.is_deep = len(core) > 1
        self.weights = [layers[-1].weight.detach() for layers in (core, gate)]  # (D, H)
        self.biases = [layers[-1].bias.detach() for layers in (core, gate)]
        self.norms = [(norm.weight.detach(), norm.bias.detach()) if norm else None for norm in (core_norm, gate_norm)]


class _GatedFunction(torch.autograd.Function):
    """The gated output and its gradient with respect to the hidden layer; weights are constants."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, parameters: _Parameters) -> Tensor:
        half = hidden.shape[1] // 2
        if parameters.is_deep:
            sigmoid = torch.sigmoid(hidden)
            active = hidden * sigmoid  # SiLU
            halves = [
                torch.addmm(bias, part, weight.T)
                for part, weight, bias in zip(
                    (active[:, :half], active[:, half:]), parameters.weights, parameters.biases, strict=True
                )
            ]
        else:
            sigmoid = active = hidden.new_empty(0)
            halves = [hidden[:, :half].contiguous(), hidden[:, half:].contiguous()]
        normed, statistics = [], []
        for part, norm in zip(halves, parameters.norms, strict=True):
            if norm is None:
                normed.append(part)
                statistics.extend([part, part.new_empty(0), part.new_empty(0)])
            else:
                out, mean, inverse = torch.native_layer_norm(part, part.shape[1:], *norm, LAYER_NORM_EPSILON)
                normed.append(out)
                statistics.extend([part, mean, inverse])
        core_sigmoid, gate = torch.sigmoid(normed[0]), torch.sigmoid(normed[1])
        core = normed[0] * core_sigmoid  # SiLU
        ctx.parameters = parameters
        ctx.save_for_backward(sigmoid, active, *statistics, core_sigmoid, core, gate)
        return core * gate

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        parameters = ctx.parameters
        sigmoid, active, *statistics, core_sigmoid, core, gate = ctx.saved_tensors
        # d SiLU(x)/dx = σ(x) + SiLU(x) (1 - σ(x)); d σ(x)/dx = σ(x) (1 - σ(x)).
        through_gate = grad * gate
        grad_gate = (through_gate * core).mul_(1 - gate)
        grad_core = through_gate.mul_(_silu_slope(core_sigmoid, core))
        gradients = []
        for number, grad_normed in enumerate((grad_core, grad_gate)):
            part, mean, inverse = statistics[3 * number : 3 * number + 3]
            norm = parameters.norms[number]
            if norm is None:
                gradients.append(grad_normed)
                continue
            grad_part, _, _ = torch.ops.aten.native_layer_norm_backward(
                grad_normed, part, part.shape[1:], mean, inverse, *norm, [True, False, False]
            )
            gradients.append(grad_part)
        if not parameters.is_deep:
            return torch.cat(gradients, dim=1), None
        out = torch.empty_like(active)
        half = out.shape[1] // 2
        torch.mm(gradients[0], parameters.weights[0], out=out[:, :half])
        torch.mm(gradients[1], parameters.weights[1], out=out[:, half:])
        return out.mul_(_silu_slope(sigmoid, active)), None


def _silu_slope(sigmoid: Tensor, silu: Tensor) -> Tensor:
    return torch.addcmul(sigmoid + silu, sigmoid, silu, value=-1.0)
