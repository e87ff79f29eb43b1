"""What every potential must do: agree with its own package, and obey physics."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch_sim as ts
from matscipy.neighbours import neighbour_list
from pymatgen.core.lattice import Lattice
from pymatgen.core.operations import SymmOp
from pymatgen.core.structure import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from genmat.models.potentials import get_potential
from genmat.models.potentials.mace import load_mace

from .conftest import CRYSTALS, rattled, rocksalt
from .tiny_mace import tiny_mace

POTENTIALS = ("chgnet-0.3.0", "chgnet-0.2.0", "chgnet-r2scan", "mace", "lennard-jones")


@dataclass(frozen=True)
class Case:
    """A potential, the ASE calculator of its own package, and how far single precision lets energies wander."""

    name: str
    model: Any
    calculator: Any
    noise: float


def chgnet_calculator(version: str) -> Any:
    from chgnet.model.dynamics import CHGNetCalculator
    from chgnet.model.model import CHGNet

    with contextlib.redirect_stdout(io.StringIO()):
        return CHGNetCalculator(CHGNet.load(model_name=version, use_device="cpu", verbose=False), use_device="cpu")


@pytest.fixture(scope="module", params=POTENTIALS)
def case(request: pytest.FixtureRequest) -> Case:
    name = request.param
    if name == "mace":
        import torch

        data = tiny_mace()
        model = load_mace(data, name="tiny", device=torch.device("cpu"))
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from mace.calculators import MACECalculator

            network = torch.load(io.BytesIO(data), weights_only=False)
            return Case(name, model, MACECalculator(models=[network], device="cpu", default_dtype="float64"), 1e-9)
    model = get_potential(name).load()
    if name == "lennard-jones":
        from ase.calculators.lj import LennardJones

        return Case(name, model, LennardJones(sigma=3.405, epsilon=0.0104, rc=8.5), 1e-9)
    return Case(name, model, chgnet_calculator(name.removeprefix("chgnet-")), 5e-5)


def evaluate(model: Any, *structures: Structure) -> dict[str, np.ndarray]:
    state = ts.initialize_state(list(structures), model.device, model.dtype)
    return {name: value.detach().double().numpy() for name, value in model(state).items() if name in OUTPUTS}


OUTPUTS = ("energy", "forces", "stress")


def argon_shift(structure: Structure) -> float:
    """Return the energy by which ASE shifts its pairs to zero at the cutoff."""
    pairs = len(neighbour_list("i", AseAtomsAdaptor.get_atoms(structure), 8.5)) / 2
    return -pairs * 4 * 0.0104 * ((3.405 / 8.5) ** 12 - (3.405 / 8.5) ** 6)


def test_energy_and_forces_are_those_of_the_familys_own_calculator(case, crystal):
    ours = evaluate(case.model, crystal)
    atoms = AseAtomsAdaptor.get_atoms(crystal)
    atoms.calc = case.calculator
    expected = atoms.get_potential_energy() - (argon_shift(crystal) if case.name == "lennard-jones" else 0.0)
    assert abs(ours["energy"][0] - expected) / len(crystal) < 1e-4  # eV/atom
    forces = atoms.get_forces()
    assert np.abs(ours["forces"] - forces).max() < 1e-3 * max(1.0, np.abs(forces).max() / 50)  # eV/Å


def test_force_is_the_negative_gradient_of_the_energy(case):
    structure = CRYSTALS["perovskite"]
    atom, noise = 3, 0.01 if case.noise > 1e-6 else 1e-6
    force = evaluate(case.model, structure)["forces"][atom]
    assert np.abs(force).min() > 3 * noise  # none would be right if it were forgotten, or of the other sign
    step = 0.01 if case.noise > 1e-6 else 1e-4  # Å; single precision makes a smaller one noisy
    for axis in range(3):
        energies = []
        for sign in (-1, 1):
            moved = structure.copy()
            moved.translate_sites([atom], np.eye(3)[axis] * sign * step, frac_coords=False)
            energies.append(evaluate(case.model, moved)["energy"][0])
        assert force[axis] == pytest.approx(-(energies[1] - energies[0]) / (2 * step), abs=noise, rel=1e-4)


def test_stress_is_the_strain_derivative_of_the_energy(case):
    structure = CRYSTALS["rocksalt"]
    stress = evaluate(case.model, structure)["stress"][0]
    noise = 2e-4 if case.noise > 1e-6 else 1e-7  # eV/Å^3
    step = 0.005 if case.noise > 1e-6 else 1e-5
    for row, column in ((0, 0), (1, 1), (0, 1)):
        energies = []
        for sign in (-1, 1):
            strain = np.zeros((3, 3))
            strain[row, column] = strain[column, row] = sign * step
            lattice = Lattice(structure.lattice.matrix @ (np.eye(3) + strain))
            strained = Structure(lattice, structure.species, structure.frac_coords)
            energies.append(evaluate(case.model, strained)["energy"][0])
        multiplicity = 1 if row == column else 2
        derivative = (energies[1] - energies[0]) / (2 * step) / structure.volume / multiplicity
        assert abs(stress[row, column]) > 3 * noise
        assert stress[row, column] == pytest.approx(derivative, abs=noise, rel=1e-4)


def test_energy_of_a_supercell_is_that_of_its_cells(case, crystal):
    energy = evaluate(case.model, crystal)["energy"][0]
    assert evaluate(case.model, crystal * (2, 1, 1))["energy"][0] == pytest.approx(2 * energy, rel=1e-5)


def test_rotation_leaves_the_energy_and_turns_the_forces(case):
    structure = CRYSTALS["perovskite"]
    rotation = SymmOp.from_axis_angle_and_translation([1, 2, 3], 40)
    turned = structure.copy()
    turned.apply_operation(rotation)
    before, after = evaluate(case.model, structure), evaluate(case.model, turned)
    assert after["energy"] == pytest.approx(before["energy"], abs=1e-4)
    assert after["forces"] == pytest.approx(before["forces"] @ rotation.rotation_matrix.T, abs=2e-3)
    turned_stress = rotation.rotation_matrix @ before["stress"][0] @ rotation.rotation_matrix.T
    assert after["stress"][0] == pytest.approx(turned_stress, abs=1e-4)


def test_order_of_atoms_does_not_matter(case):
    structure = CRYSTALS["perovskite"]
    order = [3, 1, 4, 0, 2]
    shuffled = Structure.from_sites([structure[i] for i in order])
    before, after = evaluate(case.model, structure), evaluate(case.model, shuffled)
    assert after["energy"] == pytest.approx(before["energy"], abs=1e-4)
    assert after["forces"] == pytest.approx(before["forces"][order], abs=1e-3)


def test_batch_gives_what_single_evaluations_give(case):
    together = evaluate(case.model, *CRYSTALS.values())
    start = 0
    for number, structure in enumerate(CRYSTALS.values()):
        alone = evaluate(case.model, structure)
        assert together["energy"][number] == pytest.approx(alone["energy"][0], abs=1e-4)
        assert together["forces"][start : start + len(structure)] == pytest.approx(alone["forces"], abs=1e-3)
        assert together["stress"][number] == pytest.approx(alone["stress"][0], abs=1e-5)
        start += len(structure)


def test_left_handed_cell_has_the_energy_of_its_mirror_image(case):
    structure = rattled(rocksalt(), distance=0.1, seed=5)
    matrix, coordinates = structure.lattice.matrix[[1, 0, 2]], structure.frac_coords[:, [1, 0, 2]]
    flipped = Structure(Lattice(matrix), structure.species, coordinates)
    assert np.linalg.det(matrix) < 0 < np.linalg.det(structure.lattice.matrix)
    before, after = evaluate(case.model, structure), evaluate(case.model, flipped)
    assert after["energy"] == pytest.approx(before["energy"], abs=1e-4)
    assert after["stress"] == pytest.approx(before["stress"], abs=1e-5)
