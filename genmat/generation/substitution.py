"""Which element can stand for which: replaceability mined from known crystals.

Two crystals of one anonymous gene that differ by a single element, the rest being equal, say that the two elements
replace each other (Glawe et al., New J. Phys. 18, 093011 (2016), https://doi.org/10.1088/1367-2630/18/9/093011). With
N_ef the weighted number of such pairs, the log-odds of a replacement against chance are those of Hautier et al.
(Inorg. Chem. 50, 656 (2011), https://doi.org/10.1021/ic102031h), shrunk towards what elements so different usually
have:

    s_ef = ln[(N_ef + α r_ef) / (N_e N_f / N + α)],   N_e = Σ_f N_ef,   N = Σ_e N_e                     (1)
    ln r_ef = β · (1, |Δχ|, Δχ², |Δ ln v|, (Δ ln v)², same group, same block)                             (2)

with the electronegativity χ, the volume of an atom v, α = 2 pairs, and β from a least-squares fit of (2) to the
log-odds with r = 1, each pair weighted with the number expected by chance. m elements that share one context count
1/(m − 1) for each pair: a context of seventy elements (Heusler compounds) says less about each pair than one of two.

The same odds without (2), N_ef being the number of known compounds that hold both elements, say which elements get
along.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core.periodic_table import Element

from genmat.generation.charges import electronegativity
from genmat.generation.mixing import DECIMALS, N_ATOMIC_NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

SIMILARITY_SMOOTHING = 2.0
"""α of equation (1) for replacements, in pairs."""

COMPATIBILITY_SMOOTHING = 1.0
"""α of equation (1) for elements of one compound, in compounds."""

RIDGE = 1.0
"""Penalty of the fit of equation (2), in pairs."""

MAX_ELEMENTS_OF_A_PAIR_SOURCE = 3
"""Compounds of more elements say little about one pair of them."""


def replaceability(
    occurrences: Iterable[tuple[int, Sequence[int]]], *, volumes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the log-odds that one element can stand for another, equation (1).

    Parameters
    ----------
    occurrences
        For each known crystal the number of its prototype (equal for equal anonymous genes) and the atomic number in
        each of the prototype's roles.
    volumes
        v by atomic number, Å³, positive, shape (119,).

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
    np.fill_diagonal(counts, 0.0)
    return _log_odds(counts, _expected(counts), prior=_usual(counts, volumes), smoothing=SIMILARITY_SMOOTHING)


def compatibility(compounds: Iterable[Sequence[int]]) -> NDArray[np.float64]:
    """Return the log-odds that two elements occur in one compound, equation (1) with r = 1.

    Parameters
    ----------
    compounds
        Distinct atomic numbers of each known crystal; those of more than three elements are not counted.

    Returns
    -------
    ndarray
        By atomic numbers, shape (119, 119), symmetric, zero on the diagonal (dimensionless, natural logarithm).
    """
    systems = Counter(tuple(sorted(c)) for c in compounds if 1 < len(c) <= MAX_ELEMENTS_OF_A_PAIR_SOURCE)
    counts = np.zeros((N_ATOMIC_NUMBERS, N_ATOMIC_NUMBERS))
    for system, n in systems.items():
        counts[np.ix_(system, system)] += n
    np.fill_diagonal(counts, 0.0)
    return _log_odds(counts, _expected(counts), prior=np.ones_like(counts), smoothing=COMPATIBILITY_SMOOTHING)


def _expected(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return N_e N_f / N."""
    margins = counts.sum(axis=1)
    total = float(margins.sum())
    result: NDArray[np.float64] = np.outer(margins, margins) / total if total > 0.0 else np.zeros_like(counts)
    return result


def _log_odds(
    counts: NDArray[np.float64], expected: NDArray[np.float64], *, prior: NDArray[np.float64], smoothing: float
) -> NDArray[np.float64]:
    """Return equation (1) with r = ``prior`` and α = ``smoothing``."""
    result: NDArray[np.float64] = np.log((counts + smoothing * prior) / (expected + smoothing))
    np.fill_diagonal(result, 0.0)
    return np.round(result, DECIMALS)


def _usual(counts: NDArray[np.float64], volumes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return r of equation (2), shape (119, 119)."""
    expected = _expected(counts)
    raw = _log_odds(counts, expected, prior=np.ones_like(counts), smoothing=1.0)
    design = np.stack(_differences(volumes), axis=-1)  # (119, 119, n)
    rows, columns = np.triu_indices(N_ATOMIC_NUMBERS, k=1)
    weighted = design[rows, columns] * expected[rows, columns, None]
    normal = weighted.T @ design[rows, columns] + RIDGE * np.eye(design.shape[-1])
    beta = np.linalg.solve(normal, weighted.T @ raw[rows, columns])
    result: NDArray[np.float64] = np.exp(design @ beta)
    return result


def _differences(volumes: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return the terms of equation (2), each of shape (119, 119)."""
    elements = [Element.from_Z(z) for z in range(1, N_ATOMIC_NUMBERS)]
    chi = np.asarray([0.0, *(electronegativity(element.symbol) for element in elements)])
    group = np.asarray([0, *(element.group for element in elements)])
    block = np.asarray([-1, *("spdf".index(element.block) for element in elements)])
    polarity = np.abs(chi[:, None] - chi[None, :])
    size = np.abs(np.log(volumes)[:, None] - np.log(volumes)[None, :])
    same_group = (group[:, None] == group[None, :]).astype(np.float64)
    same_block = (block[:, None] == block[None, :]).astype(np.float64)
    return [np.ones_like(size), polarity, polarity**2, size, size**2, same_group, same_block]
