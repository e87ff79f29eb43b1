from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from genmat.errors import InputError
from genmat.models.foundation.batch import Batch, Tables, element_mask, order_mask
from genmat.models.foundation.config import FoundationConfig
from genmat.models.foundation.model import FoundationModel
from genmat.models.foundation.tokens import LETTERS, N_LETTERS, wyckoff_arrays
from genmat.models.foundation.train import contrastive_loss
from genmat.representation import space_group


@pytest.fixture(scope="module")
def model(small) -> FoundationModel:
    torch.manual_seed(0)
    return FoundationModel(small).eval()


@torch.no_grad()
def test_the_encoder_does_not_see_the_order_of_the_orbits(model, data):
    batch = Batch.from_table(data.tokens)
    order = torch.randperm(batch.ranks.shape[1], generator=torch.Generator().manual_seed(5))
    names = ("ranks", "elements", "present", "free", "environments")
    other = replace(batch, **{name: getattr(batch, name)[:, order] for name in names})
    assert not torch.equal(batch.elements, other.elements)
    assert torch.allclose(model.encode(batch), model.encode(other), atol=2e-5)


@torch.no_grad()
def test_every_slot_of_a_latent_has_mean_zero_and_variance_one(model, data, small):
    slots = model.encode(Batch.from_table(data.tokens)).view(-1, small.n_slots, small.slot_size)
    assert torch.allclose(slots.mean(-1), torch.zeros(()), atol=1e-5)
    assert torch.allclose(slots.var(-1, unbiased=False), torch.ones(()), atol=1e-2)


@torch.no_grad()
def test_a_masked_geometry_is_not_seen(model, data):
    moved = replace(data.tokens, free=(data.tokens.free + 0.1) % 1.0, shapes=data.tokens.shapes + 0.2)
    one, other = (Batch.from_table(table, has_geometry=False) for table in (data.tokens, moved))
    assert torch.equal(model.encode(one), model.encode(other))
    seen = model.encode(Batch.from_table(data.tokens))
    assert not torch.allclose(seen, model.encode(one), atol=1e-3)


@torch.no_grad()
def test_padding_changes_nothing(model, data):
    batch = Batch.from_table(data.tokens[np.array([0])])
    wide = Batch.from_table(data.tokens)
    row = replace(wide, **{name: getattr(wide, name)[:1] for name in wide.__dataclass_fields__})
    assert torch.allclose(model.encode(batch), model.encode(row), atol=2e-5)


@torch.no_grad()
def test_scales_of_lattices_invert(model, data):
    batch = Batch.from_table(data.tokens)
    expected = model.expected_log_volume(batch.numbers, batch.ranks, batch.elements, batch.present)
    assert torch.allclose(model.unstandardise(model.standardise(batch), expected), batch.shapes, atol=1e-5)


@pytest.mark.parametrize("number", [1, 2, 47, 62, 139, 166, 194, 225, 227])
def test_order_masks_agree_with_what_wyckoff_positions_allow(number):
    tables = Tables()
    positions = space_group(number).positions
    last = torch.arange(N_LETTERS)
    found = order_mask(
        tables, torch.full((N_LETTERS,), number), last, has_orbit=torch.ones(N_LETTERS, dtype=torch.bool)
    )
    for rank in range(N_LETTERS):
        wanted = []
        for letter in range(N_LETTERS):
            position = positions.get(LETTERS[letter])
            again = position is not None and letter == rank and position.dof > 0
            wanted.append(position is not None and (letter > rank or again))
        assert found[rank].tolist() == [*wanted, True]
    first = order_mask(tables, torch.tensor(number), torch.tensor(0), has_orbit=torch.tensor(data=False))
    assert first.tolist() == [LETTERS[rank] in positions for rank in range(N_LETTERS)] + [False]


def test_elements_on_one_letter_ascend():
    mask = element_mask(
        torch.tensor([3, 3, 0]),
        torch.tensor([3, 2, 0]),
        torch.tensor([8, 8, 8]),
        has_orbit=torch.tensor([True, True, False]),
    )
    assert mask[0].nonzero().flatten().tolist() == list(range(8, 119))
    assert mask[1].nonzero().flatten().tolist() == list(range(1, 119))
    assert mask[2].nonzero().flatten().tolist() == list(range(1, 119))


def test_true_genes_pass_their_own_masks(data):
    tables, batch = Tables(), Batch.from_table(data.tokens)
    for slot in range(1, batch.ranks.shape[1]):
        rows = batch.present[:, slot]
        allowed = order_mask(tables, batch.numbers, batch.ranks[:, slot - 1], has_orbit=torch.ones_like(rows))
        assert allowed[rows].gather(1, batch.ranks[rows, slot][:, None]).all()


def test_the_contrastive_loss_is_least_where_alike_properties_are_near():
    labels = torch.tensor([[0.0, 0.0], [0.05, 0.0], [4.0, 4.0], [4.0, 4.05]])
    near = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [-1.0, 0.1]])
    assert contrastive_loss(near, labels) < contrastive_loss(near[[0, 2, 1, 3]], labels) - 1.0


def test_the_contrastive_loss_leaves_unknown_labels_out():
    latent = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    masked = labels.clone()
    masked[:, 1] = torch.nan
    assert torch.allclose(contrastive_loss(latent, masked), contrastive_loss(latent, labels[:, :1]), atol=1e-6)


def test_wyckoff_arrays_count_the_positions_of_all_groups():
    arrays = wyckoff_arrays()
    assert arrays.n_positions == 1732
    assert arrays.index.max() == 1731
    assert arrays.atoms[225, 0] == 1
    assert arrays.dof[2, LETTERS.index("i")] == 3


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"width": 0}, "width is 0, expected a positive whole number"),
        ({"width": 10, "n_heads": 4}, "width 10 must be even and a multiple of n_heads 4"),
        ({"defects": True}, "channel 'defects' is reserved"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes, expected):
    with pytest.raises(InputError, match=expected):
        FoundationConfig(**changes)


def test_a_configuration_with_an_unknown_key_names_the_nearest():
    with pytest.raises(InputError, match=r"no parameter 'widt'.*Did you mean 'width'"):
        FoundationConfig.from_dict({"widt": 3})
