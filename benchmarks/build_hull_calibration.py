"""Make the shipped calibration of distances to the hull: residuals of labelled crystals against CHGNet's two hulls.

    python benchmarks/build_hull_calibration.py [--train 10000] [--work-folder FOLDER] [--workers 1]

The *own* hull is that of CHGNet's energies; the *DFT* hull that of the labels, from which CHGNet's distance differs by
the error of its formation energy (one of the two sources of labels states formation energies).

Crystals are those of the validation split and a random sample of the training split (both by chemical system; the test
split is left to ``bench_stability.py``). Energies are those of the reference; what lies too far above the hull to be in
it is evaluated at its own geometry. Resumes from its work folder. CHGNet was trained on these crystals, whatever the
split.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from labelled import dft_hull_residuals, elemental_energies, labelled_crystals, labelled_rows, own_hull_residuals
from machine import describe_machine

from genmat.interop.io import write_text
from genmat.reference.io import load_reference
from genmat.screening.uncertainty import DFT_HULL, Calibration

OUTPUT = Path(__file__).resolve().parents[1] / "genmat/screening/data/hull_calibration.json"


def main() -> None:
    """Write the calibration."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--train", type=int, default=10_000, help="crystals of the training split")
    parser.add_argument("--seed", type=int, default=0, help="seed of their sample")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--work-folder", type=Path, default=Path("genmat-output/bench"), help="what is done; resumes")
    arguments = parser.parse_args()
    print(describe_machine())

    rows = labelled_rows("val")
    train = labelled_rows("train")
    chosen = np.random.default_rng(arguments.seed).permutation(len(train))[: arguments.train]
    rows += [train[position] for position in sorted(chosen.tolist())]
    reference = load_reference()
    crystals = labelled_crystals(
        rows, reference=reference, work_folder=arguments.work_folder, workers=arguments.workers
    )
    content: dict = {
        "made_by": "benchmarks/build_hull_calibration.py",
        "attribution": "labels: Materials Project, CC BY 4.0",
        "reference_id": reference.id,
        "labels": {},
    }
    residuals = own_hull_residuals(crystals, reference.hull())
    for source in sorted({crystal.source for crystal in crystals}):
        mine = [residual for crystal, residual in zip(crystals, residuals, strict=True) if crystal.source == source]
        calibration = Calibration.from_residuals(
            mine, scale=reference.scale, population=f"{len(mine)} Materials Project crystals, labels {source}"
        )
        content["labels"][source] = calibration.to_dict()
        _print(source, calibration)
    mine = dft_hull_residuals(crystals, rows, elemental_energies())
    calibration = Calibration.from_residuals(
        mine,
        scale=reference.scale,
        population=f"{len(mine)} Materials Project crystals, labels materials_project, hull of the labels",
    )
    content[DFT_HULL] = calibration.to_dict()
    _print(DFT_HULL, calibration)
    write_text(OUTPUT, json.dumps(content, indent=1) + "\n")


def _print(source: str, calibration: Calibration) -> None:
    for name, category in calibration.categories.items():
        print(f"{source} {name}: {category.n} crystals, 90 % from {category.low[3]:+.3f} to {category.high[3]:+.3f}")


if __name__ == "__main__":
    main()
