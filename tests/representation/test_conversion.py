"""χ → x → χ is exact."""

from __future__ import annotations

import numpy as np
import pytest
import spglib
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.errors import RepresentationError
from genmat.representation.conversion import from_arrays, from_structure, to_arrays, to_structure
from genmat.representation.crystal import Crystal, Orbit
from genmat.representation.lattice import constrain
from genmat.representation.wyckoff import space_group

SYMPREC = 0.01


def spglib_number(structure, symprec=SYMPREC):
    cell = (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
    return spglib.get_symmetry_dataset(cell, symprec=symprec).number


def test_prototype_has_the_space_group_of_the_textbook(prototype):
    assert from_structure(prototype.structure).number == prototype.number


def test_prototype_comes_back_equal_in_the_same_space_group(prototype):
    rebuilt = to_structure(from_structure(prototype.structure))
    assert spglib_number(rebuilt) == prototype.number
    assert StructureMatcher().fit(prototype.structure, rebuilt)


def test_rebuilt_prototype_is_symmetric_to_machine_precision(prototype):
    assert spglib_number(to_structure(from_structure(prototype.structure)), symprec=1e-7) == prototype.number


def test_rebuilt_prototype_has_the_same_distances(prototype):
    rebuilt = to_structure(from_structure(prototype.structure), primitive=True)
    original = prototype.structure.get_primitive_structure()
    ours, theirs = (np.sort(s.distance_matrix[np.triu_indices(len(s), 1)]) for s in (rebuilt, original))
    assert np.allclose(ours, theirs, atol=5e-3)


def test_second_round_trip_changes_nothing(prototype):
    once = from_structure(prototype.structure)
    twice = from_structure(to_structure(once))
    assert twice.number == once.number
    assert [(o.element, len(o.free)) for o in twice.orbits] == [(o.element, len(o.free)) for o in once.orbits]
    assert twice.volume == pytest.approx(once.volume, rel=1e-9)


def test_conventional_and_primitive_cell_are_the_same_crystal(prototype):
    crystal = from_structure(prototype.structure)
    conventional = to_structure(crystal, primitive=False)
    assert len(conventional) == crystal.n_atoms_conventional
    assert len(to_structure(crystal)) == crystal.n_atoms
    assert from_structure(conventional).n_atoms == crystal.n_atoms


def test_supercell_gives_the_same_primitive_crystal(prototype):
    supercell = prototype.structure.make_supercell([2, 1, 1], in_place=False)
    crystal = from_structure(supercell)
    assert (crystal.number, crystal.composition) == (prototype.number, from_structure(prototype.structure).composition)


def test_real_crystals_come_back_equal_in_the_same_space_group(real_structures):
    matcher = StructureMatcher()
    failures = []
    for structure in real_structures[::2]:
        crystal = from_structure(structure)
        rebuilt = to_structure(crystal)
        if spglib_number(rebuilt) != spglib_number(structure) or not matcher.fit(structure, rebuilt):
            failures.append(structure.formula)
    assert len(failures) <= 1


@pytest.mark.parametrize("number", range(1, 231))
def test_random_crystal_of_every_group_comes_back(number):
    """Fill the general position and the most special one; the letters may come back relabelled."""
    generator = np.random.default_rng(number)
    letters = list(space_group(number).positions)
    special = space_group(number).positions[letters[0]]
    orbits = [Orbit(e, letters[-1], tuple(generator.random(3))) for e in ("Li", "O", "F")]
    orbits.append(Orbit("Cs", letters[0], tuple(generator.random(special.dof))))
    lattice = constrain(number, (17.1, 18.3, 19.9, 81.0, 97.0, 103.0))
    crystal = Crystal(number, tuple(orbits), lattice)
    back = from_arrays(*to_arrays(crystal), symprec=1e-4)
    assert back.number == number
    assert back.element_counts == crystal.element_counts
    assert back.volume == pytest.approx(crystal.volume, rel=1e-6)


def test_atoms_on_one_point_are_kept_by_multiplicity():
    crystal = Crystal(221, (Orbit("O", "e", (0.0,)),), (4.0, 4.0, 4.0, 90.0, 90.0, 90.0))
    assert len(to_structure(crystal)) == 6


def test_coordinates_lie_in_the_unit_interval(prototype):
    _, _, points = to_arrays(from_structure(prototype.structure))
    assert (points >= 0.0).all()
    assert (points < 1.0).all()


def test_oxidation_states_are_dropped(prototypes):
    decorated = prototypes["rock salt"].structure.copy()
    decorated.add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    assert from_structure(decorated) == from_structure(prototypes["rock salt"].structure)


def test_noise_below_symprec_is_removed(prototypes):
    noisy = prototypes["rutile"].structure.copy()
    noisy.perturb(1e-4, seed=3)
    crystal = from_structure(noisy)
    assert crystal.number == 136
    assert spglib_number(to_structure(crystal), symprec=1e-7) == 136


@pytest.mark.parametrize(
    ("structure", "complaint"),
    [
        (Structure(Lattice.cubic(3), [{"Fe": 0.5, "Ni": 0.5}], [[0, 0, 0]]), "disordered"),
        (Structure(Lattice.cubic(3), [{"Fe": 0.5}], [[0, 0, 0]]), "disordered"),
        (Structure(Lattice.cubic(3), ["X"], [[0, 0, 0]]), "no element"),
        (Structure(Lattice.cubic(3), [], []), "no atoms"),
        (Structure(Lattice.cubic(3), ["Fe"], [[0, 0, np.nan]]), "not finite"),
        (Structure(Lattice.cubic(3), ["Fe", "Fe"], [[0, 0, 0], [0, 0, 0]]), "atoms may coincide"),
    ],
    ids=["mixed site", "vacancies", "dummy", "empty", "not a number", "coinciding"],
)
def test_structure_without_x_is_refused(structure, complaint):
    with pytest.raises(RepresentationError, match=complaint):
        from_structure(structure)
