"""S.S.U.N.: the share of all draws that are symmetric, stable, unique and novel, with everything it rests on.

The denominator is every draw, failed ones included. A draw that was never relaxed (not selected) is undecided unless a
cheaper test already spoke against it; it counts as a failure in the fraction and as a success in the upper bound.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from genmat.screening.verdict import Reason, Stage, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CONFIDENCE = 0.95
"""Coverage of the intervals."""

_NORMAL_QUANTILE = 1.959963984540054


@dataclass(frozen=True, slots=True)
class SsunDefinition:
    """What the four words mean in one report.

    Parameters
    ----------
    hull_tolerance
        τ: largest distance to the hull that counts as stable, eV/atom.
    hull
        Whose energies span the hull, such as ``chgnet-0.3.0 static and relaxed, 43,536 crystals``.
    potential, potential_sha256
        What relaxed the draws and gave their energies.
    relaxation
        Protocol of the symmetry-free relaxation, with its convergence criteria.
    reference_id, snapshot_id
        Reference table of novelty and hull, and what the campaign added to it.
    matcher
        When two crystals are the same, with tolerances.
    symprec
        Tolerance of the symmetry search, Å. Symmetric means: a space group other than P1.
    """

    hull_tolerance: float
    hull: str
    potential: str
    potential_sha256: str
    relaxation: str
    reference_id: str
    snapshot_id: str
    matcher: str
    symprec: float
    denominator: str = "all draws"

    def to_dict(self) -> dict[str, Any]:
        """Return the definition as JSON-serialisable mapping."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class DrawOutcome:
    """What is known about one draw; ``None`` where no stage looked.

    Parameters
    ----------
    valid
        Passed the tests of distances, volume and charges.
    symmetric_before
        Space group other than P1 as drawn.
    symmetric_after
        Space group other than P1 after symmetry-free relaxation.
    stable
        At most τ above the hull after relaxation.
    unique
        The first of the campaign among equal crystals, before and after relaxation.
    novel
        Not in the reference, before and after relaxation.
    """

    valid: bool | None = None
    symmetric_before: bool | None = None
    symmetric_after: bool | None = None
    stable: bool | None = None
    unique: bool | None = None
    novel: bool | None = None


@dataclass(frozen=True, slots=True)
class Proportion:
    """A fraction of draws with its Wilson interval.

    Parameters
    ----------
    successes, undecided, total
        Draws that have the property, that were not looked at, and all.
    low, high
        Ends of the 95 % interval of ``successes / total``.
    """

    successes: int
    undecided: int
    total: int
    low: float
    high: float

    @property
    def fraction(self) -> float:
        """``successes / total``; 0 without draws."""
        return self.successes / self.total if self.total else 0.0

    @property
    def upper_bound(self) -> float:
        """The fraction if every undecided draw had the property."""
        return (self.successes + self.undecided) / self.total if self.total else 0.0

    def to_dict(self) -> dict[str, float | int]:
        """Return counts, fraction and bounds as JSON-serialisable mapping."""
        return {**asdict(self), "fraction": self.fraction, "upper_bound": self.upper_bound}


@dataclass(frozen=True, slots=True)
class SsunReport:
    """S.S.U.N. of a set of draws.

    Parameters
    ----------
    definition
        What the words mean.
    proportions
        Under ``valid``, ``symmetric_before``, ``symmetric_after``, ``stable``, ``unique``, ``novel``: each alone.
        ``sun``: stable, unique and novel. ``ssun_before`` and ``ssun_after``: also symmetric as drawn, and after
        relaxation.
    """

    definition: SsunDefinition
    proportions: dict[str, Proportion]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-serialisable mapping."""
        return {
            "definition": self.definition.to_dict(),
            "confidence": CONFIDENCE,
            "proportions": {name: proportion.to_dict() for name, proportion in self.proportions.items()},
        }


CRITERIA: dict[str, tuple[str, ...]] = {
    "valid": ("valid",),
    "symmetric_before": ("symmetric_before",),
    "symmetric_after": ("symmetric_after",),
    "stable": ("stable",),
    "unique": ("unique",),
    "novel": ("novel",),
    "sun": ("stable", "unique", "novel"),
    "ssun_before": ("symmetric_before", "stable", "unique", "novel"),
    "ssun_after": ("symmetric_after", "stable", "unique", "novel"),
}
"""Properties that a draw must all have to count, under each name of a report."""


def ssun(outcomes: Sequence[DrawOutcome], *, definition: SsunDefinition) -> SsunReport:
    """Return the S.S.U.N. of all draws of a campaign or a round.

    Parameters
    ----------
    outcomes
        One for every draw, failed and unrelaxed ones included.
    definition
        What the outcomes were judged by.
    """
    return SsunReport(definition, {name: _proportion(outcomes, needed) for name, needed in CRITERIA.items()})


def wilson_interval(successes: int, total: int) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion (Wilson, J. Am. Stat. Assoc. 22, 209 (1927)).

        (p + z²/2n ± z √(p (1 - p)/n + z²/4n²)) / (1 + z²/n),  p = successes / n, n = total

    Raises
    ------
    ValueError
        If ``successes`` does not lie between 0 and ``total``.
    """
    if not 0 <= successes <= total:
        msg = f"{successes} successes of {total}, expected a number from 0 to {total}"
        raise ValueError(msg)
    if total == 0:
        return 0.0, 1.0
    z, p = _NORMAL_QUANTILE, successes / total
    centre = p + z * z / (2 * total)
    half = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == total else (centre + half) / scale
    return low, high


@dataclass(frozen=True, slots=True)
class Audit:
    """What an engine says about accepted draws that were chosen at random.

    Parameters
    ----------
    confirmed, refuted, failed
        Draws that are stable by the engine, that are not, and whose calculation failed.
    """

    confirmed: int = 0
    refuted: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        """Draws of the audit."""
        return self.confirmed + self.refuted + self.failed


@dataclass(frozen=True, slots=True)
class EngineSsun:
    """S.S.U.N. with the stability by an engine, beside a potential's.

    Parameters
    ----------
    fraction
        Estimate for the draws; ``None`` without an audit that came to a result.
    low, high
        Ends of its 95 % interval; without an audit, of what is possible.
    audit
        What it rests on.
    """

    fraction: float | None
    low: float
    high: float
    audit: Audit

    def to_dict(self) -> dict[str, Any]:
        """Return fraction, bounds and audit as JSON-serialisable mapping."""
        return asdict(self)


def engine_ssun(successes: int, total: int, audit: Audit) -> EngineSsun:
    """Return the S.S.U.N. by an engine from that by a potential and the audit of what the potential accepted.

    The share s = successes / total of the potential times the share p of an audit that the engine confirms. The
    interval is that of p (Wilson) for these draws: s is counted, not sampled. A failed calculation counts as refuted at
    the lower end and as confirmed at the upper one. What the potential rejected is taken as rejected.

    Parameters
    ----------
    successes, total
        Draws that are S.S.U.N. by the potential, and all.
    audit
        Only draws chosen at random: those chosen for their rank are better than the rest.
    """
    share = successes / total if total else 0.0
    told = audit.confirmed + audit.refuted
    low = wilson_interval(audit.confirmed, audit.total)[0]
    high = wilson_interval(audit.confirmed + audit.failed, audit.total)[1]
    return EngineSsun(share * audit.confirmed / told if told else None, share * low, share * high, audit)


def engine_ssun_words(found: Mapping[str, Any]) -> str:
    """Return a stored S.S.U.N. by an engine in words; ``found`` is what a round of a campaign holds of it."""
    bounds = f"{100 * found['low']:.1f} to {100 * found['high']:.1f} %"
    size = Audit(**found["audit"]).total
    if found["fraction"] is None:
        why = "no audit came to a result" if size else "there was no audit"
        return f"by {found['engine']} {bounds}: {why}"
    return f"by {found['engine']} {100 * found['fraction']:.1f} % (95 % interval {bounds}, from an audit of {size})"


def outcome_from_verdicts(
    verdicts: Iterable[Verdict], *, number_before: int | None, number_after: int | None
) -> DrawOutcome:
    """Return what the verdicts of one draw say about its S.S.U.N.

    Parameters
    ----------
    verdicts
        Verdicts of the stages that looked at the draw.
    number_before, number_after
        Space group as drawn and after relaxation; ``None`` where there is no such structure.

    Notes
    -----
    A draw that yielded no structure, is invalid, or whose relaxation failed, is not stable; one that was never looked
    at further because it is a duplicate or known is not unique or not novel, and its other properties stay open.
    """
    by_stage = {verdict.stage: verdict for verdict in verdicts}
    dead = any(by_stage[stage].reason in _DEAD for stage in by_stage)
    stability = by_stage.get(Stage.STABILITY)
    return DrawOutcome(
        valid=False if number_before is None else _passed(by_stage, Stage.VALIDITY),
        symmetric_before=number_before is not None and number_before > 1,
        symmetric_after=False if dead else None if number_after is None else number_after > 1,
        stable=False if dead else None if stability is None else stability.passed,
        unique=_all_passed(by_stage, Stage.UNIQUENESS, Stage.UNIQUENESS_RELAXED),
        novel=_all_passed(by_stage, Stage.NOVELTY, Stage.NOVELTY_RELAXED),
    )


_DEAD = frozenset(
    {
        Reason.GENERATOR_FAILED,
        Reason.NO_REPRESENTATION,
        Reason.OFF_CHEMISTRY,
        Reason.TOO_CLOSE,
        Reason.VOLUME_OUT_OF_RANGE,
        Reason.CHARGE_UNBALANCED,
        Reason.UNSUPPORTED_ELEMENT,
        Reason.NOT_CONVERGED,
        Reason.EXPLODED,
        Reason.VOLUME_CHANGED,
        Reason.RELAXATION_FAILED,
    }
)
"""Reasons after which there is no relaxed crystal that could be stable."""


def _passed(by_stage: dict[Stage, Verdict], stage: Stage) -> bool | None:
    return by_stage[stage].passed if stage in by_stage else None


def _all_passed(by_stage: dict[Stage, Verdict], early: Stage, late: Stage) -> bool | None:
    """Return whether two tests of one kind were passed: the late one decides, the early one can only refuse."""
    if _passed(by_stage, early) is False:
        return False
    return _passed(by_stage, late)


def _proportion(outcomes: Sequence[DrawOutcome], needed: tuple[str, ...]) -> Proportion:
    flags = [[getattr(outcome, name) for name in needed] for outcome in outcomes]
    successes = sum(all(flag is True for flag in draw) for draw in flags)
    undecided = sum(None in draw and False not in draw for draw in flags)
    low, high = wilson_interval(successes, len(outcomes))
    return Proportion(successes, undecided, len(outcomes), low, high)
