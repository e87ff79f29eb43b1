"""The reference table: columns, hull, identity, and its file."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from genmat.errors import MissingReferenceError, ReferenceDataError, StorageError
from genmat.reference.io import METADATA_KEY, load_reference, write_reference
from genmat.reference.table import SCHEMA_VERSION, Reference, ReferenceMetadata
from genmat.representation import from_structure, to_structure

from .conftest import ENERGIES, METADATA, make_row


@pytest.fixture
def path(small_reference, tmp_path):
    write_reference(small_reference, tmp_path / "reference.parquet")
    return tmp_path / "reference.parquet"


def test_rows_are_in_the_order_of_their_ids_whatever_the_input(small_reference, structures):
    assert list(small_reference.material_ids) == sorted([*structures, "unlabelled"])
    rows = [make_row(name, structure, energy_per_atom=ENERGIES[name]) for name, structure in structures.items()]
    left = Reference.from_rows(rows, metadata=METADATA)
    right = Reference.from_rows(rows[::-1], metadata=METADATA)
    assert left.id == right.id


def test_distances_are_those_to_the_own_hull(small_reference):
    above = dict(zip(small_reference.material_ids, small_reference.energies_above_hull, strict=True))
    assert above["nacl"] == 0.0
    assert above["cscl-nacl"] == pytest.approx(0.1, abs=1e-12)
    assert np.isnan(above["unlabelled"])


def test_hull_holds_the_rows_with_an_energy(small_reference):
    assert small_reference.hull().elements == ("O", "Na", "Si", "Cl")


def test_an_element_without_energy_is_refused(structures):
    with pytest.raises(MissingReferenceError, match="Cl, expected one for every element"):
        Reference.from_rows(
            [
                make_row("nacl", structures["nacl"], energy_per_atom=-3.4),
                make_row("na", structures["na"], energy_per_atom=-1),
            ],
            metadata=METADATA,
        )


def test_an_id_that_occurs_twice_is_refused(structures):
    row = make_row("na", structures["na"], energy_per_atom=-1.3)
    with pytest.raises(ReferenceDataError, match="occurs twice"):
        Reference.from_rows([row, row], metadata=METADATA)


def test_columns_cannot_be_changed(small_reference):
    with pytest.raises(ValueError, match="read-only"):
        small_reference.energies[0] = 0.0


def test_crystals_come_back_equal(small_reference, structures):
    matcher = StructureMatcher()
    for row, crystal in zip(small_reference.crystal_rows, small_reference.crystals, strict=True):
        name = small_reference.material_ids[row]
        assert matcher.fit(to_structure(crystal), structures[name])
        original = from_structure(structures[name])
        assert crystal.number == original.number
        for left, right in zip(crystal.orbits, original.orbits, strict=True):
            assert left.free == pytest.approx(right.free, abs=1e-6)


def test_crystal_of_a_row_is_found_and_absent_where_it_is_not_kept(small_reference):
    rows = {name: row for row, name in enumerate(small_reference.material_ids)}
    assert small_reference.crystal(rows["nacl"]).number == 225
    assert small_reference.crystal(rows["cscl-nacl"]) is None
    assert small_reference.crystal(rows["unlabelled"]) is None
    assert small_reference.crystals[-1] == list(small_reference.crystals)[-1]


def test_file_holds_the_same_reference(small_reference, path):
    loaded = load_reference(path)
    assert loaded.id == small_reference.id
    assert loaded.metadata == small_reference.metadata
    assert loaded.genes == small_reference.genes
    assert list(loaded.crystals) == list(small_reference.crystals)
    assert np.array_equal(loaded.energies, small_reference.energies, equal_nan=True)
    assert loaded.summary() == small_reference.summary()


def test_id_depends_on_every_column(small_reference):
    energies = small_reference.energies.copy()
    energies[0] += 1e-9
    renamed = ("other", *small_reference.formulas[1:])
    metadata = replace(METADATA, source="elsewhere")
    variants = [
        replace(small_reference, energies=energies),
        replace(small_reference, formulas=renamed),
        replace(small_reference, metadata=metadata),
    ]
    ids = sorted({small_reference.id, *(variant.id for variant in variants)})
    assert len(ids) == 4


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ReferenceDataError, match="truncated, altered or no parquet file"):
        load_reference(path)


def test_an_altered_file_is_refused_wherever_it_was_altered(path, small_reference):
    content = bytearray(path.read_bytes())
    random = np.random.default_rng(0)
    for place in random.choice(len(content), size=60, replace=False):
        altered = bytearray(content)
        altered[place] ^= 0x41
        path.write_bytes(altered)
        try:
            loaded = load_reference(path)
        except ReferenceDataError as error:
            assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
        else:
            assert loaded.id == small_reference.id


def test_another_value_in_the_file_is_refused(path):
    table = pq.read_table(path)
    energies = table["energy_per_atom"].to_pylist()
    energies[0] += 0.001
    place = table.column_names.index("energy_per_atom")
    pq.write_table(table.set_column(place, table.schema.field(place), [energies]), path)
    with pytest.raises(ReferenceDataError, match="was altered"):
        load_reference(path)


def test_another_schema_version_is_refused(path):
    table = pq.read_table(path)
    header = json.loads(table.schema.metadata[METADATA_KEY])
    header["metadata"]["schema_version"] = SCHEMA_VERSION + 1
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(header)}), path)
    with pytest.raises(ReferenceDataError, match=f"schema version {SCHEMA_VERSION + 1}, expected {SCHEMA_VERSION}"):
        load_reference(path)


def test_another_parquet_file_is_refused(tmp_path):
    import pyarrow as pa

    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    with pytest.raises(ReferenceDataError, match="is no genmat reference"):
        load_reference(tmp_path / "x.parquet")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ReferenceDataError, match="does not exist"):
        load_reference(tmp_path / "none.parquet")


def test_a_folder_that_cannot_be_written_is_told(small_reference, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        write_reference(small_reference, tmp_path / "file" / "reference.parquet")


def test_writing_leaves_no_partial_file(path):
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_metadata_come_back_equal():
    assert ReferenceMetadata.from_dict(json.loads(json.dumps(METADATA.to_dict()))) == METADATA


def test_rows_of_crystals_ascend(small_reference):
    assert all(left < right for left, right in pairwise(small_reference.crystal_rows.tolist()))
