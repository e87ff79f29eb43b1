"""The shortcut for cubic crystals gives what the plain search gives."""

from __future__ import annotations

import numpy as np
import pytest

from genmat.errors import RepresentationError
from genmat.representation.conversion import from_structure, to_arrays
from genmat.representation.crystal import Crystal, Orbit
from genmat.representation.gene import gene
from genmat.representation.identity import content_id
from genmat.representation.symmetry import _is_metrically_cubic, _search, _search_m3m, standardize
from genmat.representation.wyckoff import space_group

WITHOUT_SHORTCUT = 0.5
"""An angle tolerance (degrees) of one's own leaves the search to spglib."""


def test_shortcut_finds_what_the_plain_search_finds(prototype):
    shortcut = from_structure(prototype.structure)
    plain = from_structure(prototype.structure, angle_tolerance=WITHOUT_SHORTCUT)
    assert (shortcut.number, gene(shortcut), content_id(shortcut)) == (plain.number, gene(plain), content_id(plain))
    assert shortcut.lattice == pytest.approx(plain.lattice, rel=1e-9)


@pytest.mark.parametrize("number", range(221, 231))
def test_shortcut_knows_every_group_of_the_holohedry(number):
    generator = np.random.default_rng(number)
    letters = list(space_group(number).positions)
    orbits = [Orbit(e, letters[-1], tuple(generator.random(3))) for e in ("Li", "O")]
    crystal = Crystal(number, tuple(orbits), (15.3, 15.3, 15.3, 90.0, 90.0, 90.0))
    lattice, symbols, points = to_arrays(crystal)
    kinds = [0 if symbol == "Li" else 1 for symbol in symbols]
    found = _search_m3m(lattice, points, kinds, 1e-3)
    assert found.group.number == number
    assert len(found.points) == crystal.n_atoms_conventional
    assert _search(lattice, points, kinds, 1e-3, -1.0).group.number == number


def test_cubic_lattices_are_recognised_in_any_cell(prototype, redescribe):
    cubic = space_group(prototype.number).crystal_system == "cubic"
    for seed in range(3):
        primitive = redescribe(prototype.structure.get_primitive_structure(), seed)
        assert _is_metrically_cubic(primitive.lattice.matrix) == cubic


def test_cubic_lattice_with_lower_symmetry_is_left_to_the_plain_search():
    lattice, points = np.eye(3) * 5.0, np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.45]])
    assert _search_m3m(lattice, points, [0, 1], 0.005) is None
    assert standardize(lattice, points, [0, 1], symprec=0.01, angle_tolerance=-1.0).group.number == 99


def test_distortion_within_the_tolerance_but_near_it_is_decided_by_the_plain_search():
    lattice, points = np.eye(3) * 5.0, np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5 + 0.0015]])
    assert _search_m3m(lattice, points, [0, 1], 0.005) is None
    plain = _search(lattice, points, [0, 1], 0.01, -1.0).group.number
    assert standardize(lattice, points, [0, 1], symprec=0.01, angle_tolerance=-1.0).group.number == plain


def test_degenerate_cell_is_refused():
    flat = np.array([[4.0, 0.0, 0.0], [4.0, 0.0, 0.0], [0.0, 0.0, 4.0]])
    with pytest.raises(RepresentationError, match="finds no symmetry"):
        standardize(flat, np.zeros((1, 3)), [0], symprec=0.01, angle_tolerance=-1.0)
