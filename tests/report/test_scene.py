from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from genmat.report.picture import View, element_colour, svg, turnable
from genmat.report.scene import scene


@pytest.fixture
def salt() -> Structure:
    cell = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return cell.get_primitive_structure()


def test_scene_shows_the_conventional_cell_with_atoms_on_all_faces(salt):
    shown = scene(salt)
    assert shown.symbols.count("Na") == 14
    assert shown.symbols.count("Cl") == 13
    assert shown.lattice[0] == pytest.approx(5.64)


def test_bonds_of_rocksalt_join_unlike_atoms_at_half_the_edge(salt):
    shown = scene(salt)
    assert len(shown.bonds) == 54
    for i, j in shown.bonds:
        assert {shown.symbols[i], shown.symbols[j]} == {"Na", "Cl"}
        assert np.linalg.norm(shown.positions[i] - shown.positions[j]) == pytest.approx(2.82)


def test_metals_are_bonded_where_there_is_nothing_else():
    copper = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.61), ["Cu"], [[0, 0, 0]])
    assert scene(copper).bonds


def test_edges_are_the_twelve_of_the_cell(salt):
    edges = scene(salt).edges
    assert edges.shape == (12, 2, 3)
    np.testing.assert_allclose(np.linalg.norm(edges[:, 1] - edges[:, 0], axis=1), 5.64)
    assert len({tuple(np.round(end, 6)) for edge in edges for end in edge}) == 8


def test_atoms_stay_in_the_picture(salt):
    shown = scene(salt)
    view = View.of(shown)
    for point, radius in zip(shown.positions @ view.rotation, shown.radii * view.scale, strict=True):
        x, y = view.place(point)
        assert radius <= x <= view.size[0] - radius
        assert radius <= y <= view.size[1] - radius


def test_view_is_a_rotation(salt):
    rotation = View.of(scene(salt)).rotation
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)


def test_picture_draws_every_atom_and_escapes_its_title(salt):
    text = svg(scene(salt), title='"><script>', identifier="a")
    assert text.count('class="atom"') == 27
    assert "<script>" not in text


def test_numbers_for_turning_belong_to_the_same_atoms(salt):
    shown, numbers = scene(salt), turnable(scene(salt))
    assert numbers["symbols"] == list(shown.symbols)
    assert set(numbers["colours"]) == {"Na", "Cl"}


def test_colours_are_those_of_jmol():
    assert element_colour("O") == "#ff0d0d"
