"""Measure verdicts of stability on held-out labelled crystals: each hull, with and without the conformal interval.

    python benchmarks/bench_stability.py [--tolerance 0.08] [--work-folder FOLDER] [--workers 1] [--output FILE]

*Own hull*: distance of CHGNet's energy to the hull of CHGNet's energies. *DFT hull*: distance of CHGNet's energy to the
hull of the labels, which is the label plus the error of CHGNet's formation energy, as Matbench Discovery does it; only
one of the two sources of labels has formation energies. Validation and test split are judged against a calibration of
the training split, each of the two vintages of labels by itself, never pooled. "Held out" means from the calibration:
CHGNet was trained on the Materials Project, on these crystals too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from labelled import dft_hull_residuals, elemental_energies, labelled_crystals, labelled_rows, own_hull_residuals
from machine import describe_machine

from genmat.interop.io import write_text
from genmat.reference.io import load_reference
from genmat.screening.uncertainty import Calibration, Residual, chemistry_class

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CONFIDENCES = (0.8, 0.9, 0.95)


def main() -> None:
    """Print the measurements and write them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--tolerance", type=float, default=0.08, help="τ, eV/atom")
    parser.add_argument("--train", type=int, default=10_000, help="crystals of the training split")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--work-folder", type=Path, default=Path("genmat-output/bench"), help="what is done; resumes")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/stability.json"))
    arguments = parser.parse_args()
    print(describe_machine())

    reference = load_reference()
    rows = {split: labelled_rows(split) for split in ("train", "val", "test")}
    chosen = np.random.default_rng(0).permutation(len(rows["train"]))[: arguments.train]
    rows["train"] = [rows["train"][position] for position in sorted(chosen.tolist())]
    crystals = {
        split: labelled_crystals(
            some, reference=reference, work_folder=arguments.work_folder, workers=arguments.workers
        )
        for split, some in rows.items()
    }
    result: dict[str, Any] = {"machine": describe_machine(), "tolerance": arguments.tolerance, "sets": {}}

    hull, energies = reference.hull(), elemental_energies()
    sets: dict[str, dict[str, list[Residual]]] = {
        f"own hull, labels {source}": {
            split: own_hull_residuals([crystal for crystal in some if crystal.source == source], hull)
            for split, some in crystals.items()
        }
        for source in sorted({crystal.source for crystal in crystals["test"]})
    }
    sets["DFT hull, labels materials_project"] = {
        split: dft_hull_residuals(some, rows[split], energies) for split, some in crystals.items()
    }
    for name, known in sets.items():
        calibration = Calibration.from_residuals(known["train"], scale=reference.scale, population="training split")
        result["sets"][name] = judge([*known["val"], *known["test"]], calibration, arguments.tolerance)
    for name, numbers in result["sets"].items():
        print(f"{name}: {json.dumps({k: v for k, v in numbers.items() if k != 'by_class'})}")
    write_text(arguments.output, json.dumps(result, indent=1) + "\n")


def judge(residuals: Sequence[Residual], calibration: Calibration, tolerance: float) -> dict[str, Any]:
    """Return errors, verdicts at the tolerance, and coverage of the intervals."""
    predicted = np.maximum([item.predicted for item in residuals], 0.0)
    label = np.maximum([item.label for item in residuals], 0.0)
    stable = label <= tolerance
    intervals = {
        confidence: [
            calibration.interval(item.composition, item.predicted, confidence=confidence, is_member=True)
            for item in residuals
        ]
        for confidence in CONFIDENCES
    }
    low, high = (np.array([getattr(found, end) for found in intervals[0.9]]) for end in ("low", "high"))
    covered = (low <= label) & (label <= high)
    classes = np.array([chemistry_class(item.composition).value for item in residuals])
    return {
        "n": len(residuals),
        "stable_labels": float(stable.mean()),
        "mean_absolute_error": float(np.abs(label - predicted).mean()),
        "median_absolute_error": float(np.median(np.abs(label - predicted))),
        "point": verdicts(predicted <= tolerance, stable),
        "interval_below": verdicts(high <= tolerance, stable),
        "interval_not_above": verdicts(low <= tolerance, stable),
        "straddling": float(((low <= tolerance) & (tolerance < high)).mean()),
        "coverage": {
            str(confidence): float(
                np.mean([found.low <= y <= found.high for found, y in zip(some, label, strict=True)])
            )
            for confidence, some in intervals.items()
        },
        "median_width": float(np.median(high - low)),
        "by_class": {
            name: {"n": int((classes == name).sum()), "coverage": float(covered[classes == name].mean())}
            for name in sorted(set(classes))
        },
    }


def verdicts(accepted: NDArray[np.bool_], stable: NDArray[np.bool_]) -> dict[str, float]:
    """Return precision, recall and F1 of an acceptance."""
    both = float((accepted & stable).sum())
    precision, recall = both / max(accepted.sum(), 1), both / max(stable.sum(), 1)
    return {
        "accepted": float(accepted.mean()),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(precision + recall, 1e-12),
    }


if __name__ == "__main__":
    main()
