"""Stage 3 from data to a file: a run that resumes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from genmat.models.foundation import checkpoint as foundation_checkpoint
from genmat.models.generator.checkpoint import load_state, save_flow, save_state
from genmat.models.generator.config import GeneratorConfig
from genmat.models.generator.data import MEASURED, generator_data
from genmat.models.generator.train import flow_loss, train_flow
from genmat.models.property.checkpoint import read_heads
from genmat.models.runs import (
    CONTINUE,
    StopRequest,
    TrainingRun,
    check_device,
    describe_device,
    one_thread,
    stopping_on_signals,
    training_metadata,
)
from genmat.models.tensors import read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from genmat.models.foundation.train import PretrainData
    from genmat.models.generator.config import GeneratorTraining
    from genmat.models.generator.model import LatentFlow
    from genmat.models.generator.train import GeneratorData

    type Report = Callable[[Mapping[str, Any]], None]

NAME = "generator"
"""Stem of the files of a run."""
VALIDATION_BATCH = 512


def run_flow_training(  # noqa: PLR0913 - what, how and where
    data: PretrainData,
    *,
    provenance: Mapping[str, Any],
    foundation: Path,
    heads: Path | None,
    sizes: Mapping[str, int],
    training: GeneratorTraining,
    output: Path,
    folder: Path,
    device: str = "cpu",
    save_seconds: float = 120.0,
    report: Report | None = None,
) -> dict[str, Any]:
    """Train Stage 3 (or go on with it), measure it, write it, and return what its file says about it.

    Parameters
    ----------
    data
        Crystals of Stage 1 with their labels.
    provenance
        Where they are from; ``sha256`` of the file, rows, labels.
    foundation
        Model whose encoder makes the latents.
    heads
        Heads of that model, which label the crystals; ``None`` for a generator of intrinsic properties alone.
    sizes
        Sizes of the network that differ from :class:`GeneratorConfig`.
    training
        How it is trained.
    output
        File of the model.
    folder
        Work folder.
    device
        Where.
    save_seconds
        Longest time between two saved states, s.
    report
        Called with each line of the log.

    Raises
    ------
    KeyboardInterrupt
        If a signal ended the run; its state is saved.
    ModelError
        If the folder belongs to another run, or the foundation model or the heads cannot be used.
    """
    check_device(device)
    model = foundation_checkpoint.load_model(foundation)
    encoder = _sha256(foundation, foundation_checkpoint.KIND)
    known = {} if heads is None else read_heads(heads, encoder_sha256=encoder)
    config = GeneratorConfig(model.config.latent_size, properties=MEASURED + tuple(known), **sizes)
    identity = {
        "data": {name: value for name, value in provenance.items() if name != "file"},
        "config": config.to_dict(),
        "training": training.to_dict(),
        "foundation": encoder,
        "heads": None if heads is None else _sha256(heads, "property-heads"),
        "device": device.partition(":")[0],
    }
    with one_thread(), TrainingRun(folder, NAME, identity) as run, stopping_on_signals() as stop:
        model.to(device)
        seen = generator_data(data, model, known)
        average = _train(seen, config, training, run=run, device=device, times=save_seconds, report=report, stop=stop)
        held_out = replace(data, is_training=data.is_validation)
        metadata = training_metadata(
            run,
            data=provenance,
            parent=encoder,
            heads=identity["heads"],
            seed=training.seed,
            training=training.to_dict(),
            device=describe_device(device),
            metrics=_metrics(average, seen, generator_data(held_out, model, known), training),
        )
        sha256 = save_flow(output, average.cpu(), encoder_sha256=encoder, metadata=metadata)
    return metadata | {"sha256": sha256}


def _sha256(path: Path, kind: str) -> str:
    return str(read_checkpoint(path, kind=kind, version=1).metadata["sha256"])


def _train(
    data: GeneratorData,
    config: GeneratorConfig,
    training: GeneratorTraining,
    *,
    run: TrainingRun,
    device: str,
    times: float,
    report: Report | None,
    stop: StopRequest,
) -> LatentFlow:
    """Run all steps that are left and return the running mean."""
    held: list[LatentFlow] = []
    done = step = n_steps = 0

    def resume(flow: LatentFlow, average: LatentFlow, optimiser: torch.optim.Optimizer) -> int:
        nonlocal done
        held.append(average)
        done = load_state(run.state, flow, average, optimiser, run=run.id)
        run.resume_clock(done)
        return done

    def save(flow: LatentFlow, average: LatentFlow, optimiser: torch.optim.Optimizer, step: int) -> None:
        save_state(run.state, flow, average, optimiser, step, run=run.id)

    for progress in train_flow(
        data,
        config=config,
        training=training,
        device=device,
        save=save,
        resume=resume,
        stop=stop,
        save_seconds=times,
    ):
        record = run.report(progress, crystals_per_step=training.batch_size, n_done=done)
        step, n_steps = progress.step, progress.n_steps
        if report is not None:
            report(record)
    if stop() and step < n_steps:
        msg = f"interrupted after step {step} of {n_steps}; nothing is lost, {CONTINUE}"
        raise KeyboardInterrupt(msg)
    return held[0].eval()


@torch.no_grad()
def _metrics(
    flow: LatentFlow, seen: GeneratorData, held_out: GeneratorData, training: GeneratorTraining
) -> dict[str, float]:
    """Return the loss on held-out crystals and how many there were on either side."""
    rng = np.random.default_rng([training.seed, 2])
    losses, weights = [], []
    for start in range(0, len(held_out.latents), VALIDATION_BATCH):
        rows = np.arange(start, min(start + VALIDATION_BATCH, len(held_out.latents)))
        losses.append(float(flow_loss(flow, held_out, rows, training, rng=rng)))
        weights.append(len(rows))
    return {
        "validation_velocity_loss": float(np.average(losses, weights=weights)),
        "n_train": float(len(seen.latents)),
        "n_validation": float(len(held_out.latents)),
    }
