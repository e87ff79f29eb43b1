"""Files of Stage 1: the model alone, and the state of a training run that goes on where it stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from genmat.errors import ModelError
from genmat.models.foundation.config import FoundationConfig
from genmat.models.foundation.model import FoundationModel
from genmat.models.tensors import read_checkpoint, write_checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from genmat.models.foundation.train import Optimisers

KIND = "foundation"
CHECKPOINT_VERSION = 1
_OPTIMISER = "optimiser"


def save_model(path: Path, model: FoundationModel, *, metadata: Mapping[str, Any], half: bool = True) -> str:
    """Write a model and return the SHA-256 of its content; ``half`` stores 16 bits a number."""
    return write_checkpoint(
        path,
        kind=KIND,
        version=CHECKPOINT_VERSION,
        config=model.config.to_dict(),
        tensors=model.state_dict(),
        metadata=metadata,
        half=half,
    )


def load_model(path: Path, *, sha256: str | None = None) -> FoundationModel:
    """Return a model, ready to be used.

    Raises
    ------
    ModelError
        If the file is missing, damaged, of another kind, of a newer version or not the registered one.
    """
    config, tensors, _ = read_checkpoint(path, kind=KIND, version=CHECKPOINT_VERSION, sha256=sha256)
    model = FoundationModel(FoundationConfig.from_dict(config))
    restore(model, tensors, path=path)
    return model.eval().requires_grad_(requires_grad=False)


def save_state(path: Path, model: FoundationModel, optimisers: Optimisers, step: int, *, run: str) -> None:
    """Write the state of a training run after ``step`` steps; ``run`` identifies data and configuration."""
    tensors = model.state_dict() | _optimiser_tensors(model, optimisers)
    write_checkpoint(
        path,
        kind=f"{KIND}-training",
        version=CHECKPOINT_VERSION,
        config=model.config.to_dict(),
        tensors=tensors,
        metadata={"step": step, "run": run},
    )


def load_state(path: Path, model: FoundationModel, optimisers: Optimisers, *, run: str) -> int:
    """Restore what :func:`save_state` wrote and return its number of steps; 0 if there is no file.

    Raises
    ------
    ModelError
        If the file belongs to a run with other data or another configuration.
    """
    if not path.exists():
        return 0
    _, tensors, metadata = read_checkpoint(path, kind=f"{KIND}-training", version=CHECKPOINT_VERSION)
    if metadata["run"] != run:
        msg = f"{path} belongs to a training run with other data or another configuration: choose another work folder"
        raise ModelError(msg)
    restore(model, {name: value for name, value in tensors.items() if not name.startswith(_OPTIMISER)}, path=path)
    for name, parameter in model.named_parameters():
        for part in optimisers.parts:
            keys = [key for key in tensors if key.startswith(f"{_OPTIMISER}/{name}/")]
            if any(parameter is owned for group in part.param_groups for owned in group["params"]):
                part.state[parameter] = {
                    key.rsplit("/", 1)[1]: torch.from_numpy(tensors[key].copy()).to(parameter.device) for key in keys
                }
    return int(metadata["step"])


def restore(model: torch.nn.Module, tensors: Mapping[str, NDArray[Any]], *, path: Path) -> None:
    """Copy arrays into a model.

    Raises
    ------
    ModelError
        If names or shapes do not fit the model.
    """
    state = {name: torch.from_numpy(value.copy()) for name, value in tensors.items()}
    try:
        model.load_state_dict(state)
    except RuntimeError as err:
        msg = f"checkpoint {path} does not fit its own configuration: {str(err).splitlines()[-1].strip()}"
        raise ModelError(msg) from err


def _optimiser_tensors(model: FoundationModel, optimisers: Optimisers) -> dict[str, torch.Tensor]:
    found = {}
    for name, parameter in model.named_parameters():
        for part in optimisers.parts:
            for key, value in part.state.get(parameter, {}).items():
                found[f"{_OPTIMISER}/{name}/{key}"] = value
    return found
