from __future__ import annotations

import torch

from genmat.models.layers import Block, Cache, Fourier, SquaredReLU, embed_time


@torch.no_grad()
def test_a_cache_gives_what_the_whole_sequence_gives():
    torch.manual_seed(0)
    block, x = Block(16, 4), torch.randn(2, 6, 16)
    causal = torch.ones(6, 6, dtype=torch.bool).tril()[None, None]
    whole = block(x, causal)
    cache = Cache()
    parts = [block(x[:, i : i + 1], torch.ones(1, 1, 1, i + 1, dtype=torch.bool), cache) for i in range(6)]
    assert torch.allclose(torch.cat(parts, dim=1), whole, atol=1e-5)


@torch.no_grad()
def test_masked_tokens_are_not_read():
    torch.manual_seed(0)
    block, x = Block(16, 4), torch.randn(1, 5, 16)
    mask = torch.tensor([True, True, True, False, False])[None, None, None]
    changed = x.clone()
    changed[:, 3:] += 3.0
    assert torch.allclose(block(x, mask)[:, :3], block(changed, mask)[:, :3], atol=1e-6)


def test_fourier_features_are_periodic_and_blank_where_nothing_is_free():
    fourier = Fourier(3)
    x = torch.tensor([[0.1, 0.2, 0.9]])
    free = torch.tensor([[1.0, 0.0, 1.0]])
    assert fourier(x, free).shape == (1, 18)
    assert torch.allclose(fourier(x, free), fourier(x + 1.0, free), atol=1e-5)
    assert torch.equal(fourier(x, free).view(3, 6)[1], torch.zeros(6))


def test_squared_relu_squares_what_is_positive():
    assert SquaredReLU()(torch.tensor([-2.0, 0.0, 3.0])).tolist() == [0.0, 0.0, 9.0]


def test_times_have_distinct_features():
    features = embed_time(torch.linspace(0, 1, 11), 16)
    assert features.shape == (11, 16)
    assert torch.cdist(features, features).add(torch.eye(11)).min() > 0.05
