"""A crystal moved onto its own symmetry: every operation is found, nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import spglib
from pymatgen.core import Lattice, Structure

from genmat.validation.deviation import geometry_deviation
from genmat.validation.symmetry import symmetrized

ANTIPEROVSKITE = Structure.from_spacegroup(
    "Pm-3m", Lattice.cubic(3.85), ["S", "F", "Li"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0]]
)
HALF_HEUSLER = Structure.from_spacegroup(
    "F-43m", Lattice.cubic(5.9), ["Li", "Mg", "N"], [[0, 0, 0], [0.25, 0.25, 0.25], [0.5, 0.5, 0.5]]
).get_primitive_structure()
RUTILE = Structure.from_spacegroup(
    "P4_2/mnm", Lattice.tetragonal(4.6, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
)
CRYSTALS = {"antiperovskite": (ANTIPEROVSKITE, 48), "half-Heusler": (HALF_HEUSLER, 24), "rutile": (RUTILE, 8)}


def disturbed(structure, *, size, seed=0):
    """Return a crystal with noise in positions (Å) and cell, in another order and with another origin."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(structure))
    coords = structure.frac_coords[order] + rng.uniform(size=3)
    moved = Structure(structure.lattice, [structure[int(i)].specie for i in order], coords)
    moved.perturb(size)
    strain = np.eye(3) + size / 10 * rng.standard_normal((3, 3))
    return Structure(moved.lattice.matrix @ strain, moved.species, moved.frac_coords)


def operations(structure, symprec=1e-7):
    """Return how many operations without a translation hold about the origin."""
    numbers = [site.specie.Z for site in structure]
    found = spglib.get_symmetry((structure.lattice.matrix, structure.frac_coords, numbers), symprec=symprec)
    return sum(np.abs(t - np.round(t)).max() < 1e-6 for t in found["translations"])


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("seed", range(3))
def test_every_operation_holds_exactly_about_the_origin(name, seed):
    crystal, expected = CRYSTALS[name]
    start = disturbed(crystal, size=1e-3, seed=seed)
    assert operations(start) < expected
    assert operations(symmetrized(start)) == expected


def test_sites_keep_their_order_and_hardly_move():
    start = disturbed(ANTIPEROVSKITE, size=1e-3)
    moved = symmetrized(start)
    assert moved.species == start.species
    change = geometry_deviation(start, moved)
    assert change.rmsd < 5e-3
    assert abs(change.volume_change) < 2e-3
    assert change.bonds_changed == 0


def test_doing_it_twice_changes_nothing_more():
    once = symmetrized(disturbed(RUTILE, size=1e-3))
    twice = symmetrized(once)
    assert np.allclose(once.lattice.matrix, twice.lattice.matrix, atol=1e-9)
    assert geometry_deviation(once, twice).rmsd < 1e-9


def test_a_distortion_larger_than_the_tolerance_stays():
    polar = ANTIPEROVSKITE.copy()
    polar.translate_sites([0], [0, 0, 0.02])
    assert operations(symmetrized(polar)) == 8
    assert geometry_deviation(polar, symmetrized(polar)).rmsd < 1e-6


def test_a_crystal_without_symmetry_is_returned_as_it_is():
    rng = np.random.default_rng(1)
    crystal = Structure(Lattice.from_parameters(4, 5, 6, 80, 95, 100), ["Li", "O", "F"], rng.uniform(size=(3, 3)))
    assert symmetrized(crystal) is crystal
