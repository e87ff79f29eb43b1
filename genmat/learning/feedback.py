"""From what became of proposals to the weights of the next round's.

Each judged proposal n has a credit c_n between 0 and 1: how nearly it was what the campaign is after,

    c_n = 1 / (1 + exp[(E_n − τ) / ε])                                                      (1)

with its energy above the hull E_n, the tolerance τ and ε = 25 meV/atom, the error of the potentials; 0 if it failed
otherwise (off target, known after all, exploded, invalid). What fell for want of room (not selected, duplicate) says
nothing and is left out. The log-odds of credit are modelled as

    ln[p_n / (1 − p_n)] = b + a s_n + Σ_{e in n} w_e + w_{g(n)}                             (2)

with the generator's own score s_n, a weight w_e for each element and w_g for the anonymous gene. The weights are
those of largest posterior probability under a normal prior of mean 0, that is, they maximise

    Σ_n [c_n ln p_n + (1 − c_n) ln(1 − p_n)] − Σ_e w_e² / 2σ_e² − Σ_g w_g² / 2σ_g² − a² / 2σ_a²            (3)

a concave function: there is one maximum, whatever the order of the outcomes. An element seen once moves little, one
that failed in ten good-looking compounds moves much, and a gene is not blamed for its elements (MacKay, Neural
Computation 4, 720 (1992), https://doi.org/10.1162/neco.1992.4.5.720).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genmat.errors import InputError
from genmat.generation.draw import NEUTRAL, ProposalWeights
from genmat.screening.verdict import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

ENERGY_WIDTH = 0.025
"""ε of equation (1), eV/atom."""

ELEMENT_SPREAD = 0.7
"""σ_e of equation (3), log-odds."""

TEMPLATE_SPREAD = 1.0
"""σ_g of equation (3), log-odds."""

SCORE_SPREAD = 1.0
"""σ_a of equation (3) (dimensionless)."""

MAX_WEIGHT = 3.0
"""No weight is larger in size (log-odds) before the strength multiplies it."""

UNINFORMATIVE = frozenset(
    {
        Reason.GENERATOR_FAILED,
        Reason.DUPLICATE,
        Reason.NOT_SELECTED,
        Reason.DUPLICATE_AFTER_RELAXATION,
        Reason.UNSUPPORTED_ELEMENT,
        Reason.MISSING_REFERENCE,
        Reason.PROPERTY_FAILED,
        Reason.VALIDATION_FAILED,
        Reason.JOB_FAILED,
    }
)
"""Reasons that say nothing about a proposal's chemistry or prototype."""

GRADED = frozenset({Reason.OK, Reason.ABOVE_HULL})
"""Reasons with which equation (1) gives the credit; every other one gives none."""

_DECIMALS = 6
_MAX_ITERATIONS = 100
_CONVERGED = 1e-10


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one proposal.

    Parameters
    ----------
    elements
        Distinct symbols.
    anonymous_gene
        Of the proposal, before relaxation.
    reason
        Of the verdict that ended it, ``Reason.OK`` if it passed them all.
    score
        What the generator predicted without learnt weights, ``base_score`` of the draw's origin (log-odds).
    energy_above_hull
        eV/atom, after relaxation; ``None`` if it did not get so far.

    Raises
    ------
    InputError
        If a number is not finite.
    """

    elements: tuple[str, ...]
    anonymous_gene: str
    reason: Reason
    score: float
    energy_above_hull: float | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("score", "energy_above_hull"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                msg = f"outcome of {'-'.join(self.elements)} has {name} {value}, expected a finite number"
                raise InputError(msg)


def credit(outcome: Outcome, *, hull_tolerance: float) -> float | None:
    """Return how nearly a proposal was what the campaign is after, equation (1).

    Parameters
    ----------
    outcome
        What became of it.
    hull_tolerance
        τ, eV/atom.

    Returns
    -------
    float | None
        Between 0 and 1; ``None`` if the outcome says nothing.
    """
    if outcome.reason in UNINFORMATIVE:
        return None
    if outcome.reason not in GRADED or outcome.energy_above_hull is None:
        return 0.0
    return _logistic((hull_tolerance - outcome.energy_above_hull) / ENERGY_WIDTH)


def learn_weights(outcomes: Iterable[Outcome], *, hull_tolerance: float, strength: float) -> ProposalWeights:
    """Return the weights that the outcomes of all earlier rounds suggest for the next.

    Parameters
    ----------
    outcomes
        In any order.
    hull_tolerance
        τ, eV/atom.
    strength
        Factor of all weights: 0 learns nothing, 1 takes them as equation (3) gives them.

    Returns
    -------
    ProposalWeights
        No weight exceeds ``MAX_WEIGHT · strength`` in size; neutral without informative outcomes.
    """
    judged = [(o, c) for o in outcomes if (c := credit(o, hull_tolerance=hull_tolerance)) is not None]
    # Sums of floats depend on their order: a canonical one makes the result independent of the caller's.
    judged.sort(key=lambda pair: (pair[0].anonymous_gene, pair[0].elements, pair[0].score, pair[1]))
    if not judged or strength == 0.0:
        return NEUTRAL
    elements = sorted({symbol for outcome, _ in judged for symbol in outcome.elements})
    genes = sorted({outcome.anonymous_gene for outcome, _ in judged})
    design = _design([outcome for outcome, _ in judged], elements, genes)
    spreads = [math.inf, SCORE_SPREAD, *[ELEMENT_SPREAD] * len(elements), *[TEMPLATE_SPREAD] * len(genes)]
    fitted = _fit(design, np.asarray([c for _, c in judged]), 1.0 / np.square(spreads))
    bounded = strength * np.clip(fitted[2:], -MAX_WEIGHT, MAX_WEIGHT)
    weights = [round(float(w), _DECIMALS) for w in bounded]
    return ProposalWeights(
        elements=dict(zip(elements, weights[: len(elements)], strict=True)),
        templates=dict(zip(genes, weights[len(elements) :], strict=True)),
    )


def _design(outcomes: Sequence[Outcome], elements: Sequence[str], genes: Sequence[str]) -> NDArray[np.float64]:
    """Return what multiplies b, a, w_e and w_g in equation (2), shape (n, 2 + n_elements + n_genes)."""
    column_of_element = {symbol: 2 + i for i, symbol in enumerate(elements)}
    column_of_gene = {text: 2 + len(elements) + i for i, text in enumerate(genes)}
    design = np.zeros((len(outcomes), 2 + len(elements) + len(genes)))
    design[:, 0] = 1.0
    scores = np.asarray([outcome.score for outcome in outcomes])
    design[:, 1] = scores - scores.mean()
    for row, outcome in enumerate(outcomes):
        design[row, [column_of_element[symbol] for symbol in outcome.elements]] = 1.0
        design[row, column_of_gene[outcome.anonymous_gene]] = 1.0
    return design


def _fit(
    design: NDArray[np.float64], targets: NDArray[np.float64], precisions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the maximiser of equation (3) by Newton's method; each step is halved until the function grows."""
    # Targets of 0 or 1 throughout would drive b to infinity: half an outcome of either kind keeps it finite.
    prior = np.zeros(design.shape[1])
    prior[0] = 1.0

    def value(weights: NDArray[np.float64]) -> float:
        logits, intercept = design @ weights, float(prior @ weights)
        likelihood = float((targets * logits - np.logaddexp(0.0, logits)).sum())
        pseudo = 0.5 * intercept - float(np.logaddexp(0.0, intercept))
        return likelihood + pseudo - 0.5 * float((precisions * weights**2).sum())

    weights = np.zeros(design.shape[1])
    current = value(weights)
    for _ in range(_MAX_ITERATIONS):
        p = _expit(design @ weights)
        p0 = _logistic(float(weights[0]))
        gradient = design.T @ (targets - p) + (0.5 - p0) * prior - precisions * weights
        if float(np.abs(gradient).max()) < _CONVERGED:
            break
        hessian = (design.T * (p * (1.0 - p))) @ design + np.diag(precisions + p0 * (1.0 - p0) * prior)
        step = np.linalg.solve(hessian, gradient)
        factor = 1.0
        while factor > _CONVERGED and value(weights + factor * step) < current:
            factor *= 0.5
        weights = weights + factor * step
        current = value(weights)
    return weights


def _expit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(−v)) without overflow."""
    result: NDArray[np.float64] = np.exp(-np.logaddexp(0.0, -values))
    return result


def _logistic(value: float) -> float:
    """Return 1 / (1 + exp(−v)) without overflow."""
    return float(np.exp(-np.logaddexp(0.0, -value)))
