"""Stage 1 from data to a file: a run that resumes, on one device or as several processes of one thread each."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed

from genmat.errors import InputError, ModelError
from genmat.models.foundation.checkpoint import (
    CHECKPOINT_VERSION,
    KIND,
    load_model,
    load_state,
    save_model,
    save_state,
)
from genmat.models.foundation.metrics import validation_metrics
from genmat.models.foundation.train import pretrain
from genmat.models.runs import (
    CONTINUE,
    StopRequest,
    TrainingRun,
    check_device,
    describe_device,
    differences,
    one_thread,
    stopping_on_signals,
    training_metadata,
)
from genmat.models.tensors import read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from multiprocessing.process import BaseProcess

    from genmat.models.foundation.config import FoundationConfig, PretrainConfig
    from genmat.models.foundation.model import FoundationModel
    from genmat.models.foundation.train import Optimisers, PretrainData

logger = logging.getLogger(__name__)

NAME = "pretrain"
"""Stem of the files of a run."""
PARENT_CHECK_SECONDS = 2.0
GROUP_TIMEOUT = timedelta(minutes=20)
"""How long a process waits for the others."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a process stands in its group: its rank, how many there are, where they meet, who started it."""

    rank: int
    world: int
    meeting: str
    parent: int


type Report = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Resources:
    """Where a run takes place.

    Parameters
    ----------
    device
        ``cpu``, ``cuda`` or ``cuda:1`` and such.
    processes
        Processes on a CPU that share each batch, one thread each.
    save_seconds
        Longest time between two saved states, s.
    report_every
        Steps between two lines of the log.

    Raises
    ------
    InputError
        If the device is not there or processes are asked for on a GPU.
    """

    device: str = "cpu"
    processes: int = 1
    save_seconds: float = 120.0
    report_every: int = 20

    def __post_init__(self) -> None:
        """Check device and number of processes."""
        check_device(self.device)
        if self.processes < 1 or (self.processes > 1 and self.device != "cpu"):
            msg = f"{self.processes} processes on {self.device}: expected one, or several on the CPU"
            raise InputError(msg)


def run_pretraining(  # noqa: PLR0913 - what, how and where
    data: PretrainData,
    *,
    provenance: Mapping[str, Any],
    config: FoundationConfig,
    training: PretrainConfig,
    output: Path,
    folder: Path,
    resources: Resources,
    start: Path | None = None,
    report: Report | None = None,
) -> dict[str, Any]:
    """Train Stage 1 (or go on with it), measure it, write it, and return what its file says about it.

    Parameters
    ----------
    data
        Crystals with their labels.
    provenance
        Where they are from; ``sha256`` of the file, rows, labels.
    config, training
        What is trained, and how.
    output
        File of the model.
    folder
        Work folder.
    resources
        Where.
    start
        Model whose weights training begins from; ``None`` begins from random ones.
    report
        Called with each line of the log.

    Raises
    ------
    KeyboardInterrupt
        If a signal ended the run; its state is saved.
    ModelError
        If the folder belongs to another run, one of the processes died, or ``start`` cannot be used.
    InputError
        If ``start`` has another configuration.
    """
    first = None if start is None else _first_model(start, config)
    identity = {
        "data": {name: value for name, value in provenance.items() if name != "file"},
        "config": config.to_dict(),
        "training": training.to_dict(),
        "processes": resources.processes,
        "device": resources.device.partition(":")[0],
        "start": None if first is None else first[1],
    }
    with one_thread(), TrainingRun(folder, NAME, identity) as run, stopping_on_signals() as stop:
        job = _Job(data, config, training, None if first is None else first[0], run.state, run.id)
        model = _train(job, run=run, resources=resources, report=report, stop=stop)
        metrics = validation_metrics(model, data, max_energy_above_hull=training.max_energy_above_hull)
        metadata = training_metadata(
            run,
            data=provenance,
            parent=identity["start"],
            seed=training.seed,
            training=training.to_dict(),
            device=describe_device(resources.device),
            processes=resources.processes,
            metrics=metrics,
        )
        sha256 = save_model(output, model.cpu(), metadata=metadata)
    return metadata | {"sha256": sha256}


def _first_model(path: Path, config: FoundationConfig) -> tuple[FoundationModel, str]:
    """Return the model to begin from and the SHA-256 of its file's content."""
    model = load_model(path).requires_grad_(requires_grad=True)
    if model.config != config:
        msg = f"{path} has another configuration: {'; '.join(differences(config.to_dict(), model.config.to_dict()))}"
        raise InputError(msg)
    return model, str(read_checkpoint(path, kind=KIND, version=CHECKPOINT_VERSION).metadata["sha256"])


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """What all processes of a run have in common: ``start`` to begin from, ``state`` and ``run`` to go on from."""

    data: PretrainData
    config: FoundationConfig
    training: PretrainConfig
    start: FoundationModel | None
    state: Path
    run: str


def _train(
    job: _Job, *, run: TrainingRun, resources: Resources, report: Report | None, stop: StopRequest
) -> FoundationModel:
    """Run all steps that are left and return the model."""
    held: list[FoundationModel] = []
    done = step = n_steps = 0

    def resume(model: FoundationModel, optimisers: Optimisers) -> int:
        nonlocal done
        held.append(model)
        done = load_state(run.state, model, optimisers, run=run.id)
        run.resume_clock(done)
        if done:
            logger.info("%s goes on after step %d", NAME, done)
        return done

    def save(model: FoundationModel, optimisers: Optimisers, step: int) -> None:
        save_state(run.state, model, optimisers, step, run=run.id)

    with _followers(job, resources=resources) as followers:
        try:
            for progress in pretrain(
                job.data,
                config=job.config,
                training=job.training,
                device=resources.device,
                start=job.start,
                save=save,
                resume=resume,
                stop=stop,
                report_every=resources.report_every,
                save_seconds=resources.save_seconds,
            ):
                record = run.report(progress, crystals_per_step=job.training.batch_size, n_done=done)
                step, n_steps = progress.step, progress.n_steps
                if report is not None:
                    report(record)
        except RuntimeError as err:
            if dead := [process for process in followers if process.exitcode is not None]:
                code = dead[0].exitcode
                msg = f"{len(dead)} of {resources.processes} processes died (exit code {code}): {CONTINUE}"
                raise ModelError(msg) from err
            raise
    if stop() and step < n_steps:
        msg = f"interrupted after step {step} of {n_steps}; nothing is lost, {CONTINUE}"
        raise KeyboardInterrupt(msg)
    return held[0].eval()


@contextlib.contextmanager
def _followers(job: _Job, *, resources: Resources) -> Iterator[list[BaseProcess]]:
    """Start all processes but this one, and make this one the first of their group."""
    if resources.processes == 1:
        yield []
        return
    context = get_context("spawn")
    # One machine: nothing outside of it can reach the group.
    before = os.environ.get("GLOO_SOCKET_IFNAME")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory(prefix="genmat-") as folder:
        meeting = f"file://{Path(folder) / 'group'}"
        world = resources.processes
        followers = [
            context.Process(
                target=_follow,
                args=(_Place(rank, world, meeting, os.getpid()), job),
                daemon=True,
            )
            for rank in range(1, world)
        ]
        for process in followers:
            process.start()
        try:
            distributed.init_process_group("gloo", init_method=meeting, rank=0, world_size=world, timeout=GROUP_TIMEOUT)
            yield list(followers)
        finally:
            for process in followers:
                process.join(timeout=5.0 if process.exitcode is None else 0.0)
                process.terminate()
                process.join()
            if distributed.is_initialized():
                distributed.destroy_process_group()
            if before is None:
                os.environ.pop("GLOO_SOCKET_IFNAME", None)


def _follow(place: _Place, job: _Job) -> None:
    """Take the same steps as the first process with another part of each batch."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process decides when to stop
    threading.Thread(target=_end_with_parent, args=(place.parent,), daemon=True).start()
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=place.meeting, rank=place.rank, world_size=place.world, timeout=GROUP_TIMEOUT
    )

    def resume(model: FoundationModel, optimisers: Optimisers) -> int:
        return load_state(job.state, model, optimisers, run=job.run)

    for _ in pretrain(job.data, config=job.config, training=job.training, start=job.start, resume=resume):
        pass
    distributed.destroy_process_group()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(1)
