from __future__ import annotations

import pytest
import torch

from genmat.models.muon import Muon, orthogonalised


@pytest.mark.parametrize("shape", [(32, 32), (16, 48), (48, 16)])
def test_an_orthogonalised_matrix_has_singular_values_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 7.0
    found = orthogonalised(matrix)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_an_orthogonalised_matrix_keeps_the_singular_vectors():
    matrix = torch.randn(12, 20, generator=torch.Generator().manual_seed(2))
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.T @ orthogonalised(matrix) @ vh.T
    assert (inner - torch.diag(inner.diagonal())).abs().max() < 0.05


def test_muon_fits_a_linear_map():
    generator = torch.Generator().manual_seed(3)
    x, wanted = torch.randn(64, 8, generator=generator), torch.randn(8, 8, generator=generator)
    weight = torch.nn.Parameter(torch.zeros(8, 8))
    optimiser = Muon([weight], lr=0.2)
    losses = []
    for step in range(150):
        optimiser.param_groups[0]["lr"] = 0.2 * (1 - step / 150)
        loss = ((x @ (weight - wanted)) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.01 * losses[0]


def test_weight_decay_shrinks_what_has_no_gradient_left():
    weight = torch.nn.Parameter(torch.ones(4, 4))
    weight.grad = torch.zeros(4, 4)
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    assert torch.allclose(weight, torch.full((4, 4), 0.95))
