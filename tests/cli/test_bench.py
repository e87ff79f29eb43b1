from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

CSCL = {"species": ["Cs", "Cl"], "lattice": [4.1, 0, 0, 0, 4.1, 0, 0, 0, 4.1], "frac_coords": [0, 0, 0, 0.5, 0.5, 0.5]}


@pytest.fixture
def sets() -> tuple[Path, Path]:
    """Return two sets: a table with a duplicate and a bad row, and a JSON file."""
    table, other = Path("table.parquet"), Path("other.json")
    pq.write_table(pa.Table.from_pylist([CSCL, CSCL, CSCL | {"species": ["Cs", "Xx"]}]), table)
    other.write_text(json.dumps([CSCL | {"species": ["Na", "K"]}]))
    return table, other


def test_sets_are_shown_side_by_side(genmat, sets):
    result = genmat("bench", "ssun", *sets, "--relax", "0")
    assert result.code == 0, result.err
    header = result.out.splitlines()[0]
    assert "table" in header
    assert "other" in header
    assert "SMACT-valid" in result.out
    assert "novel: not in reference" in result.out


def test_the_result_is_stored_with_its_rows(genmat, sets):
    result = genmat("bench", "ssun", *sets, "--relax", "0", "--output", "out/r.json", "--json")
    assert result.code == 0, result.err
    printed = json.loads(result.out)
    stored = json.loads(Path("out/r.json").read_text())
    assert stored["sets"] == printed["sets"]
    assert stored["sets"]["table"]["all_samples"]["unique"]["successes"] == 1
    assert stored["sets"]["table"]["n_samples"] == 3
    rows = pq.read_table("out/r.samples.parquet").to_pylist()
    assert [row["set"] for row in rows] == ["table"] * 3 + ["other"]
    assert rows[2]["reason"] == "unscorable"


def test_a_real_relaxation_gives_s_s_u_n_with_its_interval(genmat, sets):
    result = genmat("bench", "ssun", sets[0], "--relax", "2", "--seed", "1", "--workers", "1", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)["sets"]["table"]
    ssun = found["relaxed_samples"]["ssun_after"]
    assert ssun["total"] == 2
    assert 0.0 <= ssun["low"] <= ssun["fraction"] <= ssun["high"] <= 1.0
    assert found["definition"]["potential"] == "chgnet-0.3.0"
    assert Path("genmat-output/bench/relaxed.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["absent.parquet"], "absent.parquet does not exist"),
        (["table.parquet", "--symprec", "0"], "symprec is 0.0 Å"),
        (["table.parquet", "--potential", "chgnet-0.3"], "Did you mean 'chgnet-0.3.0'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(genmat, sets, arguments, expected):
    result = genmat("bench", "ssun", *arguments)
    assert result.code == 2
    assert expected in result.err
    assert "Traceback" not in result.err


def test_loose_cif_files_of_one_folder_are_one_set(sets):
    from pymatgen.core import Structure
    from pymatgen.core.lattice import Lattice
    from pymatgen.io.cif import CifWriter

    from genmat.cli.bench import read_sets

    structure = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    folder = Path("mine")
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.cif").write_text(str(CifWriter(structure)))
    found = read_sets([folder / "a.cif", folder / "b.cif", sets[1]])
    assert {name: len(samples) for name, samples in found.items()} == {"other": 1, "mine": 2}
