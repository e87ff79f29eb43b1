"""Uniqueness: which draws of a campaign are a crystal that it drew before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genmat.screening.identity import Description, Evidence, find_same
from genmat.screening.verdict import Reason, Stage, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

_REASONS = {
    Stage.UNIQUENESS: Reason.DUPLICATE,
    Stage.UNIQUENESS_RELAXED: Reason.DUPLICATE_AFTER_RELAXATION,
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A draw of a campaign with the crystal that it yielded.

    Parameters
    ----------
    id
        Id of the candidate.
    order
        Round and index of the draw; the lowest of equal crystals is the one that counts.
    description
        What the tests compare.
    """

    id: str
    order: tuple[int, int]
    description: Description


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The earlier draw that a draw repeats.

    Parameters
    ----------
    id
        Id of the earlier candidate.
    evidence
        What showed it.
    difference
        Difference of the fingerprints, dimensionless.
    """

    id: str
    evidence: Evidence
    difference: float


def find_duplicates(draws: Sequence[Candidate]) -> dict[str, Duplicate | None]:
    """Return for each draw the earlier one that it repeats.

    Parameters
    ----------
    draws
        All draws that may repeat each other, in any order.

    Returns
    -------
    dict[str, Duplicate | None]
        By id; ``None`` for the first of equal crystals. Only such firsts are compared with: a draw is never a
        duplicate of a duplicate.

    Notes
    -----
    The result does not depend on the order in which the draws are given.
    """
    result: dict[str, Duplicate | None] = {}
    first: dict[str, list[Candidate]] = {}
    for draw in sorted(draws, key=lambda item: (item.order, item.id)):
        duplicate = _earlier(draw, first.get(draw.description.formula, []))
        result[draw.id] = duplicate
        if duplicate is None:
            first.setdefault(draw.description.formula, []).append(draw)
    return result


def check_uniqueness(draw: Candidate, duplicate: Duplicate | None, *, stage: Stage = Stage.UNIQUENESS) -> Verdict:
    """Return the verdict that belongs to an entry of :func:`find_duplicates`.

    Parameters
    ----------
    draw
        The draw.
    duplicate
        What was found for it.
    stage
        ``Stage.UNIQUENESS`` or ``Stage.UNIQUENESS_RELAXED``.
    """
    if duplicate is None:
        return Verdict.accept(stage, f"the first {draw.description.formula} of its kind")
    return Verdict.reject(
        stage,
        _REASONS[stage],
        f"the same crystal as candidate {duplicate.id} by {duplicate.evidence.text}",
        duplicate_of=duplicate.id,
        evidence=duplicate.evidence.value,
        fingerprint_difference=duplicate.difference,
    )


def _earlier(draw: Candidate, others: Sequence[Candidate]) -> Duplicate | None:
    """Return which of ``others``, of the same formula, the draw repeats."""
    if not others:
        return None
    fingerprints = np.stack([other.description.fingerprint for other in others])
    same = find_same(draw.description, fingerprints, lambda index: others[index].description)
    return None if same is None else Duplicate(others[same.index].id, same.evidence, same.difference)
