"""Deviations by class of chemistry."""

from __future__ import annotations

import pytest

from genmat.validation.summary import Deviation, chemistry_class, summarise


@pytest.mark.parametrize(
    ("elements", "name"),
    [
        (("Ca", "O"), "oxides"),
        (("K", "Mg", "F"), "halides"),
        (("Cl", "F", "Na"), "halides"),
        (("Li", "S"), "chalcogenides"),
        (("Ga", "N"), "pnictides"),
        (("H", "Li"), "hydrides"),
        (("H", "Li", "S"), "mixed anions"),
        (("Al", "Li"), "without anions"),
    ],
)
def test_a_compound_has_the_class_of_its_anions(elements, name):
    assert chemistry_class(elements) == name


def test_means_are_those_of_what_is_known():
    oxides = [
        Deviation(("Li", "O"), residual=r, bonds_changed=b, force_slope=f, stress_slope=s, kept=k)
        for r, b, f, s, k in (
            (0.02, 0.5, 0.9, 0.7, True),
            (-0.04, 0.0, 0.8, None, False),
            (-0.01, None, 0.1, None, False),
        )
    ]
    (row,) = summarise(oxides)
    assert (row.name, row.number, row.kept) == ("oxides", 3, 1)
    assert row.residual == pytest.approx(-0.01)
    assert row.absolute_residual == pytest.approx(0.07 / 3)
    assert (row.bonds_changed, row.force_slope, row.stress_slope) == (0.25, 0.8, 0.7)
    assert row.force_mae is None


def test_several_classes_come_by_size_with_all_of_them_last():
    rows = summarise([Deviation(("Li", "F")), Deviation(("Na", "O")), Deviation(("K", "O"))])
    assert [(row.name, row.number) for row in rows] == [("oxides", 2), ("halides", 1), ("all", 3)]


def test_nothing_computed_has_no_rows():
    assert summarise([]) == []


def test_values_of_a_verdict_become_a_deviation():
    values = {
        "energy_above_hull_residual": 0.03,
        "space_group_kept": "yes",
        "bonds_changed_from_start": 0.5,
        "potential_force_slope": 0.9,
        "potential_stress_slope": 0.8,
        "engine": "gpaw",
    }
    found = Deviation.from_values(("Li", "O"), values)
    told = {"bonds_changed": 0.5, "force_slope": 0.9, "stress_slope": 0.8}
    assert found == Deviation(("Li", "O"), residual=0.03, kept=True, **told)
