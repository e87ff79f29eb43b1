"""Comparison with hull distances that somebody published for the same samples."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genmat.evaluation.row import Row

OUTLIER = 0.1
"""Difference from which a sample is listed, eV/atom."""

CLOSE = 0.02
"""Difference up to which two distances are called equal in the summary, eV/atom."""

IMPLAUSIBLE = -0.5
"""A published distance below this is no crystal: nothing lies that far below the hull of known crystals, eV/atom."""

UNPHYSICAL = 1.0
"""Distance to the hull from which a start is no guess of a crystal, eV/atom."""


@dataclass(frozen=True, slots=True)
class Outlier:
    """A sample whose distances differ.

    Parameters
    ----------
    id, formula
        The sample.
    published, computed
        Distance to the hull, eV/atom.
    reason
        What the numbers show about the cause.
    """

    id: str
    formula: str
    published: float
    computed: float
    reason: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Agreement of computed with published distances to the hull.

    Parameters
    ----------
    n_compared
        Samples with both.
    n_failed
        Samples with a published distance whose relaxation failed here.
    spearman
        Rank correlation; NaN for fewer than three samples.
    mean_absolute_difference, median_absolute_difference, median_difference
        Of computed minus published, eV/atom.
    close
        Share within ``CLOSE``.
    both_stable, only_published_stable, only_computed_stable, both_unstable
        Samples at the tolerance of the evaluation.
    outliers
        Samples that differ by more than ``OUTLIER``, the largest difference first.
    """

    n_compared: int
    n_failed: int
    spearman: float
    mean_absolute_difference: float
    median_absolute_difference: float
    median_difference: float
    close: float
    both_stable: int
    only_published_stable: int
    only_computed_stable: int
    both_unstable: int
    outliers: tuple[Outlier, ...]

    @property
    def agreement(self) -> float:
        """Share of the compared samples with the same verdict."""
        return (self.both_stable + self.both_unstable) / self.n_compared

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON-serialisable mapping."""
        spearman = None if np.isnan(self.spearman) else self.spearman
        return asdict(self) | {"spearman": spearman, "agreement": self.agreement, "outlier_from": OUTLIER}


def compare(rows: Sequence[Row], *, tolerance: float) -> Comparison | None:
    """Return how computed distances agree with published ones; ``None`` if no sample has both.

    Parameters
    ----------
    rows
        Rows of an evaluation.
    tolerance
        τ, eV/atom.
    """
    given = [row for row in rows if row.selected and row.published is not None]
    pairs = [(row, row.published, row.energy_above_hull) for row in given]
    known = [(row, old, new) for row, old, new in pairs if old is not None and new is not None]
    if not known:
        return None
    published, computed = np.asarray([old for _, old, _ in known]), np.asarray([new for _, _, new in known])
    difference = computed - published
    was, is_now = published <= tolerance, computed <= tolerance
    order = np.argsort(-np.abs(difference), kind="stable").tolist()
    outliers = [
        Outlier(known[i][0].id, known[i][0].formula, known[i][1], known[i][2], _cause(known[i][0]))
        for i in order
        if abs(difference[i]) > OUTLIER
    ]
    return Comparison(
        n_compared=len(known),
        n_failed=len(given) - len(known),
        spearman=_spearman(published, computed),
        mean_absolute_difference=float(np.abs(difference).mean()),
        median_absolute_difference=float(np.median(np.abs(difference))),
        median_difference=float(np.median(difference)),
        close=float((np.abs(difference) <= CLOSE).mean()),
        both_stable=int((was & is_now).sum()),
        only_published_stable=int((was & ~is_now).sum()),
        only_computed_stable=int((~was & is_now).sum()),
        both_unstable=int((~was & ~is_now).sum()),
        outliers=tuple(outliers),
    )


def _spearman(left: np.ndarray, right: np.ndarray) -> float:
    from scipy.stats import spearmanr

    if len(left) < 3 or np.ptp(left) == 0.0 or np.ptp(right) == 0.0:
        return float("nan")
    return float(spearmanr(left, right).statistic)


def _cause(row: Row) -> str:
    """Return what the numbers of a row show about its difference."""
    published, computed = row.published or 0.0, row.energy_above_hull or 0.0
    symmetric = computed if row.energy_above_hull_symmetric is None else row.energy_above_hull_symmetric
    start = math.nan if row.energy_above_hull_start is None else row.energy_above_hull_start
    causes = (
        (published < IMPLAUSIBLE, "the published value is no crystal's: nothing lies so far below the hull"),
        (row.reason == "missing_reference", "the reference lacks all competing compounds: it is a formation energy"),
        (
            computed < IMPLAUSIBLE,
            f"nothing lies so far below a complete hull: it lacks competitors, here {row.competing_phases}",
        ),
        (
            symmetric - computed > max(CLOSE, 0.5 * abs(published - computed)) and published > computed,
            f"breaking the symmetry lowers it by {symmetric - computed:.3f} eV/atom",
        ),
        (
            start > UNPHYSICAL,
            f"the start lies {start:.1f} eV/atom above the hull: the minimum reached depends on the optimiser",
        ),
        (
            abs(start - computed) < CLOSE,
            f"the start is at its minimum already: the hulls differ, here {row.competing_phases}",
        ),
    )
    return next((text for holds, text in causes if holds), "ends in another minimum, or competes with other crystals")
