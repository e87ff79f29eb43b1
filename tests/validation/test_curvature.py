"""The curvature of a potential: the directions that symmetry allows, and a step that leads to the minimum."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from ase import Atoms
from ase.filters import FrechetCellFilter
from pymatgen.core.structure import Structure

from genmat.models.calculation import calculate
from genmat.models.potentials import get_potential
from genmat.validation.curvature import ELSEWHERE, LEAST, curvature, symmetric_directions
from genmat.validation.gpaw import Gpaw

from .conftest import crystal, rocksalt


@pytest.fixture(scope="module")
def argon():
    """Return what evaluates Lennard-Jones crystals."""
    return partial(calculate, model=get_potential("lennard-jones").load())


def strained(edge: float = 5.3) -> Structure:
    """Return argon whose atoms and cell are off their minimum, without any symmetry."""
    structure = crystal("Fm-3m", edge, ["Ar"], [[0, 0, 0]]) * (2, 1, 1)
    structure.perturb(0.05, seed=1)
    return structure.apply_strain([0.01, -0.01, 0.005], inplace=False)


def gradient(structure: Structure, evaluate) -> np.ndarray:
    (found,) = evaluate([structure])
    virial = structure.volume * found.stress / 160.21766208 / len(structure)
    return np.concatenate([-found.forces.ravel(), virial.ravel()])


def test_symmetry_leaves_the_directions_that_keep_it():
    perovskite = crystal("Pm-3m", 3.9, ["Li", "H", "S"], [[0.5, 0, 0], [0.5, 0.5, 0.5], [0, 0, 0]])
    assert symmetric_directions(perovskite).shape == (24, 1)  # the volume
    rutile = crystal("P4_2/mnm", 4.6, ["Mg", "F"], [[0, 0, 0], [0.3, 0.3, 0]])
    assert symmetric_directions(rutile).shape[1] >= 2
    free = strained()
    directions = symmetric_directions(free)
    assert directions.shape == (3 * len(free) + 9, 3 * len(free) + 3)  # no drift, no rotation
    assert np.allclose(directions.T @ directions, np.eye(directions.shape[1]))
    assert np.abs(directions[: 3 * len(free)].reshape(len(free), 3, -1).sum(axis=0)).max() < 1e-9


def test_a_step_with_it_reduces_forces_and_stress(argon):
    start = strained(4.8)
    before = gradient(start, argon)
    step = -np.linalg.solve(curvature(start, argon), before).reshape(-1, 3)
    atoms = Atoms(f"Ar{len(start)}", positions=start.cart_coords, cell=start.lattice.matrix, pbc=True)
    moved = FrechetCellFilter(atoms)
    moved.set_positions(moved.get_positions() + step)
    after = gradient(Structure(atoms.cell.array, start.species, atoms.get_scaled_positions()), argon)
    assert np.linalg.norm(after) < 0.3 * np.linalg.norm(before)


def test_no_direction_is_flat_or_falls(argon):
    saddle = rocksalt()
    saddle.replace_species({"Na": "Ar", "Cl": "Ar"})
    values = np.linalg.eigvalsh(curvature(saddle, argon))
    assert values.min() >= LEAST - 1e-6
    assert np.isclose(values, ELSEWHERE).sum() >= len(values) - 1


def test_forces_that_are_not_finite_are_refused(argon):
    def broken(structures):
        found = argon(structures)
        found[0].forces[:] = np.nan
        return found

    with pytest.raises(ValueError, match="are not finite"):
        curvature(strained(), broken)


def test_relaxation_is_told_the_curvature_of_the_potential_where_it_knows_the_elements(tmp_path):
    program = tmp_path / "python"
    program.write_text(
        '#!/bin/sh\n[ "$3" = --describe ] && echo \'{"gpaw": "25.7.0", "valence": {"Na": 7, "Cl": 7}}\'\n'
    )
    program.chmod(0o755)
    engine, salt = Gpaw(python=str(program)), rocksalt()
    engine.run(salt, folder=tmp_path / "run", max_seconds=20)
    hessian = np.array(json.loads((tmp_path / "run" / "job.json").read_text())["hessian"])
    assert hessian.shape == (15, 15)
    assert np.allclose(hessian, hessian.T)
    assert np.isclose(np.linalg.eigvalsh(hessian), ELSEWHERE).sum() == 14  # salt can but change its volume
    replace(engine, potential=None).run(salt, folder=tmp_path / "run", max_seconds=20)
    assert json.loads((tmp_path / "run" / "job.json").read_text())["hessian"] is None
