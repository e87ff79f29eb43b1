from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genmat.errors import MissingReferenceError
from genmat.models.foundation.tokens import TokenTable
from genmat.reference.io import load_reference
from genmat.reference.training import io
from genmat.reference.training.io import read_training_table
from genmat.reference.training.labels import intrinsic_labels
from genmat.representation import Crystal, Orbit
from genmat.representation.conversion import to_arrays


@pytest.fixture(scope="module")
def packaged():
    return load_reference(None)


@pytest.fixture(scope="module")
def rows(packaged):
    """Return rows of the reference that have x."""
    return packaged.crystal_rows[np.random.default_rng(2).permutation(len(packaged.crystal_rows))[:30]].tolist()


def table_rows(packaged, rows):
    found = []
    for position, row in enumerate(rows):
        matrix, symbols, points = to_arrays(packaged.crystal(row))
        found.append(
            {
                "material_id": packaged.material_ids[row],
                "species": list(symbols),
                "lattice": matrix.ravel().tolist(),
                "frac_coords": points.ravel().tolist(),
                "split": "val" if position % 3 == 0 else "train",
            }
        )
    return found


def write(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_labels_are_those_of_the_reference(packaged, rows):
    crystals = [packaged.crystal(row) for row in rows]
    names = [packaged.material_ids[row] for row in rows]
    labels, counts = intrinsic_labels(
        TokenTable.from_crystals(crystals), names, np.full(len(rows), np.nan), reference=packaged
    )
    hull = packaged.hull()
    for label, crystal, row in zip(labels, crystals, rows, strict=True):
        energy = packaged.energies[row]
        formation = hull.formation_energy_per_atom(crystal.element_counts, energy, scale=packaged.scale)
        assert label[0] == pytest.approx(formation, abs=1e-5)
        assert label[1] == pytest.approx(np.log(crystal.volume / crystal.n_atoms), abs=1e-5)
        assert label[2] == pytest.approx(packaged.energies_above_hull[row], abs=1e-6)
    assert counts["energy_of_reference"] == len(rows)


def test_without_an_energy_only_what_is_far_from_the_hull_keeps_the_label_of_the_table(packaged, rows):
    tokens = TokenTable.from_crystals([packaged.crystal(row) for row in rows[:3]])
    labels, counts = intrinsic_labels(tokens, ["a", "b", "c"], np.array([0.05, 0.3, np.nan]), reference=packaged)
    assert np.isnan(labels[:, 0]).all()
    assert np.isnan(labels[[0, 2], 2]).all()
    assert labels[1, 2] == pytest.approx(0.3)
    assert counts == {
        "energy_of_reference": 0,
        "hull_distance_of_table": 1,
        "without_energy": 2,
        "other_composition_in_reference": 0,
    }


def test_an_id_that_stands_for_something_else_in_the_reference_gives_no_energy(packaged, rows):
    crystals = [packaged.crystal(row) for row in rows]
    names = [packaged.material_ids[row] for row in rows[1:] + rows[:1]]
    _, counts = intrinsic_labels(
        TokenTable.from_crystals(crystals), names, np.full(len(rows), np.nan), reference=packaged
    )
    assert counts["other_composition_in_reference"] >= len(rows) - 2


def test_an_element_that_the_reference_lacks_is_refused(packaged):
    crystal = Crystal.from_parts(225, (Orbit("Og", "a", ()),), (4.0, 4.0, 4.0, 90.0, 90.0, 90.0))
    with pytest.raises(MissingReferenceError, match="Og"):
        intrinsic_labels(TokenTable.from_crystals([crystal]), ["x"], np.array([np.nan]), reference=packaged)


def test_tokens_are_searched_once_for_each_file(packaged, rows, tmp_path, monkeypatch):
    path = write(tmp_path / "t.parquet", table_rows(packaged, rows))
    first = read_training_table(path, reference=packaged, work_folder=tmp_path / "work")
    monkeypatch.setattr(io, "_tokenise", None)
    again = read_training_table(path, reference=packaged, work_folder=tmp_path / "work")
    assert np.array_equal(first.data.tokens.free, again.data.tokens.free)
    assert first.provenance == again.provenance
    assert first.provenance["splits"] == {"train": 20, "val": 10, "test": 0}
    assert first.provenance["labels"]["reference"] == packaged.id
    assert "H" not in first.provenance["elements"] or any("H" in row["species"] for row in table_rows(packaged, rows))


def test_damaged_tokens_are_made_again(packaged, rows, tmp_path):
    path = write(tmp_path / "t.parquet", table_rows(packaged, rows))
    first = read_training_table(path, reference=packaged, work_folder=tmp_path)
    kept = next(tmp_path.glob("tokens-*.npz"))
    kept.write_bytes(kept.read_bytes()[:1000])
    again = read_training_table(path, reference=packaged, work_folder=tmp_path)
    assert np.array_equal(first.data.labels, again.data.labels, equal_nan=True)


def test_rows_that_are_left_out_are_counted_by_reason(packaged, rows, tmp_path):
    items = table_rows(packaged, rows)
    large = {"species": ["H"] * 21, "frac_coords": np.random.default_rng(0).random(63).tolist()}
    items += [items[1] | large, items[2] | {"split": "elsewhere"}]
    path = write(tmp_path / "t.parquet", items)
    found = read_training_table(path, reference=packaged, work_folder=tmp_path)
    assert found.provenance["left_out"] == {
        "with more than 20 atoms": 1,
        "without a split (train, val or test)": 1,
    }
    assert len(found.data.tokens) == len(rows)
    assert found.material_ids == tuple(packaged.material_ids[row] for row in rows)
