from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from genmat.errors import InputError, ModelError
from genmat.models.foundation.checkpoint import load_model
from genmat.models.foundation.pretraining import Resources, run_pretraining
from genmat.models.foundation.train import PretrainData, epoch_batches, learning_rate, new_model, pretrain
from genmat.models.tensors import read_any_checkpoint

PROVENANCE = {"file": "toy.parquet", "sha256": "ab" * 32, "splits": {"train": 96, "val": 24, "test": 0}}

PROGRAM = """
import os, pickle, signal, sys
from pathlib import Path
from genmat.models.foundation.pretraining import Resources, run_pretraining
data, config, training, provenance, folder = pickle.loads(Path(sys.argv[1]).read_bytes())
def die(record):
    if record["step"] == 7:
        os.kill(os.getpid(), signal.SIGKILL)
run_pretraining(data, provenance=provenance, config=config, training=training, output=folder / "m.safetensors",
                folder=folder / "work", resources=Resources(save_seconds=0.0, report_every=1), report=die)
"""


def train(data, config, training, folder, **options):
    options = {"resources": Resources(report_every=1), **options}
    return run_pretraining(
        data,
        provenance=PROVENANCE,
        config=config,
        training=training,
        output=folder / "m.safetensors",
        folder=folder / "work",
        **options,
    )


@pytest.fixture(scope="module")
def undisturbed(data, small, short, tmp_path_factory):
    """Train to the end; return the folder and what the file says."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, train(data, small, short, folder)


def test_training_lowers_the_losses(undisturbed):
    lines = [json.loads(line) for line in (undisturbed[0] / "work/pretrain.log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, lines[-1]["n_steps"] + 1))
    losses = [line["losses"]["gene"] + line["losses"]["coordinates"] for line in lines]
    assert sum(losses[-3:]) < 0.95 * sum(losses[:3])  # an epoch each: batches differ in length
    assert lines[-1]["seconds"] > 0
    assert lines[-1]["crystals_per_second"] > 0


def test_the_file_says_what_it_was_trained_on(undisturbed, small, short):
    folder, said = undisturbed
    kind, checkpoint = read_any_checkpoint(folder / "m.safetensors")
    metadata = checkpoint.metadata
    assert kind == "foundation"
    assert metadata["data"] == PROVENANCE
    assert metadata["data_id"] == PROVENANCE["sha256"]
    assert (metadata["seed"], metadata["training"], metadata["device"]) == (short.seed, short.to_dict(), "cpu")
    assert checkpoint.config == small.to_dict()
    assert metadata["losses"]["gene"] > 0
    assert metadata["sha256"] == said["sha256"]
    metrics = metadata["metrics"]
    assert 0.0 <= metrics["gene_accuracy"] <= metrics["space_group_accuracy"] <= 1.0
    assert metrics["energy_above_hull_mae_ev_per_atom"] > 0
    assert load_model(folder / "m.safetensors").config == small


def test_a_killed_run_goes_on_to_the_same_bits(undisturbed, data, small, short, tmp_path):
    work = tmp_path / "job.pickle"
    work.write_bytes(pickle.dumps((data, small, short, PROVENANCE, tmp_path)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(work)], env=environment, check=False, capture_output=True, timeout=120
    )
    assert finished.returncode == -signal.SIGKILL, finished.stderr.decode()
    assert not (tmp_path / "m.safetensors").exists()
    first: list[int] = []
    said = train(data, small, short, tmp_path, report=lambda record: first.append(record["step"]))
    assert first[0] == 7  # the state of step 6 was saved before the kill
    assert said["sha256"] == undisturbed[1]["sha256"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_after_a_step_and_it_goes_on_to_the_same_bits(
    undisturbed, data, small, short, tmp_path, number
):
    def interrupt(record):
        if record["step"] == 5:
            os.kill(os.getpid(), number)

    handler = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt, match=r"after step 6 of \d+; nothing is lost, give the same command again"):
        train(data, small, short, tmp_path, report=interrupt)
    assert signal.getsignal(number) == handler
    said = train(data, small, short, tmp_path)
    assert said["sha256"] == undisturbed[1]["sha256"]
    assert said["seconds"] > 0


def test_a_finished_run_is_not_trained_again(undisturbed, data, small, short):
    folder, said = undisturbed
    reports: list[object] = []
    again = train(data, small, short, folder, report=reports.append)
    assert reports == []
    assert again["sha256"] == said["sha256"]
    assert again["seconds"] == said["seconds"]


def test_the_folder_of_another_run_is_refused_with_the_difference(undisturbed, data, small, short):
    with pytest.raises(ModelError, match=r"another run of pretrain: training.seed is 4, was 3; choose another"):
        train(data, small, replace(short, seed=4), undisturbed[0])
    with pytest.raises(ModelError, match=r"config.width is 32, was 16"):
        train(data, replace(small, width=32), short, undisturbed[0])


def test_the_folder_of_a_live_run_is_refused(data, small, short, tmp_path):
    def train_again(_record):
        train(data, small, short, tmp_path)

    with pytest.raises(ModelError, match="another process trains pretrain"):
        train(data, small, short, tmp_path, report=train_again)


def test_a_log_line_that_a_kill_cut_off_is_left_out(undisturbed, data, small, short, tmp_path):
    with pytest.raises(ZeroDivisionError):
        train(data, small, short, tmp_path, report=lambda record: 1 // (record["step"] < 4))
    log = tmp_path / "work/pretrain.log.jsonl"
    log.write_text(log.read_text() + '{"step": 4, "n_st')
    assert train(data, small, short, tmp_path)["sha256"] == undisturbed[1]["sha256"]


def test_two_processes_share_each_batch(data, small, short, tmp_path):
    said = train(data, small, replace(short, epochs=1), tmp_path, resources=Resources(processes=2, report_every=1))
    assert said["processes"] == 2
    assert np.isfinite(said["losses"]["gene"])
    assert not torch.distributed.is_initialized()


def test_training_can_begin_from_a_model(undisturbed, data, small, short, tmp_path):
    first = undisturbed[0] / "m.safetensors"
    said = train(data, small, replace(short, epochs=1), tmp_path, start=first)
    assert said["parent"] == undisturbed[1]["sha256"]
    line = json.loads((tmp_path / "work/pretrain.log.jsonl").read_text().splitlines()[0])
    begun = json.loads((undisturbed[0] / "work/pretrain.log.jsonl").read_text().splitlines()[0])
    assert line["losses"]["gene"] < begun["losses"]["gene"]
    with pytest.raises(InputError, match="another configuration: width is 16, was 32"):
        train(data, replace(small, width=32), short, tmp_path / "other", start=first)


def test_a_loss_that_is_not_finite_ends_training_before_it_harms_the_weights(data, small, short):
    saved: list[torch.nn.Module] = []
    own = PretrainData(data.tokens[np.arange(len(data.tokens))], data.labels, data.is_training, data.is_validation)
    steps = pretrain(own, config=small, training=short, save=lambda model, _o, _s: saved.append(model), report_every=1)
    next(steps)
    own.tokens.shapes[:] = np.inf
    with pytest.raises(InputError, match=r"the loss of step 1 is not finite .* lower the learning rate"):
        next(steps)
    assert all(torch.isfinite(parameter).all() for parameter in saved[-1].parameters())


def test_a_crystal_may_lack_labels(data, small, short):
    labels = data.labels.copy()
    labels[::3, 0] = np.nan
    labels[1::3, 2] = np.nan
    some = PretrainData(data.tokens, labels, data.is_training, data.is_validation)
    for progress in pretrain(some, config=small, training=replace(short, epochs=1)):
        assert np.isfinite(list(progress.losses.values())).all()


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_empty_split_is_refused(data, split):
    nothing = np.zeros(len(data.tokens), dtype=bool)
    parts = {"train": (nothing, data.is_validation), "val": (data.is_training, nothing)}[split]
    with pytest.raises(InputError, match=f"the split '{split}' holds no crystal"):
        PretrainData(data.tokens, data.labels, *parts)


def test_labels_that_are_all_missing_are_refused(data):
    labels = data.labels.copy()
    labels[:, 0] = np.nan
    with pytest.raises(InputError, match="no training crystal has a label 'formation_energy_per_atom'"):
        PretrainData(data.tokens, labels, data.is_training, data.is_validation)


def test_a_batch_larger_than_the_data_is_refused(data, small, short):
    with pytest.raises(InputError, match="96 training crystals do not fill a batch of 4096: lower it"):
        next(pretrain(data, config=small, training=replace(short, batch_size=4096)))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"device": "tpu"}, "device is 'tpu', expected 'cpu', 'cuda'"),
        ({"device": "cuda:99"}, "device 'cuda:99' is not there"),
        ({"processes": 0}, "0 processes on cpu: expected one, or several"),
    ],
)
def test_resources_that_are_not_there_are_refused(options, expected):
    with pytest.raises(InputError, match=expected):
        Resources(**options)


def test_batches_hold_every_chosen_crystal_once(data, short):
    rows = np.concatenate([rows for rows, _ in epoch_batches(data, replace(short, batch_size=8), epoch=0)])
    assert len(set(rows.tolist())) == len(rows)
    assert data.is_training[rows].all()


def test_the_learning_rate_rises_stays_and_falls_to_zero(short):
    factors = [learning_rate(step, 1000, short) for step in range(1000)]
    assert factors[0] < 0.1
    assert factors[300] == 1.0
    assert factors[-1] < 0.01


def test_scales_of_a_new_model_fit_the_training_crystals(data, small):
    model = new_model(small, data, seed=0)
    mean = np.nanmean(data.labels[data.is_training], axis=0)
    assert np.allclose(model.property_mean.numpy(), mean, atol=1e-5)
    assert (model.element_volumes > 1.0).all()
