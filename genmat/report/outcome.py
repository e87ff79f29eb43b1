"""Numbers that a report draws from the verdicts: funnel, reasons, rounds, elements."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from genmat.report.words import percent, signed
from genmat.screening.ssun import wilson_interval
from genmat.screening.verdict import Stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from genmat.report.content import CampaignReport, ReportedCandidate


@dataclass(frozen=True, slots=True)
class Rate:
    """A proportion of candidates."""

    successes: int
    total: int

    @property
    def fraction(self) -> float:
        """``successes / total``; 0 without candidates."""
        return self.successes / self.total if self.total else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson interval of the fraction, 95 %."""
        return wilson_interval(self.successes, self.total)


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """How many candidates are left after a step; ``by_round`` in the order of the rounds."""

    name: str
    by_round: tuple[int, ...]

    @property
    def total(self) -> int:
        """Candidates of all rounds."""
        return sum(self.by_round)


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """How many candidates ended at a stage for one reason; ``by_round`` in the order of the rounds."""

    stage: str
    reason: str
    by_round: tuple[int, ...]

    @property
    def total(self) -> int:
        """Candidates of all rounds."""
        return sum(self.by_round)


@dataclass(frozen=True, slots=True)
class RoundSummary:
    """One round in numbers.

    Parameters
    ----------
    number
        From 0.
    ssun
        Draws that are symmetric after relaxation, stable, unique and novel.
    accepted_of_draws, accepted_of_relaxed, stable_of_relaxed
        Hit rates; a stable crystal lies at most τ above the hull.
    median_energy_above_hull
        Of the relaxed crystals, eV/atom; ``None`` without any.
    """

    number: int
    ssun: Rate | None
    accepted_of_draws: Rate
    accepted_of_relaxed: Rate
    stable_of_relaxed: Rate
    median_energy_above_hull: float | None


@dataclass(frozen=True, slots=True)
class ElementOutcome:
    """Relaxed and accepted candidates that hold an element."""

    symbol: str
    relaxed: int
    accepted: int


STEPS = (
    ("crystal proposed", Stage.GENERATE),
    ("valid geometry and charges", Stage.VALIDITY),
    ("not in the reference", Stage.NOVELTY),
    ("unique in the campaign", Stage.UNIQUENESS),
    ("selected by score", Stage.SELECTION),
    ("worth relaxing", Stage.STATIC),
    ("relaxed to convergence", Stage.RELAX),
    ("within τ of the hull", Stage.STABILITY),
    ("still new after relaxation", Stage.NOVELTY_RELAXED),
    ("on target", Stage.TARGET),
    ("undisputed by potentials", Stage.COMMITTEE),
    ("has an equation of state", Stage.EQUATION_OF_STATE),
    ("mechanically stable", Stage.ELASTIC),
    ("dynamically stable", Stage.PHONON),
    ("keeps its structure", Stage.MOLECULAR_DYNAMICS),
    ("has a thermal expansion", Stage.THERMAL_EXPANSION),
    ("accepted", Stage.RANK),
)
"""Names of the steps of a funnel, and the stage that each has passed."""


def funnel(report: CampaignReport) -> list[FunnelStep]:
    """Return how many candidates are left after each step, draws first."""
    numbers = [entry.number for entry in report.rounds]
    drawn = Counter(candidate.round for candidate in report.candidates)
    steps = [FunnelStep("draws", tuple(drawn[number] for number in numbers))]
    for name, stage in STEPS:
        if stage.is_optional and all(candidate.verdict(stage) is None for candidate in report.candidates):
            continue
        left = Counter(candidate.round for candidate in report.candidates if candidate.has_passed(stage))
        steps.append(FunnelStep(name, tuple(left[number] for number in numbers)))
    return steps


def reasons(report: CampaignReport) -> list[ReasonCount]:
    """Return why candidates fell, in the order of the stages, the most frequent reason first."""
    numbers = [entry.number for entry in report.rounds]
    counts: dict[tuple[str, str], Counter[int]] = {}
    for candidate in report.candidates:
        fallen = next((verdict for verdict in candidate.verdicts if not verdict.passed), None)
        if fallen is not None:
            counts.setdefault((fallen.stage, fallen.reason), Counter())[candidate.round] += 1
    found = [ReasonCount(*key, tuple(count[number] for number in numbers)) for key, count in counts.items()]
    return sorted(found, key=lambda item: (stage_order(item.stage), -item.total, item.reason))


def stage_order(stage: str) -> int:
    """Return the position of a stage in the funnel; an unknown one comes last."""
    return Stage(stage).order if stage in set(Stage) else len(Stage)


def relaxed(candidates: Iterable[ReportedCandidate]) -> list[ReportedCandidate]:
    """Return the candidates whose relaxation was tried."""
    return [candidate for candidate in candidates if candidate.verdict(Stage.RELAX) is not None]


def summaries(report: CampaignReport) -> list[RoundSummary]:
    """Return each round in numbers."""
    found = []
    for entry in report.rounds:
        mine = [candidate for candidate in report.candidates if candidate.round == entry.number]
        tried = relaxed(mine)
        energies = [c.energy_above_hull for c in tried if c.energy_above_hull is not None]
        n_accepted = sum(candidate.is_accepted for candidate in mine)
        found.append(
            RoundSummary(
                number=entry.number,
                ssun=Rate(*entry.ssun["ssun_after"]) if "ssun_after" in entry.ssun else None,
                accepted_of_draws=Rate(n_accepted, len(mine)),
                accepted_of_relaxed=Rate(n_accepted, len(tried)),
                stable_of_relaxed=Rate(sum(c.has_passed(Stage.STABILITY) for c in tried), len(tried)),
                median_energy_above_hull=median(energies) if energies else None,
            )
        )
    return found


def difference_interval(first: Rate, second: Rate) -> tuple[float, float]:
    """Return the 95 % interval of ``second.fraction - first.fraction``.

    The hybrid score interval (Newcombe, Stat. Med. 17, 873 (1998), method 10), d = p2 - p1,

        d - √((p2 - l2)² + (u1 - p1)²)  to  d + √((u2 - p2)² + (p1 - l1)²)

    with the Wilson intervals l1 to u1 and l2 to u2.
    """
    difference = second.fraction - first.fraction
    (low_1, high_1), (low_2, high_2) = first.interval, second.interval
    below = math.hypot(second.fraction - low_2, high_1 - first.fraction)
    above = math.hypot(high_2 - second.fraction, first.fraction - low_1)
    return difference - below, difference + above


def compare_rounds(rounds: Sequence[RoundSummary]) -> str:
    """Return in one sentence whether the last round did better than the first, and whether chance explains it."""
    judged = [entry for entry in rounds if entry.accepted_of_relaxed.total]
    if len(judged) < 2:
        return "There are fewer than two rounds with relaxed candidates, so nothing can be compared."
    first, last = judged[0], judged[-1]
    old, new = first.accepted_of_relaxed, last.accepted_of_relaxed
    numbers = (
        f"{new.successes} of {new.total} relaxed candidates were accepted ({percent(new.fraction)}) in round "
        f"{last.number + 1}, {old.successes} of {old.total} ({percent(old.fraction)}) in round {first.number + 1}"
    )
    low, high = difference_interval(old, new)
    spread = (
        f"a difference of {signed(100 * (new.fraction - old.fraction))} percentage points "
        f"(95 % interval {signed(100 * low)} to {signed(100 * high)})"
    )
    name = f"Round {last.number + 1}"
    if low > 0.0:
        return f"{name} did better: {numbers}, {spread}, more than chance explains."
    if high < 0.0:
        return f"{name} did worse: {numbers}, {spread}, more than chance explains."
    if new.fraction == old.fraction:
        return f"{name} did as well as the first: {numbers}."
    side = "better" if new.fraction > old.fraction else "worse"
    return f"{name} looks {side}, but chance can explain it: {numbers}, {spread}, which includes zero."


def element_outcomes(report: CampaignReport) -> dict[str, ElementOutcome]:
    """Return for each element of a relaxed candidate how many were relaxed and accepted."""
    tried = relaxed(report.candidates)
    all_of = Counter(symbol for candidate in tried for symbol in candidate.elements)
    good_of = Counter(symbol for candidate in tried if candidate.is_accepted for symbol in candidate.elements)
    return {symbol: ElementOutcome(symbol, all_of[symbol], good_of[symbol]) for symbol in sorted(all_of)}


def space_group_counts(report: CampaignReport) -> tuple[Counter[int], Counter[int], int]:
    """Return space groups as drawn and after relaxation of converged candidates, and how many kept theirs."""
    pairs = [
        (candidate.number_drawn, candidate.number_relaxed)
        for candidate in report.candidates
        if candidate.has_passed(Stage.RELAX) and candidate.number_drawn and candidate.number_relaxed
    ]
    kept = sum(drawn == after for drawn, after in pairs)
    return Counter(drawn for drawn, _ in pairs), Counter(after for _, after in pairs), kept
