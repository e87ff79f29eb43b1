"""Fit the coefficients of the template generator's score to relaxed decorations, and measure how well it orders them.

    python benchmarks/fit_stability_score.py [TABLE]

TABLE (default: tests/generation/data/relaxed_decorations.csv) has one decorated template a line: id of the template,
substitution (``Na:K Cl:Br``), energy above the packaged reference's hull after relaxation with its potential, eV/atom.
The coefficients printed are those of genmat.generation.score; AUC is that of five-fold cross-validation.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genmat.generation.library import template_library
from genmat.generation.score import Features, features, stability_score
from genmat.reference.entries import ATOMIC_NUMBERS
from genmat.reference.io import load_reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

TABLE = Path(__file__).parents[1] / "tests" / "generation" / "data" / "relaxed_decorations.csv"
TOLERANCE = 0.08
"""eV/atom."""
PENALTY = 0.03
"""Inverse of the ridge penalty on coefficients of standardised features."""
N_FOLDS = 5


def read_table(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return features (n, n_features), energies above the hull (n,) and present scores (n,)."""
    library = template_library(load_reference())
    by_id = {template.material_id: template for template in library.templates}
    rows, energies, scores = [], [], []
    with path.open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            template = by_id.get(line["template"])
            if template is None:
                continue
            mapping = dict(pair.split(":") for pair in line["substitution"].split())
            changes = {ATOMIC_NUMBERS[old]: ATOMIC_NUMBERS[new] for old, new in mapping.items()}
            elements = tuple(changes.get(z, z) for z in template.elements)
            rows.append(astuple(features(library, template, elements)))
            energies.append(float(line["energy_above_hull"]))
            scores.append(stability_score(library, template, elements))
    return np.asarray(rows), np.asarray(energies), np.asarray(scores)


def fit(design: NDArray[np.float64], stable: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the intercept and one coefficient a feature of a ridge-penalised logistic regression."""
    mean, spread = design.mean(axis=0), design.std(axis=0)
    spread[spread == 0.0] = 1.0
    x = np.column_stack([np.ones(len(design)), (design - mean) / spread])
    ridge = np.diag([0.0, *[1.0 / PENALTY] * design.shape[1]])
    weights = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-(x @ weights)))
        hessian = (x.T * (p * (1.0 - p))) @ x + ridge
        weights += np.linalg.solve(hessian, x.T @ (stable - p) - ridge @ weights)
    slopes = weights[1:] / spread
    return np.concatenate([[weights[0] - slopes @ mean], slopes])


def area_under_curve(scores: NDArray[np.float64], stable: NDArray[np.bool_]) -> float:
    """Return the probability that a stable decoration scores above an unstable one."""
    above = (scores[stable][:, None] > scores[~stable][None, :]).mean()
    equal = (scores[stable][:, None] == scores[~stable][None, :]).mean()
    return float(above + 0.5 * equal)


def main() -> None:
    """Print the coefficients and what they achieve."""
    design, energies, scores = read_table(Path(sys.argv[1]) if len(sys.argv) > 1 else TABLE)
    stable = energies <= TOLERANCE
    folds = np.random.default_rng(0).permutation(len(stable)) % N_FOLDS
    predicted = np.empty(len(stable))
    for fold in range(N_FOLDS):
        coefficients = fit(design[folds != fold], stable[folds != fold])
        predicted[folds == fold] = coefficients[0] + design[folds == fold] @ coefficients[1:]
    print(f"{len(stable)} relaxed decorations, {stable.mean():.1%} within {TOLERANCE} eV/atom of the hull")
    print(f"AUC of the score as it stands {area_under_curve(scores, stable):.3f}")
    print(f"AUC of a new fit, cross-validated {area_under_curve(predicted, stable):.3f}")
    coefficients = fit(design, stable)
    print(f"INTERCEPT = {coefficients[0]:.3f}")
    for item, value, column in zip(fields(Features), coefficients[1:], design.T, strict=True):
        print(f"{item.name}={value:.3f},  # alone: AUC {area_under_curve(column, stable):.3f}")


if __name__ == "__main__":
    main()
