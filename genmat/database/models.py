"""Registered models: from the file of a trained model to its document."""

from __future__ import annotations

import math
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genmat.database.documents import ModelDocument
from genmat.errors import InputError
from genmat.models.tensors import read_any_checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genmat.database.store import Store

PACKAGED = "built-in"
"""Version of the models that come with genmat."""


def model_document(path: Path, *, name: str, version: str | None = None, licence: str = "not stated") -> ModelDocument:
    """Return what the file of a trained model says about it.

    Parameters
    ----------
    path
        The file.
    name
        Name to register it under.
    version
        Its version; the first digits of its SHA-256 if ``None``.
    licence
        Of the weights.

    Raises
    ------
    ModelError
        If the file is missing, damaged or no checkpoint of genmat.
    InputError
        If it holds the state of a training run, not a model.
    """
    kind, checkpoint = read_any_checkpoint(path)
    if kind.endswith("-training"):
        msg = f"{path} holds the state of a training run, expected a trained model: give the file of --output"
        raise InputError(msg)
    metadata = checkpoint.metadata
    digest = str(metadata["sha256"])
    parent = checkpoint.config.get("encoder_sha256") or metadata.get("parent")
    chosen = version or digest[:12]
    return ModelDocument(
        id=f"{name}-{chosen}",
        name=name,
        version=chosen,
        kind=kind,
        sha256=digest,
        license=licence,
        location=str(path.absolute()),
        training_data=_training_data(metadata),
        metrics=_flattened(metadata.get("metrics", {})),
        parent=None if parent is None else str(parent),
    )


def packaged_models() -> list[ModelDocument]:
    """Return the models that come with genmat, by name."""
    folder = Path(str(resources.files("genmat.models"))) / "data"
    return [
        model_document(path, name=f"genmat-{path.stem}", version=PACKAGED, licence="as genmat")
        for path in sorted(folder.glob("*.safetensors"))
    ]


def register_model(store: Store, document: ModelDocument) -> bool:
    """Register a model; return whether it is new.

    Raises
    ------
    InputError
        If another one is registered under its name and version.
    """
    known = store.models.get_many([document.id]).get(document.id)
    if known is not None and known.sha256 != document.sha256:
        msg = (
            f"model {document.id!r} is registered with SHA-256 {known.sha256[:12]}, this file has "
            f"{document.sha256[:12]}: choose another --model-version"
        )
        raise InputError(msg)
    store.models.put([document])
    return known is None


def _training_data(metadata: Mapping[str, Any]) -> str | None:
    """Return the data of a training in a line: file, SHA-256, rows."""
    data = metadata.get("data")
    if not isinstance(data, dict):
        return metadata.get("data_id")
    entries = {"": data} if "sha256" in data else data
    parts = []
    for name, entry in entries.items():
        rows = ", ".join(f"{count} {split}" for split, count in entry.get("splits", {}).items())
        title = f"{name}: " if name else ""
        shown = f" ({rows})" if rows else ""
        parts.append(f"{title}{entry.get('file')} sha256:{str(entry.get('sha256'))[:12]}{shown}")
    return "; ".join(parts) or None


def _flattened(value: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return nested metrics as numbers by joined names, what is no finite number left out."""
    found: dict[str, float] = {}
    for name, item in value.items():
        if isinstance(item, dict):
            found |= _flattened(item, f"{prefix}{name}_")
        elif isinstance(item, int | float) and not isinstance(item, bool) and math.isfinite(item):
            found[f"{prefix}{name}"] = float(item)
    return found
