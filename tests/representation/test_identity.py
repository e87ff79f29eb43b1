"""Content ids: one crystal, one id."""

from __future__ import annotations

import pytest
from pymatgen.core.structure import Structure

from genmat.ids import ID_LENGTH
from genmat.representation.conversion import from_structure, to_structure
from genmat.representation.crystal import Crystal, Orbit
from genmat.representation.identity import LENGTH_STEP, content_id


def identify(structure):
    return content_id(from_structure(structure))


@pytest.mark.parametrize("seed", range(5))
def test_id_does_not_depend_on_cell_origin_orientation_or_order(prototype, redescribe, seed):
    assert identify(redescribe(prototype.structure, seed)) == identify(prototype.structure)


def test_id_survives_a_supercell(prototype):
    assert identify(prototype.structure.make_supercell([2, 1, 1], in_place=False)) == identify(prototype.structure)


def test_id_survives_the_round_trip(prototype):
    crystal = from_structure(prototype.structure)
    assert identify(to_structure(crystal, primitive=False)) == content_id(crystal)


def test_id_survives_noise(prototype):
    noisy = prototype.structure.copy()
    noisy.perturb(1e-5, seed=3)
    assert identify(noisy) == identify(prototype.structure)


def test_almost_every_real_crystal_keeps_its_id_under_noise(real_structures, redescribe):
    changed = 0
    for seed, structure in enumerate(real_structures[::3]):
        symmetric = to_structure(from_structure(structure))
        noisy = redescribe(symmetric, seed)
        noisy.perturb(1e-5, seed=3)
        changed += identify(noisy) != identify(symmetric)
    assert changed <= 0.01 * len(real_structures)


@pytest.mark.parametrize("length", [4.0, 4.01, 4.005, 4.0025, 5.64])
def test_lengths_of_few_decimals_lie_on_no_boundary(length):
    rock_salt = Crystal(225, (Orbit("Na", "a"), Orbit("Cl", "b")), (length, length, length, 90.0, 90.0, 90.0))
    for factor in (1.0, 1 - 1e-7, 1 + 1e-7):
        scaled = rock_salt.scale_volume(factor)
        assert content_id(scaled) == content_id(rock_salt)
        assert identify(to_structure(scaled, primitive=False)) == content_id(rock_salt)


def test_mirror_images_share_an_id(prototypes):
    left, right = (identify(prototypes[name].structure) for name in ("left quartz", "right quartz"))
    assert left == right


def test_other_elements_have_another_id(prototype):
    crystal = from_structure(prototype.structure)
    first = crystal.orbits[0].element
    assert content_id(crystal.replace_elements({first: "Xe"})) != content_id(crystal)


def test_lengths_that_differ_by_more_than_two_steps_have_another_id(prototype):
    crystal = from_structure(prototype.structure)
    scale = (1 + 2 * LENGTH_STEP / (crystal.volume / crystal.n_atoms) ** (1 / 3)) ** 3
    assert content_id(crystal.scale_volume(scale)) != content_id(crystal)


def test_other_free_coordinates_have_another_id(prototypes):
    structure = prototypes["rutile"].structure
    moved = Structure.from_spacegroup("P4_2/mnm", structure.lattice, ["Ti", "O"], [[0, 0, 0], [0.33, 0.33, 0]])
    assert identify(moved) != identify(structure)


def test_id_is_short_hexadecimal_text(prototype):
    identifier = identify(prototype.structure)
    assert len(identifier) == ID_LENGTH
    assert int(identifier, 16) >= 0
