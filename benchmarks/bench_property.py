"""Measure property heads on the frozen encoder against Magpie descriptors with gradient boosting, on the same splits.

    python benchmarks/bench_property.py                                        # the models that genmat ships
    python benchmarks/bench_property.py --train --checkpoint foundation.safetensors --output heads.safetensors

Baseline (``magpie.py``, scikit-learn's HistGradientBoostingRegressor, configuration chosen by validation error) and
heads (features chosen likewise) are trained on ``train``; the errors are those of ``test``. The baseline's numbers do
not depend on the encoder: they are kept in ``results/property_baseline.json``; remove it to measure them again.

CrabNet's numbers are those its authors publish with their code for Wang et al., npj Comput. Mater. 7, 77 (2021),
doi:10.1038/s41524-021-00545-1 (mean absolute errors on the linear scale). Its AFLOW splits are the ones used here, but
without pure elements (732 and 724 test rows), hence the column beside: the head's error on compounds only.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from machine import describe_machine, shared_data
from magpie import describe

from genmat.models.property import PROPERTIES, FeatureSet, shipped_config
from genmat.models.property.io import PropertyTable, read_property_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genmat.models.foundation.model import FoundationModel
    from genmat.models.property import PropertyDefinition
    from genmat.models.property.sample import PropertyHead

    FloatArray = NDArray[np.float64]

SEED = 0
BASELINE = Path(__file__).parent / "results" / "property_baseline.json"
COMPOUND = 2
"""Elements that a compound has at least."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a property's values are, and CrabNet's published error (property's unit) where it has one."""

    file: str
    column: str
    split: str
    crabnet: float | None


_AFLOW = "aflow_thermomechanical.parquet"
SOURCES = {
    "band_gap": Source("mp_structures.parquet", "band_gap", "split", None),
    "bulk_modulus": Source(_AFLOW, "bulk_modulus_vrh_gpa", "split_bulk_modulus", 8.692),
    "shear_modulus": Source(_AFLOW, "shear_modulus_vrh_gpa", "split_shear_modulus", 9.082),
    "debye_temperature": Source(_AFLOW, "debye_temperature_k", "split_debye_temperature", 33.46),
    "thermal_conductivity": Source(_AFLOW, "thermal_conductivity_300k_w_mk", "split_thermal_conductivity", 2.318),
    "thermal_expansion": Source(_AFLOW, "thermal_expansion_300k_1_k", "split_thermal_expansion", 3.847e-6),
}
"""Property by property; CrabNet has no head for the gap on this split."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """Errors of the baseline, property's unit, and its configuration."""

    validation_mae: float
    test_mae: float
    seconds: float
    configuration: dict[str, str | int | float]


GRID: tuple[dict[str, str | int | float], ...] = (
    {"learning_rate": 0.06, "max_iter": 400, "max_leaf_nodes": 31, "min_samples_leaf": 10, "loss": "squared_error"},
    {"learning_rate": 0.06, "max_iter": 600, "max_leaf_nodes": 15, "min_samples_leaf": 5, "loss": "squared_error"},
    {"learning_rate": 0.03, "max_iter": 800, "max_leaf_nodes": 31, "min_samples_leaf": 5, "loss": "squared_error"},
    {"learning_rate": 0.06, "max_iter": 400, "max_leaf_nodes": 31, "min_samples_leaf": 10, "loss": "absolute_error"},
)
"""Configurations of the baseline: shallow and deep, fast and slow, both losses."""


def fit_baseline(table: PropertyTable, definition: PropertyDefinition, descriptors: FloatArray) -> Baseline:
    """Return the errors of the configuration with the lowest validation error."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    begin = time.process_time()
    train, validation, test = (table.rows(split) for split in ("train", "val", "test"))
    target = definition.to_scale(table.values[train])
    mean, scale = target.mean(), target.std()
    found = []
    for options in GRID:
        model = HistGradientBoostingRegressor(max_features=0.3, l2_regularization=1.0, random_state=SEED, **options)
        model.fit(descriptors[train], (target - mean) / scale)
        errors = [
            np.abs(definition.from_scale(model.predict(descriptors[rows]) * scale + mean) - table.values[rows]).mean()
            for rows in (validation, test)
        ]
        found.append((float(errors[0]), float(errors[1]), options))
    best = min(found, key=lambda item: item[0])
    return Baseline(best[0], best[1], time.process_time() - begin, best[2])


@dataclass(frozen=True, slots=True)
class Measured:
    """A head, its errors on the test rows (property's unit), and the share of them inside its 90 % interval."""

    head: PropertyHead
    test_mae: float
    coverage: float
    compounds_mae: float
    gene_mae: float


def measure_heads(
    tables: dict[str, PropertyTable], encoder: FoundationModel, heads: dict[str, PropertyHead] | None
) -> dict[str, Measured]:
    """Return what the head of each property achieves; train heads where none are given."""
    from genmat.models.foundation.sample import encode
    from genmat.models.foundation.tokens import TokenTable
    from genmat.models.property.features import head_features
    from genmat.models.property.finetune import finetune, held_out_errors, without_geometry

    found = {}
    for name, table in tables.items():
        begin = time.process_time()
        tokens = TokenTable.from_crystals(table.crystals)
        latent, gene_latent = (encode(encoder, tokens, has_geometry=seen) for seen in (True, False))
        encoded = time.process_time()
        if heads is None:
            configs = [replace(shipped_config(name), features=features) for features in FeatureSet]
            head = finetune(table, tokens, latent, gene_latent=gene_latent, configs=configs, seed=SEED)
        else:
            head = heads[name]
        kind = head.config.features
        rows = np.flatnonzero(table.rows("test"))
        compounds = rows[[len(table.crystals[row].element_counts) >= COMPOUND for row in rows]]
        errors, on_compounds = (
            held_out_errors(head, head_features(latent[part], tokens[part], features=kind), table.values[part])
            for part in (rows, compounds)
        )
        genes = head_features(gene_latent[rows], without_geometry(tokens[rows]), features=kind)
        on_genes = held_out_errors(head, genes, table.values[rows])
        found[name] = Measured(head, errors["mae"], errors["coverage"], on_compounds["mae"], on_genes["mae"])
        seconds = time.process_time() - encoded
        print(f"{name}: encoded in {encoded - begin:.0f} s, head in {seconds:.0f} s of one core", flush=True)
    return found


def read_baseline(path: Path | None) -> dict[str, Baseline]:
    """Return what an earlier run measured; empty if there is none."""
    if path is None or not path.is_file():
        return {}
    return {name: Baseline(**entry) for name, entry in json.loads(path.read_text(encoding="utf-8")).items()}


def report(tables: dict[str, PropertyTable], baselines: dict[str, Baseline], found: dict[str, Measured]) -> None:
    """Print the table, one line a property."""
    print(describe_machine())
    print(
        "| property, unit | train / val / test | baseline | head | ratio | in 90 % | gene alone | compounds | CrabNet |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, table in tables.items():
        measured, published = found[name], SOURCES[name].crabnet
        cells = [
            f"{name}, {PROPERTIES[name].unit}",
            " / ".join(f"{int(table.rows(split).sum()):,}" for split in ("train", "val", "test")),
            f"{baselines[name].test_mae:.4g}",
            f"{measured.test_mae:.4g}",
            f"{measured.test_mae / baselines[name].test_mae:.2f}",
            f"{100 * measured.coverage:.0f} %",
            f"{measured.gene_mae:.4g}",
            f"{measured.compounds_mae:.4g}",
            "" if published is None else f"{published:.4g}",
        ]
        print(f"| {' | '.join(cells)} |")
    wins = sum(found[name].test_mae < baselines[name].test_mae for name in tables)
    published = {name: error for name in tables if (error := SOURCES[name].crabnet) is not None}
    ahead = sum(found[name].compounds_mae < error for name, error in published.items())
    print(f"features: {', '.join(f'{name} {item.head.config.features}' for name, item in found.items())}")
    print(f"better than the baseline on {wins} of {len(tables)}, than CrabNet on {ahead} of {len(published)}")


def main() -> None:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(description="Measure property heads against Magpie + gradient boosting.")
    parser.add_argument("--checkpoint", type=Path, help="foundation model; default the one that genmat ships")
    parser.add_argument("--heads", type=Path, help="heads to measure; default those that genmat ships")
    parser.add_argument("--train", action="store_true", help="train heads (seed 0) instead of reading them")
    parser.add_argument("--output", type=Path, help="where to keep the heads that --train made (.safetensors)")
    parser.add_argument("--baseline", type=Path, default=BASELINE, help="read if it exists, else measured and written")
    parser.add_argument("--only", nargs="+", choices=list(SOURCES), default=list(SOURCES), help="properties")
    arguments = parser.parse_args()
    folder, begin = shared_data(), time.process_time()

    import torch

    from genmat.models.bundle import FOUNDATION, HEADS, packaged_models
    from genmat.models.foundation.checkpoint import CHECKPOINT_VERSION, KIND, load_model
    from genmat.models.property.checkpoint import read_heads, write_heads
    from genmat.models.tensors import read_checkpoint

    torch.set_num_threads(1)
    checkpoint = arguments.checkpoint or packaged_models() / FOUNDATION
    encoder = load_model(checkpoint)
    sha256 = str(read_checkpoint(checkpoint, kind=KIND, version=CHECKPOINT_VERSION).metadata["sha256"])
    heads = None
    if not arguments.train:
        heads = read_heads(arguments.heads or packaged_models() / HEADS, encoder_sha256=sha256)
    known = read_baseline(arguments.baseline)
    tables, baselines = {}, {}
    for name in arguments.only:
        source, definition = SOURCES[name], PROPERTIES[name]
        table = read_property_table(folder / source.file, column=source.column, split_column=source.split)
        tables[name] = table
        baselines[name] = known.get(name) or fit_baseline(table, definition, describe(table.crystals))
    content = {name: asdict(baseline) for name, baseline in (known | baselines).items()}
    arguments.baseline.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    found = measure_heads(tables, encoder, heads)
    report(tables, baselines, found)
    if arguments.train and arguments.output is not None:
        trained = {name: item.head for name, item in found.items()}
        write_heads(trained, arguments.output, encoder_sha256=sha256, metadata={"seed": SEED})
        print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.2f} MB")
    print(f"{time.process_time() - begin:.0f} s of one core")


if __name__ == "__main__":
    main()
