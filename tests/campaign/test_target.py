"""Whether a candidate is what was asked for."""

from __future__ import annotations

import math

import pytest
from pymatgen.core import Composition
from pymatgen.symmetry.groups import SpaceGroup, sg_symbol_from_int_number

from genmat.campaign import CrystalSystem, PropertyName, PropertyTarget, Symmetry, Target
from genmat.campaign.symmetry import SPACE_GROUPS_OF, check_space_group, crystal_system


def target(**parts: object) -> Target:
    return Target.model_validate(parts)


def test_candidate_may_hold_some_of_the_allowed_elements() -> None:
    wanted = target(chemistry={"elements": ["Li", "Fe", "O", "S"], "excluded": ["S"], "required": ["O"]})
    assert wanted.allows_elements(["Li", "O"])
    assert not wanted.allows_elements(["Li", "Fe"])
    assert not wanted.allows_elements(["Li", "O", "S"])
    assert not wanted.allows_elements(["Na", "O"])


def test_number_of_elements_counts() -> None:
    wanted = target(chemistry={"n_elements": {"min": 2, "max": 3}})
    assert [wanted.allows_elements(["Li", "Fe", "P", "O"][:n]) for n in (1, 2, 3, 4)] == [False, True, True, False]


def test_chemical_system_means_all_of_its_elements() -> None:
    wanted = target(chemistry={"chemical_system": "Li-Fe-O"})
    assert wanted.allows_composition(Composition("LiFeO2"))
    assert not wanted.allows_composition(Composition("Li2O"))
    assert wanted.chemistry.allowed == {"Li", "Fe", "O"}


def test_composition_means_its_multiples_whatever_the_oxidation_states() -> None:
    wanted = target(chemistry={"composition": "LiFeO2"})
    assert wanted.allows_composition(Composition("Li4Fe4O8"))
    assert wanted.allows_composition(Composition({"Li+": 1, "Fe3+": 1, "O2-": 2}))
    assert not wanted.allows_composition(Composition("Li2FeO3"))
    assert wanted.chemistry.formula_size == 4


def test_peroxide_keeps_its_composition() -> None:
    wanted = target(chemistry={"composition": "LiO"})
    assert wanted.allows_composition(Composition("Li2O2"))
    assert Target.model_validate(wanted.model_dump()) == wanted


def test_number_of_atoms_includes_both_ends() -> None:
    wanted = target(n_atoms={"min": 4, "max": 12})
    assert [wanted.allows_n_atoms(n) for n in (3, 4, 12, 13)] == [False, True, True, False]


def test_space_groups_are_allowed_by_number_symbol_or_system() -> None:
    assert target(symmetry={"space_groups": ["P 1 2_1/c 1", "R-3m"]}).symmetry.allowed == {14, 166}
    cubic = target(symmetry={"crystal_systems": ["cubic"]})
    assert cubic.allows_space_group(225)
    assert not cubic.allows_space_group(194)
    assert target().symmetry.allowed == set(range(1, 231))


def test_crystal_systems_agree_with_pymatgen() -> None:
    for number in [end for numbers in SPACE_GROUPS_OF.values() for end in (numbers[0], numbers[-1])]:
        assert crystal_system(number).value == SpaceGroup.from_int_number(number).crystal_system


def test_every_short_symbol_is_read() -> None:
    for number in range(1, 231):
        assert check_space_group(sg_symbol_from_int_number(number, hexagonal=False)) == number


def test_all_seven_crystal_systems_hold_all_space_groups() -> None:
    assert Symmetry(crystal_systems=tuple(CrystalSystem)).allowed == Symmetry().allowed


def test_values_in_range_are_on_target() -> None:
    wanted = target(
        properties=[{"name": "density", "min": 2, "max": 6}, {"name": "bulk_modulus", "direction": "maximize"}]
    )
    assert wanted.check_values({PropertyName.DENSITY: 6.0}) == []
    assert wanted.needed_properties == {PropertyName.DENSITY, PropertyName.BULK_MODULUS}


def test_violation_names_property_value_and_range() -> None:
    wanted = target(properties=[{"name": "density", "max": 6}])
    (violation,) = wanted.check_values({PropertyName.DENSITY: 7.125})
    assert violation.name is PropertyName.DENSITY
    assert str(violation) == "density 7.125 g/cm^3 (asked: at most 6)"


@pytest.mark.parametrize("values", [{}, {PropertyName.DENSITY: math.nan}])
def test_value_that_is_absent_is_off_target(values: dict[PropertyName, float]) -> None:
    (violation,) = target(properties=[{"name": "density", "max": 6}]).check_values(values)
    assert str(violation) == "density has no value (asked: at most 6)"


@pytest.mark.parametrize("unit", ["Å^3/atom", "Å³/atom", "A^3/atom", "angstrom^3/atom", "\u212b3/atom", None])
def test_spellings_of_the_right_unit_are_equal(unit: str | None) -> None:
    assert PropertyTarget.model_validate({"name": "volume_per_atom", "unit": unit, "max": 20}).unit == "Å^3/atom"


def test_merit_is_one_half_at_the_end_of_a_range() -> None:
    one_sided = PropertyTarget(name=PropertyName.DENSITY, max=6.0)
    two_sided = PropertyTarget(name=PropertyName.DENSITY, min=2.0, max=6.0)
    assert one_sided.merit(6.0) == pytest.approx(0.5)
    assert two_sided.merit(2.0) == pytest.approx(0.5)
    assert two_sided.merit(6.0) == pytest.approx(0.5)
    assert two_sided.merit(4.0) == 1.0


@pytest.mark.parametrize(
    ("wish", "better", "worse"),
    [
        ({"direction": "minimize"}, 3.0, 4.0),
        ({"direction": "maximize"}, 4.0, 3.0),
        ({"max": 6}, 3.0, 4.0),
        ({"min": 2}, 4.0, 3.0),
        ({"min": 2, "max": 6, "direction": "minimize"}, 2.5, 4.0),
        ({"min": 2, "max": 6, "direction": "maximize"}, 5.5, 4.0),
        ({"min": 2, "max": 6}, 4.0, 5.5),
    ],
)
def test_merit_grows_towards_what_is_asked_for(wish: dict[str, object], better: float, worse: float) -> None:
    item = PropertyTarget.model_validate({"name": "density", **wish})
    assert item.merit(better) > item.merit(worse)


@pytest.mark.parametrize("value", [-1e300, -5.0, 0.0, 5.0, 1e300, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize(
    "wish", [{"direction": "minimize"}, {"direction": "maximize"}, {"min": 0, "max": 0}, {"max": 1}]
)
def test_merit_lies_between_zero_and_one(wish: dict[str, object], value: float) -> None:
    assert 0.0 <= PropertyTarget.model_validate({"name": "density", **wish}).merit(value) <= 1.0


def test_merit_of_a_target_is_the_weighted_mean() -> None:
    wanted = target(
        properties=[{"name": "density", "max": 6, "weight": 3}, {"name": "bulk_modulus", "min": 100, "weight": 1}]
    )
    values = {PropertyName.DENSITY: 6.0, PropertyName.BULK_MODULUS: 1e6}
    assert wanted.merit(values) == pytest.approx((3 * 0.5 + 1 * 1.0) / 4)
    assert wanted.merit({PropertyName.DENSITY: 6.0}) == pytest.approx(3 * 0.5 / 4)
