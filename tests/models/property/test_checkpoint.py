"""Heads on disk."""

from __future__ import annotations

import numpy as np
import pytest

from genmat.errors import ModelError
from genmat.models.property.checkpoint import CHECKPOINT_VERSION, KIND, read_heads, write_heads
from genmat.models.tensors import read_checkpoint, write_checkpoint
from tests.models.property.conftest import fit, quick, toy

ENCODER = "e" * 64


@pytest.fixture(scope="module")
def path(head, tmp_path_factory):
    place = tmp_path_factory.mktemp("heads") / "heads.safetensors"
    write_heads({"toughness": head, "other": fit(quick())}, place, encoder_sha256=ENCODER, metadata={"seed": 1})
    return place


def test_heads_predict_the_same_after_storage(path, head):
    features, *_ = toy()
    found = read_heads(path, encoder_sha256=ENCODER)
    assert list(found) == ["other", "toughness"] or list(found) == ["toughness", "other"]
    before, after = head.predict(features), found["toughness"].predict(features)
    np.testing.assert_allclose(after.value, before.value, rtol=0.01)
    np.testing.assert_allclose(after.standard_deviation, before.standard_deviation, rtol=0.02)
    assert found["toughness"].config == head.config
    assert found["toughness"].metrics == head.metrics


def test_heads_of_another_encoder_are_refused(path):
    with pytest.raises(ModelError, match=r"belong to the encoder eeeeeeeeeeee, not to ffffffffffff: train them"):
        read_heads(path, encoder_sha256="f" * 64)


def test_only_the_heads_asked_for_are_read(path):
    assert list(read_heads(path, names=("toughness",))) == ["toughness"]
    with pytest.raises(ModelError, match=r"has no head for 'toughnes'.*Did you mean 'toughness'\?"):
        read_heads(path, names=("toughnes",))


def test_registered_hash_is_checked(path):
    with pytest.raises(ModelError, match="registered is 000000000000"):
        read_heads(path, sha256="0" * 64)


@pytest.mark.parametrize("damage", ["tensor", "shape", "config"])
def test_a_damaged_file_is_one_clear_line(path, tmp_path, damage):
    config, tensors, metadata = read_checkpoint(path, kind=KIND, version=CHECKPOINT_VERSION)
    if damage == "tensor":
        del tensors["toughness/output"]
    elif damage == "shape":
        tensors["toughness/output"] = tensors["toughness/output"][:, :-1]
    else:
        config["heads"]["toughness"]["config"]["likelihood"] = "cauchy"
    place = tmp_path / "damaged.safetensors"
    write_checkpoint(
        place, kind=KIND, version=CHECKPOINT_VERSION, config=config, tensors=tensors, metadata=metadata, half=True
    )
    with pytest.raises(ModelError, match=r"are damaged: \w+") as caught:
        read_heads(place)
    assert "\n" not in str(caught.value)
