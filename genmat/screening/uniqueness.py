"""Uniqueness: which draws of a campaign are a crystal that it drew before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from genmat.reference.fingerprint import SIZE
from genmat.screening.identity import Description, find_same
from genmat.screening.verdict import Reason, Stage, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from genmat.screening.identity import Evidence

FEW = 8
"""First draws of one formula up to which the matcher is asked about each: that costs less than fingerprints."""

MANY = 5_000
"""Draws from which on compiled code compares: loading it costs as much as comparing a third of them without."""

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
        Difference of the fingerprints, dimensionless; ``None`` where the matcher was asked without them.
    """

    id: str
    evidence: Evidence
    difference: float | None


class KnownDraws:
    """The first of equal crystals, by formula; draws join it one by one, in their order.

    Parameters
    ----------
    compiled
        Whether compiled code compares crystals, which pays from ``MANY`` draws on and changes no result.
    """

    def __init__(self, *, compiled: bool = False) -> None:
        self._compiled = compiled
        self._kinds: dict[str, _Kind] = {}

    def add(self, draw: Candidate) -> Duplicate | None:
        """Return the earlier draw that a draw repeats; if there is none the draw is a first and stays."""
        kind = self._kinds.setdefault(draw.description.formula, _Kind())
        duplicate = kind.find(draw.description, compiled=self._compiled)
        if duplicate is None:
            kind.firsts.append(draw)
        return duplicate


@dataclass(slots=True)
class _Kind:
    """First draws of one formula, with the fingerprints of those that were compared by them."""

    firsts: list[Candidate] = field(default_factory=list)
    fingerprints: NDArray[np.uint16] = field(default_factory=lambda: np.zeros((0, SIZE), dtype=np.uint16))
    filled: int = 0

    def find(self, crystal: Description, *, compiled: bool) -> Duplicate | None:
        """Return which of them a crystal is."""
        if not self.firsts:
            return None
        if len(self.firsts) <= FEW and all(d.structure is not None for d in (crystal, *self._descriptions())):
            for other in self.firsts:
                if crystal.is_same(other.description, compiled=compiled):
                    return Duplicate(other.id, crystal.shows, None)
            return None
        self._fill(compiled=compiled)
        same = find_same(
            crystal,
            self.fingerprints[: self.filled],
            lambda index: self.firsts[index].description,
            compiled=compiled,
        )
        return None if same is None else Duplicate(self.firsts[same.index].id, same.evidence, same.difference)

    def _descriptions(self) -> Iterator[Description]:
        return (draw.description for draw in self.firsts)

    def _fill(self, *, compiled: bool) -> None:
        """Add the fingerprints that are missing; the table doubles, so that n draws cost n, not n²."""
        if len(self.firsts) > len(self.fingerprints):
            grown = np.zeros((2 * len(self.firsts), SIZE), dtype=np.uint16)
            grown[: self.filled] = self.fingerprints[: self.filled]
            self.fingerprints = grown
        for index in range(self.filled, len(self.firsts)):
            self.fingerprints[index] = self.firsts[index].description.find_fingerprint(compiled=compiled)
        self.filled = len(self.firsts)


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
    known = KnownDraws(compiled=len(draws) >= MANY)
    return {draw.id: known.add(draw) for draw in sorted(draws, key=lambda item: (item.order, item.id))}


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
    values: dict[str, float | str] = {"duplicate_of": duplicate.id, "evidence": duplicate.evidence.value}
    if duplicate.difference is not None:
        values["fingerprint_difference"] = duplicate.difference
    detail = f"the same crystal as candidate {duplicate.id} by {duplicate.evidence.text}"
    return Verdict.reject(stage, _REASONS[stage], detail, **values)
