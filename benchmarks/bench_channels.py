"""Measure which descriptor channels of x earn their place: short trainings of Stage 1, each without one of them.

    python benchmarks/bench_channels.py [--epochs 2] [--processes 2] [--work-folder FOLDER] [--output FILE]

Every run is what ``genmat train pretrain`` does with ``mp_structures.parquet``, with the same seed and length, and one
channel of :class:`genmat.models.foundation.config.FoundationConfig` switched off. Judged on the
validation split: what :func:`genmat.models.foundation.metrics.validation_metrics` reports, and the formation energy of
crystals with a seldom element (in less than 1 % of the training crystals). A killed benchmark goes on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from machine import describe_machine, shared_data

from genmat.interop.io import write_text
from genmat.models.foundation.checkpoint import load_model
from genmat.models.foundation.config import INTRINSIC, FoundationConfig, PretrainConfig
from genmat.models.foundation.metrics import validation_metrics
from genmat.models.foundation.pretraining import Resources, run_pretraining
from genmat.models.foundation.sample import encode, predict
from genmat.reference.io import load_reference
from genmat.reference.training.io import read_training_table

if TYPE_CHECKING:
    from genmat.models.foundation.model import FoundationModel
    from genmat.models.foundation.train import PretrainData

CHANNELS = ("element_descriptors", "composition_descriptors", "environments")
SELDOM = 0.01
"""Share of the training crystals below which an element is seldom."""


def main() -> None:
    """Train, judge, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--epochs", type=int, default=2, help="passes of each training")
    parser.add_argument("--processes", type=int, default=2, help="processes that train")
    parser.add_argument("--work-folder", type=Path, default=Path("genmat-output/channels"), help="models; resumes")
    parser.add_argument("--output", type=Path, default=None, help="outcomes (.json)")
    arguments = parser.parse_args()
    print(describe_machine())
    folder = arguments.work_folder
    folder.mkdir(parents=True, exist_ok=True)
    table = read_training_table(
        shared_data() / "mp_structures.parquet",
        reference=load_reference(),
        work_folder=folder,
        workers=arguments.processes,
    )
    found = {}
    for without in ("none", *CHANNELS):
        path = folder / f"{without}.safetensors"
        if not path.exists():
            run_pretraining(
                table.data,
                provenance=table.provenance,
                config=FoundationConfig(**({} if without == "none" else {without: False})),
                training=PretrainConfig(epochs=arguments.epochs),
                output=path,
                folder=folder / without,
                resources=Resources(processes=arguments.processes),
            )
        model = load_model(path)
        found[without] = {
            **validation_metrics(model, table.data, max_energy_above_hull=0.1, n=1000),
            **seldom_metrics(model, table.data),
        }
        print(without, json.dumps(found[without]), flush=True)
    if arguments.output is not None:
        result = {"machine": describe_machine(), "epochs": arguments.epochs, "seldom": SELDOM, "without": found}
        write_text(arguments.output, json.dumps(result, indent=1, allow_nan=False) + "\n")


def seldom_metrics(model: FoundationModel, data: PretrainData) -> dict[str, float]:
    """Return errors of the formation energy (eV/atom) of validation crystals with a seldom element."""
    present = np.stack([(data.tokens.elements == z).any(axis=1) for z in range(1, 119)], axis=1)
    share = present[data.is_training].mean(axis=0)
    seldom = present[:, (share > 0) & (share < SELDOM)].any(axis=1)
    rows = np.flatnonzero(data.is_validation & seldom)
    column = INTRINSIC.index("formation_energy_per_atom")
    found = {"n_seldom": float(np.isfinite(data.labels[rows, column]).sum())}
    for prefix, has_geometry in (("", True), ("gene_only_", False)):
        mean, _ = predict(model, encode(model, data.tokens[rows], has_geometry=has_geometry))
        error = np.abs(mean[:, column] - data.labels[rows, column])
        found[f"{prefix}seldom_formation_energy_mae_ev_per_atom"] = float(np.nanmean(error))
    return found


if __name__ == "__main__":
    main()
