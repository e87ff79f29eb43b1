"""Novelty: whether a crystal is in the reference, or among what the campaign added to it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genmat.representation import to_structure
from genmat.screening.identity import (
    MATCHER,
    MAX_TESTS,
    Description,
    Evidence,
    is_same_crystal,
    nearest_first,
    reduce_structure,
    same_without_geometry,
)
from genmat.screening.verdict import Reason, Stage, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pymatgen.core.structure import Structure

    from genmat.reference.table import Reference

REDUCED_CACHE = 4096
"""Reduced structures of known crystals that are kept, least recently used first to go."""

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
        self.added = tuple(added)
        self._rows: dict[str, list[int]] = {}
        for row, formula in enumerate(reference.formulas):
            self._rows.setdefault(formula, []).append(row)
        for row, item in enumerate(self.added, start=len(reference)):
            self._rows.setdefault(item.description.formula, []).append(row)
        self._reduced: OrderedDict[int, Structure] = OrderedDict()

    def __len__(self) -> int:
        return len(self.reference) + len(self.added)

    def find(self, candidate: Description) -> Match | None:
        """Return the known crystal that a candidate is, the nearest fingerprint first; ``None`` if it is novel."""
        rows = self._rows.get(candidate.formula)
        if rows is None:
            return None
        fingerprints = np.stack([self._fingerprint(row) for row in rows])
        tests = 0
        for place, difference in nearest_first(candidate.fingerprint, fingerprints):
            row = rows[place]
            known, found = self._reduced_structure(row), candidate.reduced
            if known is None or found is None:
                evidence = same_without_geometry(candidate, self._description(row), difference=difference)
            elif tests < MAX_TESTS:
                tests += 1
                evidence = Evidence.MATCHER if is_same_crystal(found, known) else None
            else:
                evidence = None
            if evidence is not None:
                return Match(self._material_id(row), evidence, difference)
        return None

    def check(self, candidate: Description, *, stage: Stage = Stage.NOVELTY) -> Verdict:
        """Decide whether a crystal is novel.

        Parameters
        ----------
        candidate
            Crystal as drawn or as relaxed.
        stage
            ``Stage.NOVELTY`` or ``Stage.NOVELTY_RELAXED``.

        Returns
        -------
        Verdict
            Values: ``reference_id``, ``same_formula`` (known crystals of that formula); of a known crystal also
            ``known_as``, ``evidence`` and ``fingerprint_difference``.
        """
        same_formula = len(self._rows.get(candidate.formula, ()))
        values: dict[str, float | str] = {"reference_id": self.reference.id, "same_formula": same_formula}
        match = self.find(candidate)
        if match is None:
            detail = f"none of {same_formula} known crystals of {candidate.formula} among {len(self):,} is the same"
            return Verdict.accept(stage, detail, **values)
        values |= {
            "known_as": match.material_id,
            "evidence": match.evidence.value,
            "fingerprint_difference": match.difference,
        }
        how = MATCHER if match.evidence is Evidence.MATCHER else match.evidence.value.replace("_", " ")
        detail = f"known as {match.material_id} by {how}, fingerprints differ by {match.difference:.3f}"
        return Verdict.reject(stage, _REASONS[stage], detail, **values)

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
        reference = self.reference
        return Description(reference.formulas[row], reference.genes[row], reference.fingerprints[row], None)

    def _reduced_structure(self, row: int) -> Structure | None:
        item = self._added(row)
        if item is not None:
            return item.description.reduced
        cached = self._reduced.get(row)
        if cached is not None:
            self._reduced.move_to_end(row)
            return cached
        crystal = self.reference.crystal(row)
        if crystal is None:
            return None
        reduced = self._reduced[row] = reduce_structure(to_structure(crystal))
        if len(self._reduced) > REDUCED_CACHE:
            self._reduced.popitem(last=False)
        return reduced
