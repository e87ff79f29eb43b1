"""Descent: forces are derivatives in its own coordinates, and crystals that join or leave change nothing for others."""

from __future__ import annotations

import pytest
import torch
import torch_sim as ts

from genmat.models.descent import Descent
from genmat.models.potentials import get_potential

from .conftest import lonely, rattled


@pytest.fixture(scope="module")
def argon():
    return get_potential("lennard-jones").load()


def start(seed: int):
    crystal = rattled(lonely(), distance=0.2, seed=seed)
    crystal.replace_species({"Kr": "Ar"})
    return crystal


def descent(model, *seeds: int) -> Descent:
    return Descent.from_state(ts.initialize_state([start(seed) for seed in seeds], model.device, model.dtype))


def moved(model, crystals: Descent, n: int = 1) -> Descent:
    for _ in range(n):
        found = model(crystals.state(model.dtype))
        crystals = crystals.moved(found["forces"], found["stress"], cell=True)
    return crystals


def test_a_start_is_where_it_was(argon):
    state = ts.initialize_state([start(1), start(2)], argon.device, argon.dtype)
    again = Descent.from_state(state).state(argon.dtype)
    assert torch.allclose(again.positions, state.positions)
    assert torch.allclose(again.cell, state.cell)


def test_forces_on_atoms_and_deformation_are_derivatives_of_the_energy(argon):
    from dataclasses import replace

    crystals = moved(argon, descent(argon, 1), 5)  # strained, where the logarithm's derivative counts
    force = moved(argon, crystals).force
    for row in range(len(crystals.x)):
        for axis in range(3):
            energies = []
            for shift in (1e-4, -1e-4):
                x = crystals.x.clone()
                x[row, axis] += shift
                energies.append(float(argon(replace(crystals, x=x).state(argon.dtype))["energy"][0]))
            assert float(force[row, axis]) == pytest.approx(-(energies[0] - energies[1]) / 2e-4, abs=1e-5)


def test_crystals_that_join_and_leave_keep_their_own_memory(argon, monkeypatch):
    monkeypatch.setattr("genmat.models.descent.LBFGS_STEPS", 4)  # so that some are at FIRE while others are not
    alone = [moved(argon, descent(argon, seed), n) for seed, n in ((1, 7), (2, 6))]
    crystals = moved(argon, descent(argon, 3, 1), 3)
    crystals = moved(argon, crystals.joined(descent(argon, 2)), 3).kept(torch.tensor([False, True, True]))
    first = moved(argon, crystals, 1).kept(torch.tensor([True, False]))
    assert torch.allclose(first.x, alone[0].x, atol=1e-10)
    second = moved(argon, crystals.kept(torch.tensor([False, True])), 3)
    assert torch.allclose(second.x, alone[1].x, atol=1e-10)
    assert second.n_steps.tolist() == [6]


def test_a_fixed_cell_stays(argon):
    crystals = descent(argon, 1)
    found = argon(crystals.state(argon.dtype))
    after = crystals.moved(found["forces"], found["stress"], cell=False).state(argon.dtype)
    assert torch.equal(after.cell, crystals.state(argon.dtype).cell)
