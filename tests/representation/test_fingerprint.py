"""Average minimum distances are invariants of the crystal."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.errors import RepresentationError
from genmat.representation.fingerprint import average_minimum_distances, neighbour_distances

EXACT = 1e-9


def test_simple_cubic_shells_are_those_of_the_lattice():
    distances = average_minimum_distances(Structure(Lattice.cubic(3.0), ["Po"], [[0, 0, 0]]), k=26)
    expected = [3.0] * 6 + [3.0 * math.sqrt(2)] * 12 + [3.0 * math.sqrt(3)] * 8
    assert distances == pytest.approx(expected, abs=EXACT)


def test_distances_agree_with_a_neighbour_search(prototype):
    structure = prototype.structure
    distances = neighbour_distances(structure.lattice.matrix, structure.frac_coords, k=40)
    neighbours = structure.get_all_neighbors(float(distances.max()) + 0.1)
    expected = [sorted(n.nn_distance for n in shell)[:40] for shell in neighbours]
    assert np.allclose(distances, expected, atol=1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_fingerprint_does_not_depend_on_cell_origin_orientation_or_order(prototype, redescribe, seed):
    redescribed = redescribe(prototype.structure, seed)
    difference = average_minimum_distances(redescribed) - average_minimum_distances(prototype.structure)
    assert np.abs(difference).max() < EXACT


def test_fingerprint_does_not_depend_on_the_supercell(prototype):
    supercell = prototype.structure.make_supercell([[1, 1, 0], [0, 2, 0], [0, 1, 1]], in_place=False)
    difference = average_minimum_distances(supercell) - average_minimum_distances(prototype.structure)
    assert np.abs(difference).max() < EXACT


def test_fingerprint_of_a_mirror_image_is_equal(prototype):
    structure = prototype.structure
    mirrored = Structure(structure.lattice.matrix @ np.diag([1, 1, -1]), structure.species, structure.frac_coords)
    assert np.allclose(average_minimum_distances(mirrored), average_minimum_distances(structure), atol=EXACT)


def test_fingerprint_ignores_the_elements(prototypes):
    structure = prototypes["rock salt"].structure.copy()
    before = average_minimum_distances(structure)
    structure.replace_species({"Na": "K"})
    assert average_minimum_distances(structure).tolist() == before.tolist()


def test_very_skew_cell_gives_the_same_fingerprint():
    lattice = np.diag([3.1, 3.7, 4.3])
    skew = np.array([[1, 0, 0], [7, 1, 0], [-9, 11, 1]]) @ lattice
    straight = neighbour_distances(lattice, np.zeros((1, 3)))
    assert np.allclose(neighbour_distances(skew, np.zeros((1, 3))), straight, atol=EXACT)


def test_flat_and_long_cells_find_their_neighbours():
    for lengths in ((2.0, 2.0, 40.0), (2.0, 40.0, 40.0)):
        distances = average_minimum_distances(Structure(Lattice.orthorhombic(*lengths), ["H"], [[0.3, 0.2, 0.9]]), k=60)
        assert distances[0] == pytest.approx(2.0)
        assert (np.diff(distances) >= -EXACT).all()


@pytest.mark.parametrize("shift", [1e-4, 1e-2])
def test_fingerprint_moves_by_at_most_twice_the_displacement(prototype, shift):
    moved = prototype.structure.copy()
    moved.perturb(shift, seed=3)
    difference = average_minimum_distances(moved) - average_minimum_distances(prototype.structure)
    assert np.abs(difference).max() <= 2 * shift + EXACT


def test_fingerprint_is_ascending_and_has_the_length_asked_for(prototype):
    for k in (1, 12, 100):
        distances = average_minimum_distances(prototype.structure, k=k)
        assert distances.shape == (k,)
        assert (np.diff(distances) >= -EXACT).all()


def test_fingerprint_of_real_crystals_does_not_depend_on_their_description(real_structures, redescribe):
    for seed, structure in enumerate(real_structures[::5]):
        difference = average_minimum_distances(redescribe(structure, seed)) - average_minimum_distances(structure)
        assert np.abs(difference).max() < EXACT


@pytest.mark.parametrize(
    ("lattice", "points", "k"),
    [(np.eye(3), np.zeros((0, 3)), 5), (np.zeros((3, 3)), np.zeros((1, 3)), 5), (np.eye(3), np.zeros((1, 3)), 0)],
    ids=["no atoms", "no volume", "no neighbours"],
)
def test_impossible_input_is_refused(lattice, points, k):
    with pytest.raises(RepresentationError, match="neighbour distances need"):
        neighbour_distances(lattice, points, k=k)
