"""``genmat sample``: structures in a file, no database, one line for a mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genmat.evaluation.io import read_samples
from genmat.models.bundle import FOUNDATION, packaged_models
from genmat.reference.io import packaged_reference

needs_model = pytest.mark.skipif(
    not (packaged_models() / FOUNDATION).is_file() or not packaged_reference().is_file(),
    reason="no trained model or no reference is shipped",
)


@needs_model
@pytest.mark.parametrize("output", ["samples.extxyz", "samples.parquet", "samples"])
def test_what_is_sampled_can_be_read_again(genmat, tmp_path, output):
    arguments = ["sample", "-n", "4", "--composition", "KMgF3", "--max-atoms", "5", "--raw", "--output", output]
    result = genmat(*arguments, "--json")
    assert result.code == 0, result.err
    summary = json.loads(result.out)
    assert summary["structures"] + summary["failed"] == 4
    assert len(summary["models"]) == 3
    read = read_samples(Path(output))
    assert len(read) == summary["structures"] > 0
    assert {sample.structure.composition.reduced_formula for sample in read} == {"KMgF3"}
    assert not (tmp_path / "data" / "mongod").exists()


@needs_model
def test_space_groups_are_kept_and_a_far_range_is_warned_of(genmat):
    result = genmat("sample", "-n", "2", "--space-group", "Pm-3m", "--property", "volume_per_atom=1e5..", "--json")
    assert result.code == 0, result.err
    assert "warning: target: volume_per_atom: asked for 100000 to …" in result.err
    assert json.loads(result.out)["warnings"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--output", "samples.png"], "'.png' is not written, expected .extxyz, .parquet or no suffix"),
        (["--property", "density"], "--property 'density' cannot be read, expected NAME=LOW..HIGH"),
        (["--property", "density=a..b"], "--property 'density=a..b' cannot be read"),
        (["--property", "densitty=2..3"], "Did you mean 'density'"),
        (["--composition", "LiFeXx"], "'Xx' is not a chemical element"),
        (["--space-group", "Fm-3x"], "Did you mean 'Fm-3m'"),
        (["--elements", "Li,Ox"], "'Ox' is not a chemical element"),
        (["--models", "nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_line(genmat, arguments, words):
    result = genmat("sample", "-n", "2", *arguments)
    assert result.code == 2
    assert words in result.line


@needs_model
def test_a_composition_that_the_space_group_cannot_hold_is_one_line(genmat):
    result = genmat("sample", "-n", "2", "--composition", "KMgF3", "--space-group", "227", "--max-atoms", "5")
    assert result.code == 2
    assert "composition KMgF3 cannot be placed in space group 227" in result.line
