"""One row for each sample of an evaluation."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from genmat.screening.ssun import DrawOutcome

UNSCORABLE = "unscorable"
"""Reason of a sample that has no ordered, finite crystal."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one sample; ``None`` where nothing looked.

    Parameters
    ----------
    id
        Of the sample.
    formula, n_sites
        Reduced formula, and atoms of the primitive cell; empty and 0 for an unscorable sample.
    number_before, number_after
        Space group as drawn and after relaxation; ``None`` also where the symmetry search fails.
    composition_valid, structure_valid
        Validity by CDVAE's definition.
    unique
        Whether no earlier sample is the same crystal, all samples compared as drawn.
    duplicate_of
        Id of the earlier sample.
    novel
        Whether the reference does not hold it, as drawn.
    known_as, evidence
        Id of the known crystal, and what showed it.
    selected
        Whether the sample belongs to the relaxed subset.
    unique_relaxed, novel_relaxed
        The same after relaxation, among the relaxed subset.
    n_steps
        Steps of the relaxation, both stages.
    volume_ratio
        Volume after relaxation over that of the sample.
    energy_per_atom
        After relaxation, eV/atom.
    energy_above_hull, energy_above_hull_symmetric, energy_above_hull_start
        Distance to the hull after relaxation, when the symmetric stage ended, and as drawn, eV/atom; of a crystal that
        competes with elements alone, its formation energy.
    competing_phases
        What the crystal competes with.
    stable
        Whether it is within τ of a hull that has competitors.
    reason, detail
        Why the sample does not count as S.S.U.N. (the first test that failed), ``ok`` if it does; in words.
    published
        Distance to the hull that somebody published, eV/atom.
    """

    id: str
    formula: str = ""
    n_sites: int = 0
    number_before: int | None = None
    number_after: int | None = None
    composition_valid: bool = False
    structure_valid: bool = False
    unique: bool = False
    duplicate_of: str | None = None
    novel: bool = False
    known_as: str | None = None
    evidence: str | None = None
    selected: bool = False
    unique_relaxed: bool | None = None
    novel_relaxed: bool | None = None
    n_steps: int | None = None
    volume_ratio: float | None = None
    energy_per_atom: float | None = None
    energy_above_hull: float | None = None
    energy_above_hull_symmetric: float | None = None
    energy_above_hull_start: float | None = None
    competing_phases: str | None = None
    stable: bool | None = None
    reason: str = ""
    detail: str = ""
    published: float | None = None

    @property
    def scorable(self) -> bool:
        """Whether there is a crystal."""
        return self.n_sites > 0

    @property
    def valid(self) -> bool:
        """Whether composition and structure are valid."""
        return self.composition_valid and self.structure_valid

    @property
    def outcome(self) -> DrawOutcome:
        """What the row says in the words of S.S.U.N.; a failed relaxation is not stable and not symmetric."""
        return DrawOutcome(
            valid=self.valid,
            symmetric_before=(self.number_before or 1) > 1,
            symmetric_after=(self.number_after or 1) > 1 if self.selected else None,
            stable=bool(self.stable) if self.selected else None,
            unique=self.unique and self.unique_relaxed is not False,
            novel=self.novel and self.novel_relaxed is not False,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON-serialisable mapping."""
        return asdict(self)
