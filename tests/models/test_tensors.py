"""Files of trained models: what comes back, and what is refused."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from genmat.errors import ModelError, StorageError
from genmat.models import tensors
from genmat.models.tensors import Checkpoint, read_checkpoint, write_checkpoint

CONFIG = {"width": 3, "names": ["a", "b"]}


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "weight": rng.normal(size=(4, 3)).astype(np.float32),
        "bias": np.zeros(0, dtype=np.float32),
        "step": np.array(7, dtype=np.int64),
        "large": np.array([1e6, 1.0], dtype=np.float32),
    }


def write(path, **changes):
    options = {"kind": "toy", "version": 2, "config": CONFIG, "tensors": arrays(), "metadata": {"seed": 5}} | changes
    return write_checkpoint(path, **options)


@pytest.fixture
def path(tmp_path):
    place = tmp_path / "models" / "toy.safetensors"
    write(place)
    return place


def test_a_checkpoint_comes_back_equal(path):
    config, found, metadata = read_checkpoint(path, kind="toy", version=2)
    assert config == CONFIG
    assert metadata["seed"] == 5
    assert found.keys() == arrays().keys()
    for name, array in arrays().items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


def test_halved_tensors_come_back_as_float32_and_large_ones_exact(path):
    write(path, half=True)
    found = read_checkpoint(path, kind="toy", version=2).tensors
    assert {name: array.dtype for name, array in found.items()} == {n: a.dtype for n, a in arrays().items()}
    np.testing.assert_allclose(found["weight"], arrays()["weight"], rtol=2**-11)
    assert not np.array_equal(found["weight"], arrays()["weight"])
    np.testing.assert_array_equal(found["large"], arrays()["large"])


def test_tensors_of_torch_are_written_as_those_of_numpy(path):
    digest = read_checkpoint(path, kind="toy", version=2).metadata["sha256"]
    parameters = {name: torch.nn.Parameter(torch.from_numpy(a), a.dtype.kind == "f") for name, a in arrays().items()}
    assert write(path, tensors=parameters) == digest


def test_the_hash_is_of_the_model_and_not_of_what_is_said_about_it(path):
    digest = write(path)
    assert write(path, metadata={"seed": 6}) == digest
    assert write(path, tensors=dict(reversed(arrays().items()))) == digest
    assert write(path, config=CONFIG | {"width": 4}) != digest
    assert write(path, version=1) != digest


def test_only_the_registered_hash_is_accepted(path):
    digest = read_checkpoint(path, kind="toy", version=2).metadata["sha256"]
    assert read_checkpoint(path, kind="toy", version=2, sha256=digest).config == CONFIG
    with pytest.raises(ModelError, match=rf"has SHA-256 {digest[:12]}…, registered is 000000000000…: refused"):
        read_checkpoint(path, kind="toy", version=2, sha256="0" * 64)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"none\.safetensors does not exist"):
        read_checkpoint(tmp_path / "none.safetensors", kind="toy", version=2)


def test_a_file_truncated_anywhere_is_refused(path):
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(ModelError, match=r"is truncated|is empty|is no safetensors file"):
            read_checkpoint(path, kind="toy", version=2)
    path.write_bytes(content[:-1])
    with pytest.raises(ModelError, match=r"is truncated \([\d,]+ bytes\): get it again"):
        read_checkpoint(path, kind="toy", version=2)


@pytest.mark.parametrize("content", [b"PK\x03\x04 a zip file of torch.save", b"x" * 100, b"\x05" + bytes(7) + b"{oops"])
def test_another_format_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is no safetensors file"):
        read_checkpoint(path, kind="toy", version=2)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"genmat": "[1]"}, {"genmat": "{"}])
def test_a_safetensors_file_of_somebody_else_is_refused(path, metadata):
    path.write_bytes(save(arrays(), metadata=metadata))
    with pytest.raises(ModelError, match="is a safetensors file, but not one of genmat"):
        read_checkpoint(path, kind="toy", version=2)


def test_another_kind_is_refused(path):
    with pytest.raises(ModelError, match="holds a model of kind 'toy', expected 'foundation'"):
        read_checkpoint(path, kind="foundation", version=2)


def test_a_newer_version_is_refused_with_both_versions(path):
    with pytest.raises(ModelError, match="has version 2 of toy, this genmat reads up to 1: update genmat"):
        read_checkpoint(path, kind="toy", version=1)


def test_an_older_version_goes_through_the_updaters(path, monkeypatch):
    def rename(old: Checkpoint) -> Checkpoint:
        return old._replace(config={"breadth": old.config["width"]})

    with pytest.raises(ModelError, match="has version 2 of toy, this genmat reads 3: train it again"):
        read_checkpoint(path, kind="toy", version=3)
    monkeypatch.setitem(tensors.UPDATERS, ("toy", 2), rename)
    found = read_checkpoint(path, kind="toy", version=3)
    assert found.config == {"breadth": 3}
    np.testing.assert_array_equal(found.tensors["weight"], arrays()["weight"])


def test_a_changed_tensor_is_found(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"was altered, its content is \w{12}, not \w{12}: get it again"):
        read_checkpoint(path, kind="toy", version=2)


def test_a_changed_config_is_found(path):
    content = path.read_bytes()
    changed = content.replace(b'\\"width\\":3', b'\\"width\\":4')
    assert changed != content
    path.write_bytes(changed)
    with pytest.raises(ModelError, match="was altered"):
        read_checkpoint(path, kind="toy", version=2)


def test_a_header_without_its_parts_is_refused(path):
    path.write_bytes(save(arrays(), metadata={"genmat": json.dumps({"kind": "toy", "version": 2})}))
    with pytest.raises(ModelError, match="is damaged"):
        read_checkpoint(path, kind="toy", version=2)


@pytest.mark.parametrize(
    "changes", [{"config": {"x": float("nan")}}, {"metadata": {"x": object()}}, {"tensors": {"x": np.array(["a"])}}]
)
def test_what_the_file_cannot_hold_is_refused_and_the_old_file_stays(path, changes):
    content = path.read_bytes()
    with pytest.raises(ModelError, match=r"wrong type|has type <U1"):
        write(path, **changes)
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=re.escape("checkpoint cannot be written to")):
        write(tmp_path / "file" / "toy.safetensors")


def test_nothing_but_the_file_is_left_behind(path):
    write(path)
    assert [place.name for place in path.parent.iterdir()] == ["toy.safetensors"]
