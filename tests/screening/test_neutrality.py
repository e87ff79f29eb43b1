"""The charge test: real compounds pass, nonsense does not, and nothing leaves the machine."""

from __future__ import annotations

import socket

import pyarrow.parquet as pq
import pytest
from pymatgen.core.composition import Composition

from genmat.screening.neutrality import ChargeBalance, charge_balance, charge_test_name


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("Si8", ChargeBalance.ELEMENT),
        ("Ni3Al", ChargeBalance.ALLOY),
        ("PmMg", ChargeBalance.ALLOY),
        ("LaRu2Si2", ChargeBalance.INTERMETALLIC),
        ("MgB2", ChargeBalance.INTERMETALLIC),
        ("Na4Cl4", ChargeBalance.NEUTRAL),
        ("LiFePO4", ChargeBalance.NEUTRAL),
        ("Cs2AgBiBr6", ChargeBalance.NEUTRAL),
        ("Fe3O4", ChargeBalance.MIXED_VALENCE),
        ("U3O8", ChargeBalance.MIXED_VALENCE),
        ("NaCl2", ChargeBalance.UNBALANCED),
        ("Li2O3", ChargeBalance.UNBALANCED),
        ("Ne2O", ChargeBalance.UNBALANCED),
    ],
)
def test_compositions_balance_as_chemistry_says(formula, expected):
    assert charge_balance(Composition(formula)) is expected


def test_multiples_of_a_formula_are_judged_alike():
    assert charge_balance(Composition("Fe12O16")) is charge_balance(Composition("Fe3O4"))


def test_mixed_valence_respects_electronegativity():
    assert charge_balance(Composition("Fe3F")) is ChargeBalance.UNBALANCED


def test_large_mixed_valence_formulas_are_judged_quickly():
    assert charge_balance(Composition("Mn23Fe17Co11O64")) is not ChargeBalance.UNBALANCED


def test_test_is_named_with_its_version():
    assert charge_test_name().startswith("smact-")


def test_nothing_leaves_the_machine(monkeypatch):
    def refuse(*_):
        msg = "the charge test opened a connection"
        raise AssertionError(msg)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert charge_balance(Composition("Ba2YCu3O7")) is not None


def test_almost_all_known_stable_crystals_pass(shared_data):
    table = pq.read_table(shared_data / "mp_structures.parquet", columns=["formula", "energy_above_hull"]).to_pydict()
    pairs = zip(table["formula"], table["energy_above_hull"], strict=True)
    stable = sorted({formula for formula, above in pairs if above is not None and above <= 0.05})[::40]
    passed = sum(charge_balance(Composition(formula)) is not ChargeBalance.UNBALANCED for formula in stable)
    assert passed > 0.96 * len(stable)
