from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.io.extxyz import write_extxyz
from pymatgen.core import Structure
from pymatgen.core.lattice import Lattice
from pymatgen.io.cif import CifWriter

from genmat.errors import StructureError
from genmat.evaluation import Sample
from genmat.evaluation.io import read_samples

if TYPE_CHECKING:
    from pathlib import Path

CSCL = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
X = {"number": 221, "orbits": [["Cs", "a", []], ["Cl", "b", []]], "lattice": [4.1, 4.1, 4.1, 90.0, 90.0, 90.0]}
ARRAYS = {
    "species": ["Cs", "Cl"],
    "lattice": [4.1, 0, 0, 0, 4.1, 0, 0, 0, 4.1],
    "frac_coords": [0, 0, 0, 0.5, 0.5, 0.5],
}


def _cif(folder: Path, name: str) -> None:
    (folder / f"{name}.cif").write_text(str(CifWriter(CSCL)))


def _table(path: Path, rows: list[dict]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def _extxyz(path: Path, *infos: dict) -> Path:
    atoms = Atoms(["Cs", "Cl"], cell=np.eye(3) * 4.1, scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], pbc=True)
    with path.open("w") as file:
        for info in infos:
            atoms.info = info
            write_extxyz(file, [atoms])
    return path


def _check(sample: Sample) -> None:
    assert sample.problem == ""
    assert sample.structure.composition.reduced_formula == "CsCl"
    assert sample.structure.volume == pytest.approx(4.1**3, rel=1e-4)


def test_a_folder_of_cif_files_is_a_set_and_a_broken_one_stays_in_it(tmp_path):
    _cif(tmp_path, "b")
    _cif(tmp_path, "a")
    (tmp_path / "torn.cif").write_text((tmp_path / "a.cif").read_text()[:200])
    samples = read_samples(tmp_path)
    assert [sample.id for sample in samples] == ["a", "b", "torn"]
    _check(samples[0])
    assert samples[2].structure is None
    assert "torn.cif" in samples[2].problem


def test_a_table_is_read_with_ids_and_published_distances(tmp_path):
    path = _table(tmp_path / "t.parquet", [{"index": 7, **ARRAYS, "published_chgnet_e_above_hull": 0.12}])
    (sample,) = read_samples(path)
    _check(sample)
    assert (sample.id, sample.published) == ("7", 0.12)


def test_a_bad_row_of_a_table_is_a_sample_with_a_problem(tmp_path):
    rows = [
        ARRAYS,
        ARRAYS | {"species": ["Cs", "Xx"]},
        ARRAYS | {"lattice": [1.0, 2.0]},
        ARRAYS | {"frac_coords": [0, 0, float("nan"), 0.5, 0.5, 0.5]},
        ARRAYS | {"species": None},
    ]
    samples = read_samples(_table(tmp_path / "t.parquet", rows))
    assert [sample.structure is None for sample in samples] == [False, True, True, True, True]
    assert "unknown element 'Xx'" in samples[1].problem
    assert "not a finite number" in samples[3].problem


@pytest.mark.parametrize(
    "content",
    [
        [X],
        [ARRAYS],
        [CSCL.as_dict()],
        CSCL.as_dict(),
        {"first": CSCL.as_dict()},
        {"structures": [{"structure": X}]},
        [{"id": "first", "structure": ARRAYS}],
    ],
)
def test_json_of_every_kind_is_read(tmp_path, content):
    path = tmp_path / "s.json.gz"
    path.write_bytes(gzip.compress(json.dumps(content).encode()))
    (sample,) = read_samples(path)
    _check(sample)


def test_json_lines_are_read(tmp_path):
    path = tmp_path / "s.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in (X, ARRAYS)))
    for sample in read_samples(path):
        _check(sample)


def test_json_imports_nothing_that_the_file_names(tmp_path):
    evil = CSCL.as_dict()
    evil["sites"][0]["properties"] = {"x": {"@module": "nowhere.to.be.found", "@class": "Evil"}}
    path = tmp_path / "s.json"
    path.write_text(json.dumps([evil]))
    _check(read_samples(path)[0])


def test_a_disordered_crystal_or_an_impossible_x_is_a_sample_with_a_problem(tmp_path):
    half = Structure(Lattice.cubic(4.0), [{"Na": 0.5}], [[0, 0, 0]])
    path = tmp_path / "s.json"
    path.write_text(json.dumps([half.as_dict(), X | {"orbits": [["Cs", "z", []]]}, 3, X]))
    samples = read_samples(path)
    assert [sample.structure is None for sample in samples] == [True, True, True, False]
    assert "partial occupancies" in samples[0].problem


def test_frames_of_extended_xyz_are_read_and_a_broken_one_stays(tmp_path):
    path = _extxyz(tmp_path / "s.extxyz", {"id": "one", "e_above_hull": 0.05}, {}, {})
    lines = path.read_text().splitlines()
    lines[6] = "Cs 0.0 zero 0.0"
    path.write_text("\n".join(lines))
    samples = read_samples(path)
    assert [sample.structure is None for sample in samples] == [False, True, False]
    _check(samples[0])
    assert (samples[0].id, samples[0].published, samples[2].id) == ("one", 0.05, "2")


def test_a_frame_without_a_cell_is_a_sample_with_a_problem(tmp_path):
    path = tmp_path / "s.xyz"
    path.write_text("2\nmolecule\nCs 0 0 0\nCl 2 2 2\n")
    (sample,) = read_samples(path)
    assert "no Lattice" in sample.problem


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("absent.parquet", None, "does not exist"),
        ("s.parquet", b"no table", "cannot be read"),
        ("s.json", b"[{", "is no JSON"),
        ("s.json.gz", b"plain", "cannot be read"),
        ("s.json", b"[]", "holds no structure"),
        ("s.json", b'{"a": 1}', "expected crystals"),
        ("s.xyz", b"two\natoms\n", "line 1"),
        ("s.parqet", b"", r"of no kind.*Did you mean '.parquet'"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path, name, content, expected):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StructureError, match=expected) as caught:
        read_samples(path)
    assert "\n" not in str(caught.value)


def test_a_table_without_geometry_names_the_missing_column(tmp_path):
    path = _table(tmp_path / "t.parquet", [{"species": ["Cs"], "latice": [1.0]}])
    with pytest.raises(StructureError, match=r"lacks the column 'lattice'.*Did you mean 'latice'"):
        read_samples(path)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(StructureError, match=r"no \.cif file"):
        read_samples(tmp_path)


def test_a_sample_has_a_structure_or_a_problem():
    with pytest.raises(ValueError, match="either"):
        Sample("x", None)
