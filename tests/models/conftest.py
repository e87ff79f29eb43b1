"""Crystals and the real CHGNet for the tests of models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.models.potentials import get_potential


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Use one thread: the tests share two cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def chgnet():
    """Return the adapter of CHGNet 0.3.0."""
    return get_potential("chgnet-0.3.0").load()


def rattled(structure: Structure, *, distance: float, seed: int) -> Structure:
    """Return a copy whose atoms are displaced by at most ``distance`` (Å) and whose cell is sheared a little."""
    rng = np.random.default_rng(seed)
    strain = np.eye(3) + rng.uniform(-0.02, 0.02, (3, 3))
    moved = structure.cart_coords + rng.uniform(-1, 1, (len(structure), 3)) * distance / np.sqrt(3)
    lattice = Lattice(structure.lattice.matrix @ strain)
    return Structure(lattice, structure.species, moved @ strain, coords_are_cartesian=True)


def rocksalt(cation: str = "Na", anion: str = "Cl", a: float = 5.64) -> Structure:
    """Return a primitive rocksalt cell."""
    cell = Structure.from_spacegroup(225, Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return cell.get_primitive_structure()


def perovskite() -> Structure:
    """Return cubic SrTiO3."""
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    return Structure.from_spacegroup(221, Lattice.cubic(3.905), ["Sr", "Ti", "O"], sites)


def silicon() -> Structure:
    """Return the primitive cell of silicon."""
    return Structure.from_spacegroup(227, Lattice.cubic(5.43), ["Si"], [[0, 0, 0]]).get_primitive_structure()


def lonely() -> Structure:
    """Return krypton, whose atoms are too far apart for any angle."""
    return Structure.from_spacegroup(225, Lattice.cubic(6.2), ["Kr"], [[0, 0, 0]]).get_primitive_structure()


CRYSTALS = {
    "rocksalt": rattled(rocksalt(), distance=0.1, seed=1),
    "perovskite": rattled(perovskite(), distance=0.1, seed=2),
    "silicon": rattled(silicon(), distance=0.1, seed=3),
    "without angles": lonely(),
}


@pytest.fixture(params=list(CRYSTALS))
def crystal(request: pytest.FixtureRequest) -> Structure:
    """Return one of several crystals that are not at rest."""
    return CRYSTALS[request.param].copy()
