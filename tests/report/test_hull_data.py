from __future__ import annotations

import pytest

from genmat.report.hull_data import NEAR_HULL, chosen_systems, hull_system
from genmat.report.hull_figures import hull_figure, stable


def test_systems_of_the_best_come_once_and_in_their_order(report):
    systems = chosen_systems(report.accepted, limit=3)
    assert systems == [("Ca", "F", "K"), ("Mg", "O", "Ti"), ("F", "Li", "Sr")]


def test_first_references_are_the_elements(hull):
    system = hull_system(hull, ("Mg", "O", "Ti"), [])
    assert [point.fractions for point in system.references[:3]] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]


def test_references_lie_near_the_hull_and_their_vertices_on_it(hull):
    system = hull_system(hull, ("Mg", "O", "Ti"), [])
    assert all(0 <= point.energy_above_hull <= NEAR_HULL for point in system.references)
    named = {point.formula for point in stable(system.references)}
    assert {"MgO", "TiO2", "Mg", "Ti"} <= named


def test_ties_of_two_elements_are_the_segments_of_the_hull(hull):
    system = hull_system(hull, ("Cl", "K"), [])
    joined = {frozenset((system.references[i].formula, system.references[j].formula)) for i, j in system.ties}
    assert joined == {frozenset({"Cl2", "KCl3"}), frozenset({"KCl3", "KCl"}), frozenset({"KCl", "K"})} or joined == {
        frozenset({"Cl2", "KCl"}),
        frozenset({"KCl", "K"}),
    }


def test_candidates_decompose_into_phases_whose_shares_sum_to_one(report):
    for system in report.systems:
        assert system.candidates
        for item in system.decompositions:
            assert sum(share for _, _, share in item.phases) == pytest.approx(1.0)


def test_two_and_three_elements_have_a_diagram_and_four_have_a_table(report):
    drawn = {len(system.elements): hull_figure(system) is not None for system in report.systems}
    assert drawn == {2: True, 3: True, 4: False}


def test_candidates_are_marked_in_the_diagram(report):
    figure = hull_figure(report.systems[0])
    assert figure is not None
    names = [trace.get("name") for trace in figure["data"]]
    assert "candidates (rank)" in names
