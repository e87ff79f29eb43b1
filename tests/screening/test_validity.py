"""Validity: distances, volumes, charges."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.campaign.base import NumberRange
from genmat.campaign.screen import Gates
from genmat.screening.validity import MIN_DISTANCE, check_validity, closest_contact, covalent_radius
from genmat.screening.verdict import Reason, Stage

GATES = Gates()
ROCK_SALT = [[0, 0, 0], [0.5, 0.5, 0.5]]


def rock_salt(a: float) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), ["Na", "Cl"], ROCK_SALT)


def test_a_real_crystal_is_valid():
    verdict = check_validity(rock_salt(5.64), gates=GATES)
    assert verdict.passed
    assert verdict.stage is Stage.VALIDITY
    assert verdict.values["volume_per_atom"] == pytest.approx(5.64**3 / 8)
    assert verdict.values["charge_balance"] == "neutral"


def test_two_atoms_on_top_of_each_other_are_too_close():
    structure = Structure(Lattice.cubic(6.0), ["Na", "Cl"], [[0, 0, 0], [0.05, 0, 0]])
    verdict = check_validity(structure, gates=GATES)
    assert verdict.reason is Reason.TOO_CLOSE
    assert verdict.values["min_distance"] == pytest.approx(0.3)
    assert "Cl-Na are 0.300 Å apart" in verdict.detail


def test_coincident_atoms_are_too_close():
    structure = Structure(Lattice.cubic(4.0), ["Na", "Cl"], [[0, 0, 0], [0, 0, 0]])
    assert check_validity(structure, gates=GATES).reason is Reason.TOO_CLOSE


def test_an_atom_too_close_to_its_own_image_is_found():
    structure = Structure(Lattice.tetragonal(9.0, 1.0), ["Fe"], [[0, 0, 0]])
    assert check_validity(structure, gates=GATES).reason is Reason.TOO_CLOSE


def test_contacts_through_a_skew_cell_are_found():
    straight = Structure(Lattice.cubic(4.0), ["Na", "Cl"], [[0, 0, 0], [0.5, 0, 0]])
    skew = straight.copy()
    skew.make_supercell([[1, 0, 0], [7, 1, 0], [-5, 9, 1]], to_unit_cell=False)
    left, right = (closest_contact(s, cutoff=0.9) for s in (straight, skew))
    assert left.distance == pytest.approx(right.distance, abs=1e-9) == pytest.approx(2.0, abs=1e-9)


def test_distances_agree_with_those_of_pymatgen():
    random = np.random.default_rng(0)
    for _ in range(20):
        lattice = Lattice.from_parameters(*random.uniform(3, 6, 3), *random.uniform(65, 115, 3))
        structure = Structure(lattice, ["Si"] * 4, random.random((4, 3)))
        matrix = structure.distance_matrix + 99 * np.eye(4)
        shortest = min(matrix.min(), *lattice.get_niggli_reduced_lattice().abc)
        found = closest_contact(structure, cutoff=10.0)
        assert found.distance == pytest.approx(shortest, abs=1e-6)


def test_no_two_atoms_are_ever_closer_than_the_floor():
    molecule = Structure(Lattice.cubic(4.0), ["H", "H"], [[0, 0, 0], [0.1, 0, 0]])
    gates = GATES.model_copy(update={"min_distance": 0.1})
    assert check_validity(molecule, gates=gates).values["min_distance"] < MIN_DISTANCE


@pytest.mark.parametrize("a", [2.5, 12.0])
def test_volume_outside_the_gate_is_told_with_the_range(a):
    verdict = check_validity(rock_salt(a), gates=GATES)
    assert verdict.reason is Reason.VOLUME_OUT_OF_RANGE
    assert "allowed 3 to 120" in verdict.detail


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_coordinates_that_are_no_numbers_are_invalid(value):
    nowhere = Structure(Lattice.cubic(4.0), ["Na", "Cl"], [[0, 0, 0], [value, 0.5, 0.5]])
    verdict = check_validity(nowhere, gates=GATES)
    assert (verdict.reason, verdict.detail) == (Reason.NO_REPRESENTATION, "coordinates of an atom are no numbers")


def test_a_cell_that_is_no_numbers_is_invalid():
    cell = Lattice([[4, 0, 0], [0, 4, 0], [0, float("nan"), 4]])
    assert check_validity(Structure(cell, ["Na", "Cl"], ROCK_SALT), gates=GATES).reason is Reason.VOLUME_OUT_OF_RANGE


def test_unbalanced_charges_are_told_with_the_test():
    structure = Structure(Lattice.cubic(4.5), ["Na", "Cl", "Cl"], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5]])
    verdict = check_validity(structure, gates=GATES)
    assert verdict.reason is Reason.CHARGE_UNBALANCED
    assert "smact" in verdict.detail


def test_charges_are_not_looked_at_when_the_gate_is_open():
    structure = Structure(Lattice.cubic(4.5), ["Na", "Cl", "Cl"], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5]])
    assert check_validity(structure, gates=GATES.model_copy(update={"charge_neutral": False})).passed


def test_gates_can_be_narrowed():
    gates = GATES.model_copy(update={"volume_per_atom": NumberRange(min=10.0, max=20.0)})
    assert check_validity(rock_salt(5.64), gates=gates).reason is Reason.VOLUME_OUT_OF_RANGE


def test_relaxed_structures_are_checked_in_their_own_stage():
    assert check_validity(rock_salt(5.64), gates=GATES, stage=Stage.RELAX).stage is Stage.RELAX


def test_radii_are_those_of_cordero_and_never_missing():
    assert covalent_radius("O") == pytest.approx(0.66)
    assert covalent_radius("Og") > 1.0


def test_almost_all_known_crystals_keep_their_distance(shared_data):
    columns = ["species", "lattice", "frac_coords"]
    rows = pq.read_table(shared_data / "mp_structures.parquet", columns=columns).slice(1000, 400).to_pylist()
    gates = GATES.model_copy(update={"charge_neutral": False, "volume_per_atom": NumberRange(min=3.0, max=2000.0)})
    passed = sum(
        check_validity(
            Structure(np.reshape(row["lattice"], (3, 3)), row["species"], np.reshape(row["frac_coords"], (-1, 3))),
            gates=gates,
        ).passed
        for row in rows
    )
    assert passed >= 0.99 * len(rows)
