"""Which element can stand for which: replaceability mined from known crystals.

Two crystals of one anonymous gene that differ by a single element, the rest being equal, say that the two elements replace
each other (Glawe et al., New J. Phys. 18, 093011 (2016), https://doi.org/10.1088/1367-2630/18/9/093011). With N_ef the
weighted number of such pairs, the log-odds of a replacement against chance are those of Hautier et al. (Inorg. Chem. 50,
656 (2011), https://doi.org/10.1021/ic102031h),

    s_ef = ln[(N_ef + α) / (N_e N_f / N + α)]                                              (1)

with N_e = Σ_f N_ef, N = Σ_e N_e and α = 1, which draws pairs without data to zero. m elements that share one context count
1/(m − 1) for each pair: a context of seventy elements (Heusler compounds) says less about each pair than one of two.

The same odds, with N_ef the number of known compounds that hold both elements, say which elements get along in a compound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genmat.generation.mixing import N_ATOMIC_NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

SMOOTHING = 1.0
"""α of equation (1), in pairs."""

MAX_ELEMENTS_OF_A_PAIR_SOURCE = 3
"""Compounds of more elements say little about one pair of them."""


def replaceability(occurrences: Iterable[tuple[int, Sequence[int]]]) -> NDArray[np.float64]:
    """Return the log-odds that one element can stand for another, equation (1).

    Parameters
    ----------
    occurrences
        For each known crystal the number of its prototype (equal for equal anonymous genes) and the atomic number in each of
        the prototype's roles.

    Returns
    -------
    ndarray
        s by atomic numbers, shape (119, 119), symmetric, zero on the diagonal (dimensionless, natural logarithm).
    """
    contexts: dict[tuple[int, int, tuple[int, ...]], set[int]] = {}
    for prototype, roles in occurrences:
        given = tuple(roles)
        for position, z in enumerate(given):
            rest = given[:position] + given[position + 1 :]
            contexts.setdefault((prototype, position, rest), set()).add(z)
    counts = np.zeros((N_ATOMIC_NUMBERS, N_ATOMIC_NUMBERS))
    for found in contexts.values():
        if len(found) > 1:
            zs = sorted(found)
            counts[np.ix_(zs, zs)] += 1.0 / (len(zs) - 1)
    return log_odds(counts)


def compatibility(compounds: Iterable[Sequence[int]]) -> NDArray[np.float64]:
    """Return the log-odds that two elements occur in one compound, equation (1).

    Parameters
    ----------
    compounds
        Distinct atomic numbers of each known crystal; those of more than three elements are not counted.

    Returns
    -------
    ndarray
        By atomic numbers, shape (119, 119), symmetric, zero on the diagonal (dimensionless, natural logarithm).
    """
    counts = np.zeros((N_ATOMIC_NUMBERS, N_ATOMIC_NUMBERS))
    systems: dict[tuple[int, ...], int] = {}
    for compound in compounds:
        if 1 < len(compound) <= MAX_ELEMENTS_OF_A_PAIR_SOURCE:
            key = tuple(sorted(compound))
            systems[key] = systems.get(key, 0) + 1
    for key, n in systems.items():
        counts[np.ix_(key, key)] += n
    return log_odds(counts)


def log_odds(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return equation (1) for symmetric pair counts of shape (n, n); the diagonal is neither used nor filled."""
    pairs = counts.copy()
    np.fill_diagonal(pairs, 0.0)
    margins = pairs.sum(axis=1)
    total = margins.sum()
    expected = np.outer(margins, margins) / total if total > 0.0 else np.zeros_like(pairs)
    result: NDArray[np.float64] = np.log((pairs + SMOOTHING) / (expected + SMOOTHING))
    np.fill_diagonal(result, 0.0)
    return result
