"""Tables and folders that a user gives: what is read, and what is refused in one line."""

from __future__ import annotations

import csv
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genmat.errors import StructureError
from genmat.reference.sources.cif import MAX_BYTES, CifReader
from genmat.reference.sources.io import read_cif, read_source
from genmat.reference.sources.structure import MAX_ATOMS, crystal_from_arrays


@pytest.fixture(scope="module")
def reader():
    with CifReader() as reader:
        yield reader


@pytest.fixture(scope="module")
def cif(structures):
    return structures["nacl"].to(fmt="cif")


def row(material_id="a", **changes):
    given = {
        "material_id": material_id,
        "species": ["Na", "Cl"],
        "lattice": [4.0, 0, 0, 0, 4.0, 0, 0, 0, 4.0],
        "frac_coords": [0, 0, 0, 0.5, 0.5, 0.5],
        "energy_above_hull": 0.01,
    }
    return given | changes


def write_table(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_parquet_rows_become_crystals(tmp_path):
    crystals = read_source(write_table(tmp_path / "t.parquet", [row(), row("b", energy_above_hull=None)]))
    assert [crystal.material_id for crystal in crystals] == ["a", "b"]
    assert crystals[0].structure().composition.reduced_formula == "NaCl"
    assert crystals[0].counts == {"Na": 1, "Cl": 1}
    assert [crystal.energy_above_hull for crystal in crystals] == [0.01, None]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"species": ["Na", "Xy"]}, "unknown element 'Xy'"),
        ({"species": ["Na"]}, r"6 frac_coords for 1 species, expected 9 and 3"),
        ({"species": None}, "has 0 atoms"),
        ({"lattice": [4.0, 0, 0, 8.0, 0, 0, 0, 0, 4.0]}, r"a cell of 0 Å\^3/atom"),
        ({"lattice": [float("nan")] * 9}, "not a finite number"),
        ({"lattice": [4.0]}, "has 1 lattice numbers"),
        ({"species": ["Na"] * 10_000, "frac_coords": [0.0] * 30_000}, "has 10,000 atoms"),
    ],
)
def test_a_bad_row_is_named(tmp_path, change, match):
    path = write_table(tmp_path / "t.parquet", [row(), row("bad", **change)])
    with pytest.raises(StructureError, match=match) as error:
        read_source(path)
    assert "bad of t.parquet" in str(error.value)
    assert "\n" not in str(error.value)


def test_bad_rows_can_be_left_out(tmp_path):
    path = write_table(tmp_path / "t.parquet", [row(), row("bad", species=["Na", "Xy"]), row("c")])
    refused = []
    assert [crystal.material_id for crystal in read_source(path, refuse=refused.append)] == ["a", "c"]
    assert len(refused) == 1


def test_a_missing_column_is_named_with_the_nearest_one(tmp_path):
    table = [{"material_id": "a", "specie": ["Na"], "lattice": [1.0] * 9, "frac_coords": [0.0] * 3}]
    with pytest.raises(StructureError, match=r"lacks the column 'species'.* Did you mean 'specie'"):
        read_source(write_table(tmp_path / "t.parquet", table))


def test_an_id_that_occurs_twice_is_refused(tmp_path):
    with pytest.raises(StructureError, match="'a' twice"):
        read_source(write_table(tmp_path / "t.parquet", [row(), row()]))


def test_a_truncated_parquet_file_is_refused(tmp_path):
    path = write_table(tmp_path / "t.parquet", [row()])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StructureError, match="truncated or no parquet file"):
        read_source(path)


def test_a_source_of_another_kind_is_refused(tmp_path):
    (tmp_path / "t.xlsx").write_text("")
    with pytest.raises(StructureError, match=r"of the kind '.xlsx', expected .parquet"):
        read_source(tmp_path / "t.xlsx")
    with pytest.raises(StructureError, match="does not exist"):
        read_source(tmp_path / "none")


def test_csv_with_cif_text_and_with_files(tmp_path, cif):
    (tmp_path / "salt.cif").write_text(cif)
    path = tmp_path / "t.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["material_id", "cif", "file", "energy_above_hull"])
        writer.writerow(["inline", cif, "", "0.02"])
        writer.writerow(["by-file", "", "salt.cif", ""])
    crystals = read_source(path)
    assert [len(crystal.species) for crystal in crystals] == [8, 8]
    assert [crystal.energy_above_hull for crystal in crystals] == [0.02, None]


def test_csv_without_structures_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("material_id,formula\na,NaCl\n")
    with pytest.raises(StructureError, match="neither a column 'cif' nor 'file'"):
        read_source(tmp_path / "t.csv")


def test_csv_label_that_is_no_number_is_refused(tmp_path, cif):
    with (tmp_path / "t.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["material_id", "cif", "energy_above_hull"], ["a", cif, "low"]])
    with pytest.raises(StructureError, match="energy_above_hull 'low', expected a number"):
        read_source(tmp_path / "t.csv")


def test_folder_of_cif_files(tmp_path, cif):
    (tmp_path / "b.cif").write_text(cif)
    (tmp_path / "a.CIF").write_text(cif)
    (tmp_path / "readme.txt").write_text("")
    assert [crystal.material_id for crystal in read_source(tmp_path)] == ["a", "b"]


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(StructureError, match=r"holds no .cif file"):
        read_source(tmp_path)


def test_cif_keeps_the_crystal(reader, cif, structures):
    found = reader.read(cif, name="x")
    assert found.composition == structures["nacl"].composition
    assert found.volume == pytest.approx(structures["nacl"].volume, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda text: text[: len(text) // 2], "truncated or no valid CIF file"),
        (lambda text: "\n".join(text.splitlines()[:-2]), "may be truncated"),
        (lambda text: text.replace("  1\n", "  0.5\n").replace("  1.0\n", "  0.5\n"), "partial occupancies"),
        (lambda text: text.replace("5.60000000", "0.00000000"), "the cell has no volume"),
        (lambda _: "this is a letter, not a crystal", "is no CIF file"),
        (lambda _: "", "is no CIF file"),
        (lambda text: text.replace("Na+", "Qq").replace("Na", "Qq"), "cannot be read|no element"),
        (lambda text: text + "\n" + text.replace("data_", "data_b"), "holds 2 structures"),
        (lambda _: "data_x\n" + "a" * MAX_BYTES, "expected at most"),
    ],
)
def test_a_bad_cif_is_refused_in_one_line(reader, cif, change, match):
    with pytest.raises(StructureError, match=match) as error:
        reader.read(change(cif), name="bad.cif")
    assert "\n" not in str(error.value)
    assert "bad.cif" in str(error.value)


def test_a_cif_of_ten_thousand_atoms_is_refused_before_it_is_built(reader, structures):
    block = structures["nacl"].to(fmt="cif").split("loop_")
    sites = "\n".join(f"Na Na{i} 1 {i / 10_000:.6f} 0 0 1" for i in range(10_000))
    header, _, rows = block[-1].partition("Na  ")
    assert rows
    text = "loop_".join(block[:-1]) + "loop_" + header + sites + "\n"
    start = time.perf_counter()
    with pytest.raises(StructureError, match=f"has 10,000 atoms, expected 1 to {MAX_ATOMS:,}"):
        reader.read(text, name="big.cif")
    assert time.perf_counter() - start < 20.0


def test_a_cif_that_takes_too_long_is_given_up_and_the_next_one_is_read(cif):
    with CifReader(max_seconds=0.0) as reader:
        reader.max_seconds = 30.0
        reader.read(cif, name="first")
        reader.max_seconds = 0.0
        with pytest.raises(StructureError, match="could not be read within 0 s"):
            reader.read(cif, name="slow")
        reader.max_seconds = 30.0
        assert len(reader.read(cif, name="third")) == 8


def test_an_oversized_file_is_refused_unread(tmp_path, reader):
    path = tmp_path / "large.cif"
    with path.open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    with pytest.raises(StructureError, match="bytes, expected at most"):
        read_cif(path, reader=reader)


def test_real_cif_files_are_read(shared_data):
    folder = next(path.parent for path in sorted((shared_data / "peers" / "mattergen").rglob("*.cif")))
    assert len(read_source(folder)) >= 4


def test_real_table_is_read(shared_data, tmp_path):
    table = pq.read_table(shared_data / "mp_structures.parquet").slice(0, 500)
    pq.write_table(table, tmp_path / "mp.parquet")
    crystals = read_source(tmp_path / "mp.parquet")
    assert len(crystals) == 500
    assert all(np.isfinite(crystal.structure().volume) for crystal in crystals[:50])


def test_arrays_of_a_row_are_checked():
    with pytest.raises(StructureError, match="are not numbers"):
        crystal_from_arrays("a", species=["Na"], lattice=["x"] * 9, frac_coords=[0, 0, 0], name="a")
