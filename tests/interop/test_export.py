from __future__ import annotations

import csv
import io
import json

import pytest
from ase.io import read
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.io.cif import CifParser

from genmat.interop.export import to_cif, to_csv, to_extxyz, to_json

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:pymatgen"),
    pytest.mark.filterwarnings("ignore:Setting the shape on a NumPy array:DeprecationWarning:ase"),
]


def test_a_cif_is_read_back_as_the_same_crystal(make_crystal):
    crystal = make_crystal()
    (found,) = CifParser.from_str(to_cif(crystal)).parse_structures(primitive=True)
    assert StructureMatcher().fit(found, crystal.structure)


def test_a_cif_states_its_symmetry_and_candidate(make_crystal):
    text = to_cif(make_crystal())
    assert "Fm-3m" in text
    assert "c0ffee" * 5 in text
    assert "0.012500 eV/atom (mlip:chgnet-0.3.0)" in text


def test_extxyz_frames_carry_id_energy_and_hull_distance(make_crystal):
    frames = read(io.StringIO(to_extxyz([make_crystal(), make_crystal(id="second")])), index=":", format="extxyz")
    assert [frame.info["id"] for frame in frames] == ["c0ffee" * 5, "second"]
    assert frames[0].get_potential_energy() == pytest.approx(2 * -3.4)
    assert frames[0].info["e_hull"] == pytest.approx(0.0125)
    assert frames[0].cell.volume == pytest.approx(make_crystal().structure.volume)


def test_extxyz_of_nothing_is_empty():
    assert to_extxyz([]) == ""


def test_extxyz_leaves_out_what_is_unknown(make_crystal):
    text = to_extxyz([make_crystal(energy_above_hull=None, rank=None)])
    assert "e_hull" not in text
    assert "rank" not in text


def test_csv_names_units_and_has_stage_reason_and_template(make_crystal):
    rejected = make_crystal(id="x", rank=None, status="rejected", stage="relax", reason="exploded", properties={})
    rows = list(csv.DictReader(io.StringIO(to_csv([make_crystal().candidate, rejected.candidate]))))
    assert rows[0]["energy_above_hull [eV/atom]"] == "0.0125"
    assert rows[0]["density [g/cm^3]"] == "2.2"
    assert (rows[0]["template"], rows[0]["rank"], rows[0]["round"]) == ("mp-1", "1", "1")
    assert (rows[1]["stage"], rows[1]["reason"], rows[1]["rank"]) == ("relax", "exploded", "")


def test_csv_has_the_same_columns_whatever_is_known(make_crystal):
    full, empty = to_csv([make_crystal().candidate]), to_csv([])
    assert full.splitlines()[0] == empty.splitlines()[0]


def test_json_is_a_list_with_the_crystal(make_crystal):
    (item,) = json.loads(to_json([make_crystal()]))
    assert item["structure"]["species"] == ["Na", "Cl"]
    assert item["energy_per_atom"] == -3.4


def test_file_names_sort_by_rank(make_crystal):
    assert make_crystal().stem == "001-NaCl-c0ffeec0"
    assert make_crystal(rank=None).stem.startswith("x-")
