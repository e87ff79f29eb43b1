"""x: validation, properties, what generation does with it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from genmat.errors import RepresentationError
from genmat.representation.conversion import from_structure
from genmat.representation.crystal import Crystal, Orbit, into_unit_interval

CUBIC = (5.64, 5.64, 5.64, 90.0, 90.0, 90.0)
TETRAGONAL = (4.59, 4.59, 2.96, 90.0, 90.0, 90.0)
ROCK_SALT = Crystal(225, (Orbit("Na", "a"), Orbit("Cl", "b")), CUBIC)
RUTILE = Crystal(136, (Orbit("Ti", "a"), Orbit("O", "f", (0.305,))), TETRAGONAL)


def test_primitive_and_conventional_counts_differ_by_the_centring():
    assert (ROCK_SALT.n_atoms, ROCK_SALT.n_atoms_conventional) == (2, 8)
    assert (RUTILE.n_atoms, RUTILE.n_atoms_conventional) == (6, 6)


def test_composition_is_that_of_the_primitive_cell():
    assert ROCK_SALT.composition.formula == "Na1 Cl1"
    assert RUTILE.composition.formula == "Ti2 O4"


def test_volume_is_that_of_the_primitive_cell():
    assert ROCK_SALT.volume == pytest.approx(5.64**3 / 4)


def test_degrees_of_freedom_count_free_coordinates():
    assert (ROCK_SALT.degrees_of_freedom, RUTILE.degrees_of_freedom) == (0, 1)


def test_dictionary_round_trip_is_exact():
    assert Crystal.from_dict(RUTILE.to_dict()) == RUTILE


def test_dictionary_has_the_documented_shape():
    assert ROCK_SALT.to_dict() == {"number": 225, "orbits": [["Na", "a", []], ["Cl", "b", []]], "lattice": list(CUBIC)}


def test_numpy_numbers_become_plain_ones():
    crystal = Crystal(np.int16(225), (Orbit("Cu", "a"),), np.array([3.6, 3.6, 3.6, 90, 90, 90], dtype=np.float32))
    assert json.dumps(crystal.to_dict())
    assert crystal == Crystal.from_dict(json.loads(json.dumps(crystal.to_dict())))


def test_dictionary_round_trip_of_every_prototype_is_exact(prototype):
    crystal = from_structure(prototype.structure)
    assert Crystal.from_dict(crystal.to_dict()) == crystal


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"number": 225, "orbits": [["Na", "a"]], "lattice": list(CUBIC)},
        {"number": "many", "orbits": [], "lattice": list(CUBIC)},
        {"number": 225, "orbits": [["Na", "a", []]], "lattice": None},
    ],
)
def test_dictionary_of_another_shape_is_refused(value):
    with pytest.raises(RepresentationError, match="a crystal needs number, orbits"):
        Crystal.from_dict(value)


def test_free_coordinates_are_reduced_to_the_unit_interval():
    assert Orbit("O", "f", (1.305,)).free == pytest.approx((0.305,))
    assert into_unit_interval(-1e-18) == 0.0
    assert 0.0 <= into_unit_interval(-0.2) < 1.0


@pytest.mark.parametrize(
    ("number", "orbits", "lattice", "complaint"),
    [
        (231, [("Na", "a", ())], CUBIC, "expected 1 to 230"),
        (225, [], CUBIC, "at least one orbit"),
        (225, [("Na", "z", ())], CUBIC, "no Wyckoff letter 'z'"),
        (225, [("Na", "a", (0.1,))], CUBIC, "has 1 free coordinates, expected 0"),
        (136, [("O", "f", ())], TETRAGONAL, "has 0 free coordinates, expected 1"),
        (225, [("Na", "a", ()), ("K", "a", ())], CUBIC, "holds one orbit only"),
        (225, [("Na", "a", ())], TETRAGONAL, "is not cubic, which space group 225"),
        (225, [("Na", "a", ())], (5.0, 5.0, 5.0), "expected a, b, c, alpha, beta, gamma"),
        (225, [("Na", "a", ())], (-5.0, -5.0, -5.0, 90.0, 90.0, 90.0), "must be positive"),
        (225, [("Na", "a", ())], (math.inf, 5.0, 5.0, 90.0, 90.0, 90.0), "not all finite"),
        (1, [("Na", "a", (0.0, 0.0, 0.0))], (5.0, 5.0, 5.0, 60.0, 60.0, 125.0), "span no cell"),
        (136, [("O", "f", (math.nan,))], TETRAGONAL, "not all finite"),
        (225, [("Xq", "a", ())], CUBIC, "'Xq' is no element"),
    ],
)
def test_invalid_crystal_is_refused_with_one_line(number, orbits, lattice, complaint):
    with pytest.raises(RepresentationError, match=complaint) as refusal:
        Crystal(number, tuple(Orbit(*orbit) for orbit in orbits), lattice)
    assert "\n" not in str(refusal.value)


def test_parts_get_the_constraints_of_the_crystal_system():
    crystal = Crystal.from_parts(225, [Orbit("Cu", "a")], (3.6, 3.61, 3.62, 90.1, 89.9, 90.0))
    assert crystal.lattice[0] == crystal.lattice[1] == crystal.lattice[2]
    assert crystal.volume == pytest.approx(3.6 * 3.61 * 3.62 / 4)


def test_replaced_elements_keep_their_sites():
    replaced = ROCK_SALT.replace_elements({"Na": "K"})
    assert replaced.orbits == (Orbit("K", "a"), Orbit("Cl", "b"))
    assert replaced.lattice == ROCK_SALT.lattice


def test_elements_can_be_exchanged():
    swapped = ROCK_SALT.replace_elements({"Na": "Cl", "Cl": "Na"})
    assert swapped.orbits == (Orbit("Cl", "a"), Orbit("Na", "b"))


def test_replacing_by_no_element_is_refused():
    with pytest.raises(RepresentationError, match="'Nx' is no element"):
        ROCK_SALT.replace_elements({"Na": "Nx"})


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.3])
def test_scaling_changes_the_volume_by_the_factor(factor):
    assert RUTILE.scale_volume(factor).volume == pytest.approx(RUTILE.volume * factor)


@pytest.mark.parametrize("factor", [0.0, -1.0, math.nan, math.inf])
def test_impossible_volume_factor_is_refused(factor):
    with pytest.raises(RepresentationError, match="must be positive and finite"):
        RUTILE.scale_volume(factor)
