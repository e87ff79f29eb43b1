"""Files of Stage 3: the flow alone, and the state of a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from genmat.errors import ModelError
from genmat.models.foundation.checkpoint import restore
from genmat.models.generator.config import GeneratorConfig
from genmat.models.generator.model import LatentFlow
from genmat.models.tensors import Checkpoint, read_checkpoint, write_checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KIND = "generator"
CHECKPOINT_VERSION = 1


def save_flow(path: Path, flow: LatentFlow, *, encoder_sha256: str, metadata: Mapping[str, Any]) -> str:
    """Write a flow (16 bits a number) and return the SHA-256 of its content.

    Parameters
    ----------
    path
        The file.
    flow
        G.
    encoder_sha256
        Content of the foundation model whose latents it makes.
    metadata
        Training data, seed, metrics.
    """
    return write_checkpoint(
        path,
        kind=KIND,
        version=CHECKPOINT_VERSION,
        config=flow.config.to_dict() | {"encoder_sha256": encoder_sha256},
        tensors=flow.state_dict(),
        metadata=metadata,
        half=True,
    )


def load_flow(path: Path, *, encoder_sha256: str | None = None, sha256: str | None = None) -> LatentFlow:
    """Return a flow, ready to be used.

    Raises
    ------
    ModelError
        If the file is missing, damaged or of another kind, or the flow belongs to another foundation model.
    """
    config, tensors, _ = read_checkpoint(path, kind=KIND, version=CHECKPOINT_VERSION, sha256=sha256)
    trained_on = str(config.pop("encoder_sha256", ""))
    if encoder_sha256 is not None and trained_on != encoder_sha256:
        msg = (
            f"generator {path} makes latents of the foundation model {trained_on[:12]}, not of {encoder_sha256[:12]}: "
            "train one on this model (genmat train generator)"
        )
        raise ModelError(msg)
    flow = LatentFlow(GeneratorConfig.from_dict(config))
    restore(flow, tensors, path=path)
    return flow.eval().requires_grad_(requires_grad=False)


def save_state(
    path: Path, flow: LatentFlow, average: LatentFlow, optimiser: torch.optim.Optimizer, step: int, *, run: str
) -> None:
    """Write the state of a training run after ``step`` steps; ``run`` identifies data and configuration."""
    names = [name for name, _ in flow.named_parameters()]
    state = optimiser.state_dict()["state"]
    tensors = {f"flow/{key}": value for key, value in flow.state_dict().items()}
    tensors |= {f"average/{key}": value for key, value in average.state_dict().items()}
    tensors |= {
        f"optimiser/{names[index]}/{key}": value for index, values in state.items() for key, value in values.items()
    }
    write_checkpoint(
        path,
        kind=f"{KIND}-training",
        version=CHECKPOINT_VERSION,
        config=flow.config.to_dict(),
        tensors=tensors,
        metadata={"step": step, "run": run},
    )


def load_state(path: Path, flow: LatentFlow, average: LatentFlow, optimiser: torch.optim.Optimizer, *, run: str) -> int:
    """Restore what :func:`save_state` wrote and return its number of steps; 0 if there is no file.

    Raises
    ------
    ModelError
        If the file belongs to a run with other data or another configuration.
    """
    if not path.exists():
        return 0
    found: Checkpoint = read_checkpoint(path, kind=f"{KIND}-training", version=CHECKPOINT_VERSION)
    if found.metadata["run"] != run:
        msg = f"{path} belongs to a training run with other data or another configuration: choose another work folder"
        raise ModelError(msg)
    for prefix, model in (("flow/", flow), ("average/", average)):
        part = {key.removeprefix(prefix): value for key, value in found.tensors.items() if key.startswith(prefix)}
        restore(model, part, path=path)
    for name, parameter in flow.named_parameters():
        prefix = f"optimiser/{name}/"
        optimiser.state[parameter] = {
            key.removeprefix(prefix): torch.from_numpy(value.copy()).to(parameter.device)
            for key, value in found.tensors.items()
            if key.startswith(prefix)
        }
    return int(found.metadata["step"])
