from __future__ import annotations

import pytest

from genmat.campaign import Campaign
from genmat.energy import EnergyScale
from genmat.report import words
from genmat.validation.calibration import Calibration, GeometryBounds


def test_formula_gets_subscripts():
    assert words.formula_html("Ca(OH)2") == "Ca(OH)<sub>2</sub>"


def test_formula_is_escaped():
    assert "<img" not in words.formula_html("<img src=x>Na2")


def test_space_group_gets_bar_and_subscript():
    assert '<span class="bar">3</span>' in words.space_group_html(225)
    assert "<sub>2</sub>" in words.space_group_html(136)


def test_monoclinic_symbols_are_short():
    assert [words.space_group_symbol(number) for number in (5, 14, 15)] == ["C2", "P2_1/c", "C2/c"]


def test_every_space_group_has_a_symbol():
    assert len({words.space_group_symbol(number) for number in range(1, 231)}) == 230


@pytest.mark.parametrize(("value", "text"), [(-0.0001, "0.000"), (-1.5, "−1.500"), (None, "–"), (0.05, "0.050")])
def test_numbers_have_a_true_minus_and_no_negative_zero(value, text):
    assert words.number(value, 3) == text


def test_small_percentages_keep_a_digit():
    assert (words.percent(0.053), words.percent(0.53), words.percent(0.0)) == (
        "5.3\N{NO-BREAK SPACE}%",
        "53\N{NO-BREAK SPACE}%",
        "0\N{NO-BREAK SPACE}%",
    )


def test_lattice_names_only_distinct_lengths_and_oblique_angles():
    assert words.lattice_words((5.64, 5.64, 5.64, 90, 90, 90)) == "a = 5.64 Å"
    assert words.lattice_words((3, 3, 5, 90, 90, 120)) == "a = 3.00, c = 5.00 Å, γ = 120.0°"


def test_target_is_told_in_words(campaign):
    told = dict(words.target_words(campaign))
    assert "Energy above hull at most 0.06 eV/atom (weight 2)" in told["Properties"]
    assert "Bulk modulus at least 40 GPa, as high as possible" in told["Properties"]
    assert told["Crystal systems"] == "cubic, orthorhombic, tetragonal"


def test_target_of_one_composition_names_no_elements():
    made = Campaign.from_dict({"name": "a", "target": {"chemistry": {"composition": "LiFePO4"}}}, source="test")
    told = dict(words.target_words(made))
    assert told["Composition"] == "LiFePO4"
    assert "Elements" not in told


def test_space_groups_of_the_target_are_told_by_symbol_and_number():
    made = Campaign.from_dict({"name": "a", "target": {"symmetry": {"space_groups": [225]}}}, source="test")
    assert dict(words.target_words(made))["Space groups"] == "Fm-3m (225)"


def test_why_a_candidate_passed_gives_distance_tolerance_and_novelty(report):
    text = words.why_words(report.accepted[1], tolerance=0.06)
    assert text.startswith("0.011 eV/atom above the hull (at most τ = 0.06 eV/atom above)")
    assert "none of 3 known crystals" in text
    assert "g/cm³" in text


@pytest.mark.parametrize(
    ("number", "bounds", "expected"),
    [
        (2, None, "2 residuals of gpaw: with 3, later rounds know which candidates are near the tolerance."),
        (
            9,
            GeometryBounds(12, 0.031, 0.0421),
            (
                "9 residuals of gpaw, median +0.024 eV/atom, by which later rounds find those near the tolerance. "
                "τ 0.080 eV/atom would keep nine in ten that are confirmed; it was 0.05. In nine of ten cases a volume "
                "changes by at most 3.1\N{NO-BREAK SPACE}% and atoms move by at most 0.042 Å (12 crystals of all "
                "campaigns with this potential)."
            ),
        ),
    ],
)
def test_what_a_campaign_learned_about_its_potential_is_told_as_far_as_it_is_known(number, bounds, expected):
    known = Calibration(EnergyScale("gpaw", "PBE", "none", "", "none"), tuple(0.02 + 0.001 * k for k in range(number)))
    assert words.learned_words(known, bounds, confirmed=0.1, tolerance=0.05) == expected
