"""Elasticity, phonons, motion and thermal expansion: real CHGNet on crystals whose properties are known.

CHGNet is softer than experiment (Deng et al., npj Comput. Mater. 11, 9 (2025)): bulk moduli are asked to lie within
30 %, shear moduli between 0.4 and 1.3 of what is measured.
"""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.models.calculation import calculate, molecular_dynamics, relax_ions
from genmat.models.potentials import get_potential
from genmat.models.protocol import RelaxProtocol
from genmat.models.relaxation import relax
from genmat.screening.elasticity import Elasticity, fit_elasticity, strained_structures
from genmat.screening.equation_of_state import FitFailure
from genmat.screening.motion import analyse_motion
from genmat.screening.phonons import compute_phonons, supercell_of, thermal_expansion

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.69), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
MAGNESIA = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.24), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
SILICON = Structure.from_prototype("diamond", ["Si"], a=5.47)
TITANATE = Structure(
    Lattice.cubic(4.03),
    ["Ba", "Ti", "O", "O", "O"],
    [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
)
SCALES = (0.97, 0.985, 1.0, 1.015, 1.03)
BCC_TITANIUM = Structure(Lattice.cubic(3.25), ["Ti", "Ti"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture(scope="module")
def model():
    return get_potential("chgnet-0.3.0").load()


@pytest.fixture(scope="module")
def relaxed(model):
    """Return a function that relaxes a primitive cell tightly, once each."""
    known = {}

    def get(structure: Structure) -> Structure:
        if structure.formula not in known:
            primitive = structure.get_primitive_structure()
            protocol = RelaxProtocol(fmax=0.005, smax=0.05)
            elements = frozenset(primitive.atomic_numbers)
            ((_, outcome),) = relax([primitive], model=model, protocol=protocol, atomic_numbers=elements)
            assert outcome.converged
            known[structure.formula] = outcome.structure
        return known[structure.formula]

    return get


@pytest.fixture(scope="module")
def forces(model):
    return lambda structures: [found.forces for found in calculate(structures, model=model)]


def elasticity_of(structure: Structure, model) -> Elasticity:
    cells = relax_ions(strained_structures(structure), model=model, fmax=0.01)
    assert None not in cells
    return fit_elasticity(np.array([found.stress for found in calculate(cells, model=model)]))


def test_a_tensor_is_recovered_from_the_stresses_that_it_makes():
    random = np.random.default_rng(0)
    half = random.normal(size=(6, 6))
    tensor = half @ half.T + 60.0 * np.eye(6)
    stresses = []
    for component in range(6):
        for strain in (-0.01, -0.005, 0.005, 0.01):
            xx, yy, zz, yz, xz, xy = 0.3 + strain * tensor[:, component]  # 0.3 GPa is left of the relaxation
            stresses.append([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    found = fit_elasticity(np.array(stresses))
    assert found.tensor == pytest.approx(tensor)
    assert found.is_stable


def test_moduli_of_an_isotropic_solid_are_exact():
    bulk, shear = 100.0, 40.0
    tensor = np.zeros((6, 6))
    tensor[:3, :3] = bulk - 2 * shear / 3
    tensor[np.diag_indices(3)] += 2 * shear
    tensor[[3, 4, 5], [3, 4, 5]] = shear
    stresses = [
        [[s[0], s[5], s[4]], [s[5], s[1], s[3]], [s[4], s[3], s[2]]]
        for s in (strain * tensor[:, k] for k in range(6) for strain in (-0.01, -0.005, 0.005, 0.01))
    ]
    found = fit_elasticity(np.array(stresses))
    assert (found.bulk_modulus, found.shear_modulus) == pytest.approx((bulk, shear))


@pytest.mark.parametrize(("structure", "bulk", "shear"), [(SALT, 25.0, 15.0), (SILICON, 98.0, 67.0)])
def test_moduli_are_near_experiment(structure, bulk, shear, model, relaxed):
    found = elasticity_of(relaxed(structure), model)
    assert found.is_stable
    assert found.bulk_modulus == pytest.approx(bulk, rel=0.3)
    assert 0.4 * shear < found.shear_modulus < 1.3 * shear


def test_bcc_titanium_is_mechanically_and_dynamically_unstable(model, relaxed, forces):
    titanium = relaxed(BCC_TITANIUM)
    assert not elasticity_of(titanium, model).is_stable
    assert not compute_phonons(titanium, forces=forces).is_stable


def test_cubic_barium_titanate_is_unstable_at_gamma(relaxed, forces):
    phonons = compute_phonons(relaxed(TITANATE), forces=forces, min_length=7.5)
    assert not phonons.is_stable
    assert phonons.gamma_min_frequency < -1.0


def test_salt_is_dynamically_stable_and_vibrates_in_the_known_range(relaxed, forces):
    phonons = compute_phonons(relaxed(SALT), forces=forces)
    assert phonons.is_stable
    assert 4.0 < phonons.max_frequency < 9.0  # experiment: 7.6 THz
    assert abs(phonons.min_frequency) < 0.1


def test_a_supercell_is_wide_enough_in_every_direction():
    skewed = Structure([[4.0, 0, 0], [3.9, 1.0, 0], [0, 0, 9.0]], ["Ar"], [[0, 0, 0]])
    wide = skewed * supercell_of(skewed)
    assert (1.0 / np.linalg.norm(np.linalg.inv(wide.lattice.matrix), axis=0)).min() >= 8.0 - 1e-6


def test_magnesia_expands_with_temperature_in_the_measured_order(model, relaxed, forces):
    magnesia = relaxed(MAGNESIA)
    cells = [Structure(magnesia.lattice.scale(magnesia.volume * k), ["Mg", "O"], magnesia.frac_coords) for k in SCALES]
    energies = [found.energy for found in calculate(cells, model=model)]
    coefficient = thermal_expansion(cells, energies, forces=forces, min_length=6.0)
    assert not isinstance(coefficient, FitFailure)
    assert 1.5e-5 < coefficient < 1e-4  # experiment: 3.1e-5 1/K


def test_an_imaginary_mode_has_no_thermal_expansion(relaxed, forces):
    found = thermal_expansion([relaxed(TITANATE)] * 5, [0.0] * 5, forces=forces, min_length=4.0)
    assert isinstance(found, FitFailure)
    assert "THz" in found.reason


@pytest.mark.parametrize("pressure", [None, 0.0])
def test_salt_keeps_its_structure_at_room_temperature(pressure, model, relaxed):
    cell = relaxed(SALT) * (2, 2, 2)
    moved = molecular_dynamics(cell, model=model, temperature=300.0, n_steps=20, pressure=pressure)
    motion = analyse_motion(moved.start, moved.fractions, moved.cells, moved.temperatures)
    assert motion.keeps_structure
    assert 100.0 < motion.mean_temperature < 600.0
    assert (motion.volume_change == pytest.approx(0.0, abs=1e-9)) == (pressure is None)


def test_an_atom_that_leaves_its_site_is_noticed():
    start = SALT.copy()
    fractions = np.repeat(start.frac_coords[None], 20, axis=0)
    still = analyse_motion(start, fractions, np.repeat(start.lattice.matrix[None], 20, axis=0), np.full(20, 300.0))
    assert still.keeps_structure
    assert still.shift == pytest.approx(0.0)
    fractions[5:, 3] += [0.5, 0.0, 0.0]
    gone = analyse_motion(start, fractions, np.repeat(start.lattice.matrix[None], 20, axis=0), np.full(20, 300.0))
    assert not gone.keeps_structure
