"""Reduced formulas: parsed as pymatgen parses them."""

from __future__ import annotations

import pytest
from pymatgen.core.composition import Composition

from genmat.errors import ReferenceDataError
from genmat.reference.formula import parse_formula, reduced_formula


@pytest.mark.parametrize("formula", ["NaCl", "Ca3(PO4)2", "H2", "Cs2AgBiBr6", "K(MoS)3", "Mg(Al(SiO3)2)2"])
def test_formula_is_parsed_as_pymatgen_does(formula):
    assert parse_formula(formula) == Composition(formula).get_el_amt_dict()


@pytest.mark.parametrize("formula", ["", "nacl", "Na(Cl", "Na)Cl", "NaCl!", "2Na"])
def test_text_that_is_no_formula_is_refused(formula):
    with pytest.raises(ReferenceDataError, match="cannot be read"):
        parse_formula(formula)


def test_noble_gases_bring_no_warning():
    assert reduced_formula(Composition("Xe2F4")) == "XeF2"


def test_all_formulas_of_the_table_are_parsed(shared_data):
    import pyarrow.parquet as pq

    formulas = pq.read_table(shared_data / "mp_structures.parquet", columns=["formula"])["formula"].to_pylist()[::200]
    assert all(parse_formula(formula) == Composition(formula).get_el_amt_dict() for formula in formulas)
