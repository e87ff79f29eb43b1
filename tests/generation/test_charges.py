import pytest

from genmat.generation.charges import electronegativity, is_charge_balanced, is_ionic, oxidation_states


@pytest.mark.parametrize(
    "formula", [{"Na": 1, "Cl": 1}, {"Ti": 1, "O": 2}, {"Ba": 1, "Ti": 1, "O": 3}, {"Fe": 3, "O": 4}]
)
def test_real_salts_are_balanced(formula: dict[str, int]) -> None:
    assert is_charge_balanced(tuple(formula.items()))


@pytest.mark.parametrize(
    "formula", [{"Na": 2, "Cl": 1}, {"Mg": 1, "F": 3}, {"Ca": 1, "O": 2, "Na": 1}, {"K": 1, "Ar": 1}]
)
def test_impossible_salts_are_not(formula: dict[str, int]) -> None:
    assert not is_charge_balanced(tuple(formula.items()))


def test_a_cation_is_less_electronegative_than_an_anion() -> None:
    # I+ F− is balanced; I− F+ would need fluorine as a cation.
    assert is_charge_balanced((("I", 1), ("F", 1)))
    assert not is_charge_balanced((("Na", 1), ("K", 1)))


def test_order_and_formula_units_do_not_matter() -> None:
    assert is_charge_balanced((("O", 8), ("Fe", 6))) == is_charge_balanced((("Fe", 3), ("O", 4)))


def test_only_listed_metals_mix_their_valence() -> None:
    assert is_charge_balanced((("U", 3), ("O", 8)))
    assert not is_charge_balanced((("Zn", 3), ("O", 4)))


@pytest.mark.parametrize("symbols", [["Fe"], ["Ni", "Al"], ["La", "Ru", "Si"], ["Mg", "B"], ["O"]])
def test_elements_alloys_and_intermetallics_are_exempt(symbols: list[str]) -> None:
    assert not is_ionic(symbols)


@pytest.mark.parametrize("symbols", [["Na", "Cl"], ["Fe", "C"], ["Si", "N"], ["Te", "As"], ["Ti", "P"]])
def test_compounds_of_non_metals_and_of_metalloids_alone_are_ionic(symbols: list[str]) -> None:
    assert is_ionic(symbols)


def test_states_carry_their_sign_and_no_zero() -> None:
    positive, negative = oxidation_states("C")
    assert min(positive) > 0 > max(negative)


def test_inert_gases_count_as_most_electronegative() -> None:
    assert electronegativity("He") >= electronegativity("F")
