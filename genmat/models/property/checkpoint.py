"""Heads on disk: all of them in one file, float16, with the encoder that they belong to."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from genmat.errors import InputError, ModelError, did_you_mean
from genmat.models.property.config import HeadConfig, HeadMetrics
from genmat.models.property.model import HeadEnsemble
from genmat.models.property.sample import PropertyHead
from genmat.models.tensors import read_checkpoint, write_checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KIND = "property-heads"
CHECKPOINT_VERSION = 1
"""Version of the layout below; older ones go through :data:`genmat.models.tensors.UPDATERS`."""


def write_heads(
    heads: Mapping[str, PropertyHead], path: Path, *, encoder_sha256: str, metadata: Mapping[str, Any] | None = None
) -> str:
    """Write heads to one file; return the SHA-256 of its content.

    Parameters
    ----------
    heads
        By the name of their property.
    path
        The file.
    encoder_sha256
        Content of the checkpoint whose encoder made the features.
    metadata
        Training data, seed and such.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    config = {
        "encoder_sha256": encoder_sha256,
        "heads": {
            name: {
                "config": head.config.to_dict(),
                "n_features": len(head.feature_mean),
                "target_mean": head.target_mean,
                "target_scale": head.target_scale,
                "calibration": head.calibration,
            }
            for name, head in heads.items()
        },
    }
    tensors: dict[str, Any] = {}
    for name, head in heads.items():
        tensors |= {f"{name}/{key}": value for key, value in head.network.state_dict().items()}
        tensors |= {f"{name}/feature_mean": head.feature_mean, f"{name}/feature_scale": head.feature_scale}
    return write_checkpoint(
        path,
        kind=KIND,
        version=CHECKPOINT_VERSION,
        config=config,
        tensors=tensors,
        metadata={**(metadata or {}), "metrics": {name: asdict(head.metrics) for name, head in heads.items()}},
        half=True,
    )


def read_heads(
    path: Path, *, encoder_sha256: str | None = None, sha256: str | None = None, names: tuple[str, ...] | None = None
) -> dict[str, PropertyHead]:
    """Return the heads of a file by the name of their property.

    Parameters
    ----------
    path
        The file.
    encoder_sha256
        The encoder that will make the features; ``None`` not to check.
    sha256
        Registered content; ``None`` accepts any that agrees with its header.
    names
        Heads wanted; ``None`` for all.

    Raises
    ------
    ModelError
        As :func:`genmat.models.tensors.read_checkpoint`; also if the heads belong to another encoder, one of ``names``
        is not among them, or a tensor is missing or of another shape.
    """
    config, tensors, metadata = read_checkpoint(path, kind=KIND, version=CHECKPOINT_VERSION, sha256=sha256)
    trained_on = str(config.get("encoder_sha256"))
    if encoder_sha256 is not None and trained_on != encoder_sha256:
        msg = (
            f"heads {path} belong to the encoder {trained_on[:12]}, not to {encoder_sha256[:12]}: "
            "train them on this one (genmat train finetune)"
        )
        raise ModelError(msg)
    stored = config.get("heads", {})
    for name in names or ():
        if name not in stored:
            msg = f"{path} has no head for {name!r}, it has {', '.join(stored)}.{did_you_mean(name, stored)}"
            raise ModelError(msg)
    try:
        return {
            name: _head(name, entry, tensors, metadata["metrics"][name])
            for name, entry in stored.items()
            if names is None or name in names
        }
    except (KeyError, TypeError, ValueError, RuntimeError, InputError) as err:
        msg = f"heads {path} are damaged: {type(err).__name__}: {str(err).splitlines()[0]}"
        raise ModelError(msg) from err


def _head(name: str, entry: dict[str, Any], tensors: dict[str, Any], metrics: dict[str, Any]) -> PropertyHead:
    config = HeadConfig.from_dict(entry["config"])
    prefix = f"{name}/"
    own = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    mean, scale = (np.asarray(own.pop(key), dtype=np.float32) for key in ("feature_mean", "feature_scale"))
    network = HeadEnsemble(config, int(entry["n_features"]))
    network.load_state_dict({key: torch.from_numpy(value) for key, value in own.items()})
    network.eval()
    return PropertyHead(
        config=config,
        network=network,
        feature_mean=mean,
        feature_scale=scale,
        target_mean=float(entry["target_mean"]),
        target_scale=float(entry["target_scale"]),
        calibration=float(entry["calibration"]),
        metrics=HeadMetrics(**metrics),
    )
