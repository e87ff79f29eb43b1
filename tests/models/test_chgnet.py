"""CHGNet against its own package, beyond the contract that every potential meets."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import torch_sim as ts

from .conftest import perovskite

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

EV_PER_CUBIC_ANGSTROM_IN_GPA = 160.21766208


def evaluate(model, *structures: Structure) -> dict[str, np.ndarray]:
    state = ts.initialize_state(list(structures), model.device, model.dtype)
    return {name: value.detach().numpy() for name, value in model(state).items()}


@pytest.fixture(scope="module")
def published():
    from chgnet.model.model import CHGNet

    with contextlib.redirect_stdout(io.StringIO()):
        return CHGNet.load(model_name="0.3.0", use_device="cpu", verbose=False)


def test_energy_forces_and_stress_equal_those_of_the_published_code(chgnet, published, crystal):
    ours = evaluate(chgnet, crystal)
    theirs = published.predict_structure(crystal, task="efs")
    assert abs(ours["energy"][0] / len(crystal) - float(theirs["e"])) < 1e-5  # eV/atom
    assert np.abs(ours["forces"] - theirs["f"]).max() < 1e-3  # eV/Å
    stress = ours["stress"][0] * EV_PER_CUBIC_ANGSTROM_IN_GPA
    symmetric = 0.5 * (theirs["s"] + theirs["s"].T)
    assert np.abs(stress - symmetric).max() < 1e-2  # GPa


def test_energy_alone_equals_the_energy_with_forces(chgnet, crystal):
    assert evaluate(chgnet.energy_only(), crystal)["energy"] == pytest.approx(evaluate(chgnet, crystal)["energy"])


def test_hand_written_gradient_equals_autograd(chgnet, published):
    layer = published.atom_conv_layers[0].twoBody_atom
    ours = chgnet.atom_layers[0]
    x = torch.randn(7, 192, generator=torch.Generator().manual_seed(0), requires_grad=True)
    hidden = (
        sum(part @ weight for part, weight in zip(torch.split(x, 64, dim=1), ours.weights, strict=True)) + ours.bias
    )
    (mine,) = torch.autograd.grad(ours(hidden).sum(), x)
    (theirs,) = torch.autograd.grad(layer(x).sum(), x)
    assert torch.allclose(ours(hidden), layer(x), atol=1e-5)
    assert torch.allclose(mine, theirs, atol=1e-5)


def test_perovskite_at_its_known_lattice_constant_is_bound(chgnet):
    assert evaluate(chgnet, perovskite())["energy"][0] / 5 == pytest.approx(-8.0, abs=0.6)  # eV/atom, PBE+U of MP
