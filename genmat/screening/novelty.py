"""Novelty: whether a crystal is in the reference, or among what the campaign added to it."""

from __future__ import annotations

from collections import OrderedDict
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genmat.reference.fingerprint import fingerprint_difference
from genmat.representation import to_structure
from genmat.screening.identity import Description, Evidence, describe_disordered, find_same
from genmat.screening.verdict import Reason, Stage, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genmat.reference.table import Reference

CACHE_SIZE = 4096
"""Known crystals whose reduced cells are kept, least recently used first to go."""

_REASONS = {Stage.NOVELTY: Reason.KNOWN, Stage.NOVELTY_RELAXED: Reason.KNOWN_AFTER_RELAXATION}


@dataclass(frozen=True, slots=True)
class Added:
    """A crystal that a campaign added to its reference snapshot.

    Parameters
    ----------
    id
        Id of its structure.
    description
        What the tests compare.
    """

    id: str
    description: Description


@dataclass(frozen=True, slots=True)
class Match:
    """The known crystal that a candidate is.

    Parameters
    ----------
    material_id
        Id in the reference, or of the added structure.
    evidence
        What showed it.
    difference
        Difference of the fingerprints, dimensionless.
    """

    material_id: str
    evidence: Evidence
    difference: float


class NoveltyIndex:
    """All known crystals of one snapshot, by formula.

    Parameters
    ----------
    reference
        Table of known crystals.
    added
        What the campaign added.
    """

    def __init__(self, reference: Reference, added: Iterable[Added] = ()) -> None:
        self.reference = reference
        self.added: tuple[Added, ...] = ()
        self._rows: dict[str, tuple[int, ...]] = {}
        rows: dict[str, list[int]] = {}
        for row, formula in enumerate(reference.formulas):
            rows.setdefault(formula, []).append(row)
        self._rows = {formula: tuple(found) for formula, found in rows.items()}
        self._described: OrderedDict[int, Description] = OrderedDict()
        self._add(added)

    def with_added(self, added: Iterable[Added]) -> NoveltyIndex:
        """Return the index of a later snapshot, with further crystals; this one stays as it is."""
        extended = copy(self)
        extended._rows = dict(self._rows)  # noqa: SLF001 - another instance of this class
        extended._described = OrderedDict()  # noqa: SLF001
        extended._add(added)  # noqa: SLF001
        return extended

    def __len__(self) -> int:
        return len(self.reference) + len(self.added)

    def find(self, candidate: Description, *, disordered: bool = False) -> Match | None:
        """Return the known crystal that a candidate is, the nearest fingerprint first; ``None`` if it is novel.

        Parameters
        ----------
        candidate
            Crystal to look for.
        disordered
            Whether it is also known if its elements that substitute for each other sit on other sites, of the known
            crystals with geometry.
        """
        rows = self._rows.get(candidate.formula)
        if rows is None:
            return None
        fingerprints = np.stack([self._fingerprint(row) for row in rows])
        same = find_same(candidate, fingerprints, lambda index: self._description(rows[index]))
        if same is None:
            return self._find_disordered(candidate, rows) if disordered else None
        return Match(self._material_id(rows[same.index]), same.evidence, same.difference)

    def _find_disordered(self, candidate: Description, rows: Iterable[int]) -> Match | None:
        if candidate.structure is None:
            return None
        blended = describe_disordered(candidate.structure)
        if blended.structure == candidate.structure:  # nothing in it substitutes
            return None
        for row in rows:
            other = self._description(row).structure
            if other is not None and blended.is_same(describe_disordered(other)):
                difference = float(fingerprint_difference(self._fingerprint(row), candidate.fingerprint))
                return Match(self._material_id(row), Evidence.DISORDERED, difference)
        return None

    def check(self, candidate: Description, *, stage: Stage = Stage.NOVELTY, disordered: bool = False) -> Verdict:
        """Decide whether a crystal is novel.

        Parameters
        ----------
        candidate
            Crystal as drawn or as relaxed.
        stage
            ``Stage.NOVELTY`` or ``Stage.NOVELTY_RELAXED``.
        disordered
            As in :meth:`find`.

        Returns
        -------
        Verdict
            Values: ``reference_id``, ``same_formula`` (known crystals of that formula); of a known crystal also
            ``known_as``, ``evidence`` and ``fingerprint_difference``.
        """
        same_formula = len(self._rows.get(candidate.formula, ()))
        values: dict[str, float | str] = {"reference_id": self.reference.id, "same_formula": same_formula}
        match = self.find(candidate, disordered=disordered)
        if match is None:
            detail = f"none of {same_formula} known crystals of {candidate.formula} among {len(self):,} is the same"
            return Verdict.accept(stage, detail, **values)
        values |= {
            "known_as": match.material_id,
            "evidence": match.evidence.value,
            "fingerprint_difference": match.difference,
        }
        detail = f"known as {match.material_id} by {match.evidence.text}; fingerprints differ by {match.difference:.3f}"
        return Verdict.reject(stage, _REASONS[stage], detail, **values)

    def _add(self, added: Iterable[Added]) -> None:
        first = len(self)
        self.added = (*self.added, *added)
        for row, item in enumerate(self.added[first - len(self.reference) :], start=first):
            formula = item.description.formula
            self._rows[formula] = (*self._rows.get(formula, ()), row)

    def _added(self, row: int) -> Added | None:
        return self.added[row - len(self.reference)] if row >= len(self.reference) else None

    def _material_id(self, row: int) -> str:
        item = self._added(row)
        return self.reference.material_ids[row] if item is None else item.id

    def _fingerprint(self, row: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
        item = self._added(row)
        return self.reference.fingerprints[row] if item is None else item.description.fingerprint

    def _description(self, row: int) -> Description:
        item = self._added(row)
        if item is not None:
            return item.description
        cached = self._described.get(row)
        if cached is not None:
            self._described.move_to_end(row)
            return cached
        reference, crystal = self.reference, self.reference.crystal(row)
        structure = None if crystal is None else to_structure(crystal)
        description = Description(reference.formulas[row], reference.genes[row], reference.fingerprints[row], structure)
        self._described[row] = description
        if len(self._described) > CACHE_SIZE:
            self._described.popitem(last=False)
        return description
