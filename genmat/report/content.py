"""What a report is made of: a campaign's documents as plain values, in the units that the page shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pymatgen.core.structure import Structure

    from genmat.campaign import Campaign
    from genmat.database.documents import CandidateDocument
    from genmat.screening.ssun import SsunDefinition
    from genmat.screening.static import GateOutcome
    from genmat.validation.calibration import Calibration, GeometryBounds
    from genmat.validation.selection import Cost


@dataclass(frozen=True, slots=True)
class StageVerdict:
    """What one stage decided about a candidate; ``stage`` and ``reason`` as the database holds them."""

    stage: str
    passed: bool
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ReportedCandidate:
    """One draw.

    Parameters
    ----------
    id
        Id of the candidate.
    round, index
        Round and draw in it, from 0.
    verdicts
        In order of time.
    formula
        Reduced formula; ``None`` if nothing was drawn.
    elements
        Distinct symbols.
    number_drawn, number_relaxed
        Space group as drawn and after relaxation.
    energy_above_hull
        eV/atom, in the hull of the round's snapshot.
    properties
        By name, each in the unit of :data:`genmat.campaign.PROPERTY_KINDS`.
    rank
        In the campaign, 1 is best; ``None`` unless accepted.
    template
        Id of the known crystal that it was made from.
    substitution
        New element by old one.
    n_atoms
        Atoms in the primitive cell.
    structure
        Relaxed crystal, where the page shows it.
    cif
        The same as CIF; empty where the page does not show it.
    validation
        What first principles found: energies in eV/atom, others in the units of ``genmat validate``; empty if not
        computed.
    """

    id: str
    round: int
    index: int
    verdicts: tuple[StageVerdict, ...]
    formula: str | None = None
    elements: tuple[str, ...] = ()
    number_drawn: int | None = None
    number_relaxed: int | None = None
    energy_above_hull: float | None = None
    properties: Mapping[str, float] = field(default_factory=dict)
    rank: int | None = None
    template: str | None = None
    substitution: Mapping[str, str] = field(default_factory=dict)
    n_atoms: int | None = None
    structure: Structure | None = None
    cif: str = ""
    validation: Mapping[str, float | str] = field(default_factory=dict)

    @classmethod
    def from_document(cls, candidate: CandidateDocument) -> Self:
        """Return what a hull diagram needs of a stored candidate: no verdict, no crystal."""
        return cls(
            id=candidate.id,
            round=candidate.round,
            index=candidate.index,
            verdicts=(),
            formula=candidate.formula_pretty,
            elements=tuple(candidate.elements),
            energy_above_hull=candidate.energy_above_hull,
            properties=candidate.properties,
            rank=candidate.rank,
        )

    def verdict(self, stage: str) -> StageVerdict | None:
        """Return what a stage decided; ``None`` if it did not look."""
        return next((verdict for verdict in self.verdicts if verdict.stage == stage), None)

    def has_passed(self, stage: str) -> bool:
        """Return whether a stage let it pass."""
        verdict = self.verdict(stage)
        return verdict is not None and verdict.passed

    @property
    def is_accepted(self) -> bool:
        """Whether it passed every stage and has a rank."""
        return self.rank is not None


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """One round.

    Parameters
    ----------
    number
        From 0.
    snapshot_id
        Reference that it was judged against.
    n_added
        Survivors of earlier rounds in that reference.
    definition
        What S.S.U.N. means; ``None`` while the round runs.
    ssun
        Successes and draws under each name of :data:`genmat.screening.ssun.CRITERIA`.
    engine_ssun
        S.S.U.N. by the engine of the validation, as the round holds it; empty without one.
    element_weights
        Learned log-weights by symbol.
    finished_at
        End, UTC; ``None`` while it runs.
    """

    number: int
    snapshot_id: str | None = None
    n_added: int = 0
    definition: SsunDefinition | None = None
    ssun: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    engine_ssun: Mapping[str, Any] = field(default_factory=dict)
    element_weights: Mapping[str, float] = field(default_factory=dict)
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HullPoint:
    """One crystal of a chemical system.

    Parameters
    ----------
    id
        Id at the source, or of the candidate.
    formula
        Reduced formula.
    fractions
        Atomic fraction of each element of the system, in its order.
    formation_energy
        eV/atom, relative to the elements of the reference.
    energy_above_hull
        eV/atom; 0 for a vertex of the reference hull.
    rank
        Of a candidate; ``None`` for a crystal of the reference.
    """

    id: str
    formula: str
    fractions: tuple[float, ...]
    formation_energy: float
    energy_above_hull: float
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Decomposition:
    """What the reference hull consists of at the composition of a candidate; shares of the atoms by formula and id."""

    candidate: HullPoint
    phases: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True, slots=True)
class HullSystem:
    """A chemical system with its known crystals and the candidates in it.

    Parameters
    ----------
    elements
        Symbols, in the order of the fractions.
    references
        Known crystals near the hull, the elements included.
    candidates
        Accepted candidates of the system.
    ties
        Pairs of rows of ``references`` that an edge of the hull joins.
    decompositions
        One a candidate.
    """

    elements: tuple[str, ...]
    references: tuple[HullPoint, ...]
    candidates: tuple[HullPoint, ...]
    ties: tuple[tuple[int, int], ...]
    decompositions: tuple[Decomposition, ...]


@dataclass(frozen=True, slots=True)
class CampaignReport:
    """Everything that a page shows.

    Parameters
    ----------
    campaign
        Configuration.
    state
        State of the campaign: finished, running, …
    code_version
        genmat that created it.
    created_at
        When, UTC.
    rounds
        In order.
    candidates
        Every draw, by round and index.
    reference_id
        Reference table; ``None`` before the first round.
    attribution
        Whom the reference is owed to, and under what licence.
    systems
        Chemical systems of the best candidates.
    note
        Why there is no hull diagram; empty if there are some, or nothing to show.
    passed_over
        Why candidates were not validated, by id.
    unmeasured
        Which properties of confirmed candidates were not computed and why, by id.
    gates
        What the tests before relaxation saved and lost; empty without such tests.
    cost
        Core hours of first principles; ``None`` where none were asked for.
    calibration
        How far the potential's distances to the hull are off; ``None`` where none was computed.
    geometry
        How far its geometries are off, in all campaigns of the database; ``None`` where nobody asked.
    """

    campaign: Campaign
    state: str
    code_version: str
    created_at: datetime
    rounds: tuple[RoundRecord, ...]
    candidates: tuple[ReportedCandidate, ...]
    reference_id: str | None = None
    attribution: str = ""
    systems: tuple[HullSystem, ...] = ()
    note: str = ""
    passed_over: Mapping[str, str] = field(default_factory=dict)
    unmeasured: Mapping[str, str] = field(default_factory=dict)
    gates: tuple[GateOutcome, ...] = ()
    cost: Cost | None = None
    calibration: Calibration | None = None
    geometry: GeometryBounds | None = None

    @property
    def validated(self) -> list[ReportedCandidate]:
        """Candidates that first principles were asked about, confirmed ones first, best first."""
        asked = [c for c in self.candidates if c.validation]
        return sorted(asked, key=lambda c: (not c.has_passed("validate"), c.rank or 0, c.id))

    @property
    def measured(self) -> list[ReportedCandidate]:
        """Candidates of which first principles gave further properties, in the order of :attr:`validated`."""
        return [c for c in self.validated if c.verdict("properties") is not None]

    @property
    def accepted(self) -> list[ReportedCandidate]:
        """Accepted candidates, best first."""
        return sorted((c for c in self.candidates if c.rank is not None), key=lambda c: (c.rank or 0, c.id))
