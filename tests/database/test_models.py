from __future__ import annotations

import numpy as np
import pytest

from genmat.database.models import PACKAGED, model_document, packaged_models, register_model
from genmat.errors import InputError
from genmat.models.tensors import write_checkpoint

METADATA = {
    "data": {"file": "t.parquet", "sha256": "ab" * 32, "splits": {"train": 90, "val": 10}},
    "metrics": {"gene_accuracy": 0.5, "heads": {"gap": {"mae": 0.3, "name": "x"}}},
}


def checkpoint(path, *, value: float = 1.0, kind: str = "foundation"):
    write_checkpoint(
        path, kind=kind, version=1, config={}, tensors={"w": np.full(3, value, np.float32)}, metadata=METADATA
    )
    return path


def test_a_document_says_what_the_file_says(tmp_path):
    document = model_document(checkpoint(tmp_path / "m.safetensors"), name="mine")
    assert document.id == f"mine-{document.sha256[:12]}"
    assert document.kind == "foundation"
    assert document.training_data == "t.parquet sha256:abababababab (90 train, 10 val)"
    assert document.metrics == {"gene_accuracy": 0.5, "heads_gap_mae": 0.3}


def test_registering_twice_changes_nothing(store, tmp_path):
    document = model_document(checkpoint(tmp_path / "m.safetensors"), name="mine", version="1")
    assert register_model(store, document)
    assert not register_model(store, document)
    assert store.models.require("mine-1") == document


def test_another_model_under_the_same_name_and_version_is_refused(store, tmp_path):
    register_model(store, model_document(checkpoint(tmp_path / "m.safetensors"), name="mine", version="1"))
    other = model_document(checkpoint(tmp_path / "n.safetensors", value=2.0), name="mine", version="1")
    with pytest.raises(InputError, match=r"registered with SHA-256 .* choose another --model-version"):
        register_model(store, other)


def test_the_state_of_a_training_run_is_no_model(tmp_path):
    path = checkpoint(tmp_path / "pretrain.state", kind="foundation-training")
    with pytest.raises(InputError, match="holds the state of a training run, expected a trained model"):
        model_document(path, name="mine")


def test_models_that_come_with_genmat_are_listed_without_a_database():
    for document in packaged_models():
        assert document.name.startswith("genmat-")
        assert document.version == PACKAGED
