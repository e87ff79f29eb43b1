"""Measure property heads on the frozen encoder against Magpie descriptors with gradient boosting, on the same splits.

    python benchmarks/bench_property.py --checkpoint foundation.safetensors --output heads.safetensors

For each property: the baseline (``magpie.py``, scikit-learn's HistGradientBoostingRegressor, configuration chosen by
validation error) and the head (features chosen likewise) are trained on ``train``; the errors are those of ``test``.
``--output`` keeps the heads, ``--baseline FILE`` reads the baseline's numbers if the file exists and writes them if
not: they do not depend on the encoder. ``--only NAME …`` restricts the properties.

CrabNet's numbers are those its authors publish with their code for Wang et al., npj Comput. Mater. 7, 77 (2021),
doi:10.1038/s41524-021-00545-1 (mean absolute errors on the linear scale). Its AFLOW splits are the ones used here, but
without pure elements (732 and 724 test rows), hence the last column but one: the head's error on compounds only.
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

    from genmat.models.property import PropertyDefinition
    from genmat.models.property.sample import PropertyHead

    FloatArray = NDArray[np.float64]

SEED = 0
LATENT_GAINS = (0.25, 1.0)
"""Factors of the latents to choose from by validation error, beside the features."""
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


def fit_heads(
    tables: dict[str, PropertyTable], checkpoint: Path, feature_sets: tuple[FeatureSet, ...]
) -> tuple[dict[str, PropertyHead], dict[str, float], str]:
    """Return the head of each property, its test error on compounds, and the SHA-256 of the encoder."""
    import torch

    from genmat.models.foundation.checkpoint import CHECKPOINT_VERSION, KIND, load_model
    from genmat.models.foundation.sample import encode
    from genmat.models.foundation.tokens import TokenTable
    from genmat.models.property.features import head_features
    from genmat.models.property.finetune import finetune
    from genmat.models.tensors import read_checkpoint

    torch.set_num_threads(1)
    encoder = load_model(checkpoint)
    sha256 = str(read_checkpoint(checkpoint, kind=KIND, version=CHECKPOINT_VERSION).metadata["sha256"])
    heads, compounds = {}, {}
    for name, table in tables.items():
        begin = time.process_time()
        tokens = TokenTable.from_crystals(table.crystals)
        latent, gene_latent = (encode(encoder, tokens, has_geometry=seen) for seen in (True, False))
        encoded = time.process_time()
        configs = [
            replace(shipped_config(name), features=features, latent_gain=gain)
            for features in feature_sets
            for gain in (LATENT_GAINS if features is not FeatureSet.LATENT else (1.0,))
        ]
        head = heads[name] = finetune(table, tokens, latent, gene_latent=gene_latent, configs=configs, seed=SEED)
        rows = np.flatnonzero(
            table.rows("test") & np.array([len(crystal.element_counts) >= COMPOUND for crystal in table.crystals])
        )
        features = head_features(latent[rows], tokens[rows], features=head.config.features)
        compounds[name] = float(np.abs(head.predict(features).value - table.values[rows]).mean())
        seconds = time.process_time() - encoded
        print(f"{name}: encoded in {encoded - begin:.0f} s, trained in {seconds:.0f} s of one core", flush=True)
    return heads, compounds, sha256


def read_baseline(path: Path | None) -> dict[str, Baseline]:
    """Return what an earlier run measured; empty if there is none."""
    if path is None or not path.is_file():
        return {}
    return {name: Baseline(**entry) for name, entry in json.loads(path.read_text(encoding="utf-8")).items()}


def report(
    tables: dict[str, PropertyTable],
    baselines: dict[str, Baseline],
    heads: dict[str, PropertyHead],
    compounds: dict[str, float],
) -> None:
    """Print the table, one line a property."""
    print(describe_machine())
    print("| property, unit | train / val / test | baseline | head | of baseline | 90 % holds | compounds | CrabNet |")
    print("|---|---|---|---|---|---|---|---|")
    for name, table in tables.items():
        counts = " / ".join(f"{int(table.rows(split).sum()):,}" for split in ("train", "val", "test"))
        error = heads[name].metrics.test["mae"]
        published = SOURCES[name].crabnet
        cells = [
            f"{name}, {PROPERTIES[name].unit} ({heads[name].config.features})",
            counts,
            f"{baselines[name].test_mae:.4g}",
            f"{error:.4g}",
            f"{100 * error / baselines[name].test_mae:.0f} %",
            f"{100 * heads[name].metrics.test['coverage']:.0f} %",
            f"{compounds[name]:.4g}",
            "" if published is None else f"{published:.4g}",
        ]
        print(f"| {' | '.join(cells)} |")
    wins = sum(heads[name].metrics.test["mae"] < baselines[name].test_mae for name in tables)
    published = {name: SOURCES[name].crabnet for name in tables}
    ahead = [name for name, error in published.items() if error is not None and compounds[name] < error]
    print(f"better than the baseline on {wins} of {len(tables)}, than CrabNet on {', '.join(ahead) or 'none'}")


def main() -> None:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(description="Measure property heads against Magpie + gradient boosting.")
    parser.add_argument("--checkpoint", type=Path, help="foundation model; without it only the baseline is measured")
    parser.add_argument("--output", type=Path, help="heads to write (.safetensors)")
    parser.add_argument("--baseline", type=Path, help="numbers of the baseline, read if there, else written (.json)")
    parser.add_argument("--only", nargs="+", choices=list(SOURCES), default=list(SOURCES), help="properties")
    parser.add_argument(
        "--features",
        nargs="+",
        type=FeatureSet,
        default=[FeatureSet.LATENT_DESCRIPTORS],
        help="features to choose from",
    )
    arguments = parser.parse_args()
    folder, begin = shared_data(), time.process_time()
    known = read_baseline(arguments.baseline)
    tables, baselines = {}, {}
    for name in arguments.only:
        source = SOURCES[name]
        tables[name] = read_property_table(folder / source.file, column=source.column, split_column=source.split)
        baselines[name] = known.get(name) or fit_baseline(
            tables[name], PROPERTIES[name], describe(tables[name].crystals)
        )
        print(f"{name}: baseline {asdict(baselines[name])}", flush=True)
    if arguments.baseline is not None:
        content = {name: asdict(baseline) for name, baseline in (known | baselines).items()}
        arguments.baseline.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if arguments.checkpoint is None:
        return
    heads, compounds, sha256 = fit_heads(tables, arguments.checkpoint, tuple(arguments.features))
    report(tables, baselines, heads, compounds)
    if arguments.output is not None:
        from genmat.models.property.checkpoint import write_heads

        write_heads(
            heads,
            arguments.output,
            encoder_sha256=sha256,
            metadata={"seed": SEED, "sources": {name: asdict(SOURCES[name]) for name in heads}},
        )
        print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.2f} MB")
    print(f"{time.process_time() - begin:.0f} s of one core")


if __name__ == "__main__":
    main()
