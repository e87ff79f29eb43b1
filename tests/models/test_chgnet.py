"""The contract of a potential, for CHGNet against its own package and against physics."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
import torch_sim as ts
from pymatgen.core.lattice import Lattice
from pymatgen.core.operations import SymmOp
from pymatgen.core.structure import Structure

from .conftest import CRYSTALS, perovskite, rattled, rocksalt

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


def test_force_is_the_negative_gradient_of_the_energy(chgnet):
    structure = CRYSTALS["perovskite"]
    force = evaluate(chgnet, structure)["forces"][1]
    step = 0.01  # Å; float32 energies make a smaller one noisy
    for axis in range(3):
        energies = []
        for sign in (-1, 1):
            moved = structure.copy()
            moved.translate_sites([1], np.eye(3)[axis] * sign * step, frac_coords=False)
            energies.append(evaluate(chgnet, moved)["energy"][0])
        assert force[axis] == pytest.approx(-(energies[1] - energies[0]) / (2 * step), abs=0.02)


def test_stress_is_the_strain_derivative_of_the_energy(chgnet):
    structure = CRYSTALS["rocksalt"]
    stress = evaluate(chgnet, structure)["stress"][0]
    step = 0.005
    for row, column in ((0, 0), (1, 1), (0, 1)):
        energies = []
        for sign in (-1, 1):
            strain = np.zeros((3, 3))
            strain[row, column] = strain[column, row] = sign * step
            lattice = Lattice(structure.lattice.matrix @ (np.eye(3) + strain))
            strained = Structure(lattice, structure.species, structure.frac_coords)
            energies.append(evaluate(chgnet, strained)["energy"][0])
        multiplicity = 1 if row == column else 2
        derivative = (energies[1] - energies[0]) / (2 * step) / structure.volume / multiplicity
        assert stress[row, column] == pytest.approx(derivative, abs=2e-4)  # eV/Å^3


def test_energy_of_a_supercell_is_that_of_its_cells(chgnet, crystal):
    energy = evaluate(chgnet, crystal)["energy"][0]
    assert evaluate(chgnet, crystal * (2, 1, 1))["energy"][0] == pytest.approx(2 * energy, rel=1e-5)


def test_rotation_leaves_the_energy_and_turns_the_forces(chgnet):
    structure = CRYSTALS["perovskite"]
    rotation = SymmOp.from_axis_angle_and_translation([1, 2, 3], 40)
    turned = structure.copy()
    turned.apply_operation(rotation)
    before, after = evaluate(chgnet, structure), evaluate(chgnet, turned)
    assert after["energy"] == pytest.approx(before["energy"], abs=1e-4)
    assert after["forces"] == pytest.approx(before["forces"] @ rotation.rotation_matrix.T, abs=2e-3)


def test_order_of_atoms_does_not_matter(chgnet):
    structure = CRYSTALS["perovskite"]
    order = [3, 1, 4, 0, 2]
    shuffled = Structure.from_sites([structure[i] for i in order])
    before, after = evaluate(chgnet, structure), evaluate(chgnet, shuffled)
    assert after["energy"] == pytest.approx(before["energy"], abs=1e-4)
    assert after["forces"] == pytest.approx(before["forces"][order], abs=1e-3)


def test_batch_gives_what_single_evaluations_give(chgnet):
    together = evaluate(chgnet, *CRYSTALS.values())
    start = 0
    for number, structure in enumerate(CRYSTALS.values()):
        alone = evaluate(chgnet, structure)
        assert together["energy"][number] == pytest.approx(alone["energy"][0], abs=1e-4)
        assert together["forces"][start : start + len(structure)] == pytest.approx(alone["forces"], abs=1e-3)
        assert together["stress"][number] == pytest.approx(alone["stress"][0], abs=1e-5)
        start += len(structure)


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


def test_left_handed_cell_has_the_energy_of_its_mirror_image(chgnet):
    structure = rattled(rocksalt(), distance=0.1, seed=5)
    flipped = Structure(
        Lattice(structure.lattice.matrix[[1, 0, 2]]), structure.species, structure.frac_coords[:, [1, 0, 2]]
    )
    assert flipped.lattice.matrix @ np.eye(3) is not structure
    assert evaluate(chgnet, flipped)["energy"] == pytest.approx(evaluate(chgnet, structure)["energy"], abs=1e-4)
    assert evaluate(chgnet, flipped)["stress"] == pytest.approx(evaluate(chgnet, structure)["stress"], abs=1e-5)


def test_perovskite_at_its_known_lattice_constant_is_bound(chgnet):
    assert evaluate(chgnet, perovskite())["energy"][0] / 5 == pytest.approx(-8.0, abs=0.6)  # eV/atom, PBE+U of MP
