"""The three stages from the command line, on crystals of the packaged reference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genmat.models.tensors import read_any_checkpoint
from genmat.reference.io import load_reference
from genmat.representation.conversion import to_arrays

NETWORK = ("--width", "16", "--set", "n_heads=2", "--set", "encoder_layers=1", "--set", "decoder_layers=1")
PRETRAIN = (*NETWORK, "--epochs", "1", "--batch-size", "64", "--workers", "1")


@pytest.fixture(scope="session")
def crystals():
    """Return rows of a training table: known crystals, every fifth for validation, with an invented modulus."""
    reference = load_reference(None)
    rows, rng = [], np.random.default_rng(0)
    for row in rng.permutation(reference.crystal_rows)[:100].tolist():
        matrix, symbols, points = to_arrays(reference.crystal(row))
        if len(symbols) <= 12:
            rows.append(
                {
                    "material_id": reference.material_ids[row],
                    "species": list(symbols),
                    "lattice": matrix.ravel().tolist(),
                    "frac_coords": points.ravel().tolist(),
                    "energy_above_hull": 0.01,
                    "split": "val" if len(rows) % 5 == 0 else "train",
                    "bulk_modulus_gpa": float(np.exp(rng.normal(4.0, 0.5))),
                }
            )
    return rows


@pytest.fixture
def table(crystals) -> Path:
    """Write the table."""
    return write("table.parquet", crystals)


def write(name: str, rows) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), name)
    return Path(name)


def test_three_stages_make_three_files_that_belong_together(genmat, table):
    folder = ("--work-folder", "work")
    result = genmat("train", "pretrain", table, "--output", "f.safetensors", *folder, *PRETRAIN)
    assert result.code == 0, result.err
    assert "gene accuracy" in result.out
    assert "train," in result.err
    assert Path("work/pretrain.log.jsonl").exists()

    sizes = ("--epochs", "1", "--set", "n_members=2", "--set", "width=8")
    arguments = ("--property", "bulk_modulus", "--model", "f.safetensors", "--output", "h.safetensors")
    result = genmat("train", "finetune", table, *arguments, *folder, *sizes, "--json")
    assert result.code == 0, result.err
    printed = json.loads(result.out)
    assert printed["data"]["bulk_modulus"]["column"] == "bulk_modulus_gpa"
    assert printed["data"]["bulk_modulus"]["split_column"] == "split"
    assert printed["metrics"]["bulk_modulus"]["validation_mae"] > 0

    own = ("--property", "hardness=bulk_modulus_gpa", "--unit", "GPa", "--transform", "log")
    result = genmat("train", "finetune", table, *own, *arguments[2:], *folder, *sizes, "--json")
    assert result.code == 0, result.err
    assert list(json.loads(result.out)["metrics"]) == ["bulk_modulus", "hardness"]

    sizes = ("--epochs", "1", "--batch-size", "32", "--width", "16", "--set", "n_blocks=1", "--set", "condition_size=8")
    models = ("--model", "f.safetensors", "--heads", "h.safetensors", "--output", "g.safetensors")
    result = genmat("train", "generator", table, *models, *folder, *sizes, "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["metrics"]["validation_velocity_loss"] > 0

    sha256 = read_any_checkpoint(Path("f.safetensors"))[1].metadata["sha256"]
    for name in ("g.safetensors", "h.safetensors"):
        assert read_any_checkpoint(Path(name))[1].config["encoder_sha256"] == sha256
    config = read_any_checkpoint(Path("g.safetensors"))[1].config
    assert config["properties"][-2:] == ["bulk_modulus", "hardness"]

    result = genmat("models", "register", "h.safetensors", "--name", "mine", "--json")
    assert result.code == 0, result.err
    document = json.loads(result.out)
    assert document["parent"] == sha256
    assert "bulk_modulus_validation_mae" in document["metrics"]
    assert genmat("models", "show", "mine").out.startswith(f"model mine-{document['sha256'][:12]}")
    assert "property-heads" in genmat("models", "list").out

    result = genmat("train", "pretrain", table, "--output", "f.safetensors", *folder, *PRETRAIN, "--seed", "5")
    assert result.code == 2
    assert "holds another run of pretrain: training.seed is 5, was 0" in result.err.splitlines()[-1]


def test_a_model_that_is_no_model_is_not_registered(genmat):
    Path("m.safetensors").write_bytes(b"no")
    result = genmat("models", "register", "m.safetensors", "--name", "mine")
    assert result.code == 2
    assert result.line == "genmat: m.safetensors is no safetensors file. See: genmat models list"
    result = genmat("models", "show", "absent")
    assert result.code == 2
    assert "model 'absent': expected one of that name, found none" in result.line


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda rows: [{k: v for k, v in row.items() if k != "split"} for row in rows], "has no column 'split'"),
        (lambda rows: [row | {"split": "train"} for row in rows], "the split 'val' holds no crystal"),
        (lambda rows: [row | {"split": None} for row in rows], "rows of table.parquet can be used"),
        (lambda rows: [row | {"material_id": "x"} for row in rows], "no training crystal has a label"),
        (lambda rows: [row | {"lattice": [1.0]} for row in rows], "row 0 of table.parquet: lattice needs 9 numbers"),
        (lambda rows: [row | {"species": ["Xx"] * len(row["species"])} for row in rows], "species holds 'Xx'"),
        (
            lambda rows: [row | {"species": ["Og"] * len(row["species"])} for row in rows],
            "Og",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line(genmat, crystals, change, expected):
    write("table.parquet", change(crystals[:20]))
    result = genmat(
        "train", "pretrain", "table.parquet", "--output", "m.safetensors", "--work-folder", "work", *PRETRAIN
    )
    assert result.code == 2
    assert expected in result.err.splitlines()[-1]
    assert result.err.splitlines()[-1].startswith("genmat: ")
    assert not Path("m.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--device", "cuda:64"), "device 'cuda:64' is not there"),
        (("--set", "widt=3"), "no parameter 'widt' to set"),
        (("--set", "encoder_layers"), "expected NAME=VALUE"),
        (("--set", "encoder_layers=many"), "encoder_layers is 'many', expected a whole number"),
        (("--set", "environments=perhaps"), "environments is 'perhaps', expected true or false"),
        (("--width", "10"), "width 10 must be even and a multiple of n_heads 4"),
        (("--start-from", "absent.safetensors"), "absent.safetensors does not exist"),
    ],
)
def test_options_that_cannot_be_used_are_one_line(genmat, crystals, arguments, expected):
    write("table.parquet", crystals)
    result = genmat("train", "pretrain", "table.parquet", "--output", "m", "--work-folder", "w", *arguments)
    assert result.code == 2
    assert expected in result.err.splitlines()[-1]


def test_a_table_that_is_absent_is_one_line(genmat):
    result = genmat("train", "pretrain", "absent.parquet", "--output", "m", "--work-folder", "w")
    assert result.code == 2
    assert result.line == "genmat: absent.parquet does not exist, expected a .parquet table of crystals"
