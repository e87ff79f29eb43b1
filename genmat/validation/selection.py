"""Selection: which candidates are computed from first principles, under a budget estimated beforehand, and why."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_OF_ONE_SYSTEM = 2
"""Best candidates of one chemical system: more would tell little that the first ones do not."""
ONE_UNCERTAIN_IN = 4
"""Of so many candidates one is uncertain: one whose interval holds the tolerance, or else the nearest to it."""


class Why(StrEnum):
    """What a candidate was chosen for."""

    BEST = "best"
    UNCERTAIN = "uncertain"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True)
class Option:
    """A candidate that may be computed.

    Parameters
    ----------
    id
        Id of the candidate.
    rank
        1 is best.
    chemsys
        Chemical system.
    margin
        Distance of its energy above the hull to the tolerance, eV/atom.
    core_hours
        Expected cost of the candidate itself.
    phases
        Expected cost of every competing phase without a known energy, by id, core hours.
    obstacle
        Why it cannot be computed; ``None`` if it can.
    straddles
        Whether the interval of its energy holds the tolerance, where the screening gave one.
    """

    id: str
    rank: int
    chemsys: str
    margin: float
    core_hours: float
    phases: Mapping[str, float]
    obstacle: str | None = None
    straddles: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """Who is computed, and who not.

    Parameters
    ----------
    chosen
        Why, by id.
    passed_over
        Reason in words, by id, of those that would have come first otherwise.
    core_hours
        Expected cost of all, each competing phase counted once.
    """

    chosen: Mapping[str, Why]
    passed_over: Mapping[str, str]
    core_hours: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What the calculations of a campaign were expected to cost, and what they did.

    Parameters
    ----------
    expected, spent
        Core hours; spent by those that have ended, well or not, in their last attempt.
    done, planned
        Calculations.
    """

    expected: float
    spent: float
    done: int
    planned: int

    def __str__(self) -> str:
        """Return the cost in words."""
        ended = f"{self.done} of {self.planned} calculation{'' if self.planned == 1 else 's'}"
        return f"{self.expected:.2g} core hours were expected, {ended} took {self.spent:.2g}"


def select(
    options: Sequence[Option], *, top: int, audit: int = 0, max_core_hours: float | None = None, seed: int = 0
) -> Selection:
    """Choose candidates: a random audit slice, then the best, one in four for its uncertainty.

    Parameters
    ----------
    options
        Candidates, in any order.
    top
        Candidates besides the audit slice.
    audit
        Candidates drawn at random among all that can be computed; what they show is unbiased.
    max_core_hours
        Budget; ``None`` for no limit. A candidate that does not fit is passed over, a cheaper one may follow.
    seed
        Of the audit slice.
    """
    ranked = sorted(options, key=lambda option: (option.rank, option.id))
    purse = _Purse(max_core_hours)
    purse.passed_over |= {option.id: option.obstacle for option in ranked if option.obstacle is not None}
    possible = [option for option in ranked if option.obstacle is None]
    drawn = random.Random(seed).sample(possible, len(possible))  # noqa: S311 - a sample, no secret
    purse.take(drawn, audit, Why.AUDIT, most_of_one_system=None)
    n_uncertain = top // ONE_UNCERTAIN_IN
    purse.take(possible, top - n_uncertain, Why.BEST, most_of_one_system=MOST_OF_ONE_SYSTEM)
    nearest = sorted(possible, key=lambda option: (not option.straddles, abs(option.margin), option.id))
    purse.take(nearest, n_uncertain, Why.UNCERTAIN, most_of_one_system=MOST_OF_ONE_SYSTEM)
    return Selection(purse.chosen, purse.passed_over, purse.spent)


class _Purse:
    """A budget that is spent: a competing phase is paid once."""

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self.spent = 0.0
        self.chosen: dict[str, Why] = {}
        self.passed_over: dict[str, str] = {}
        self._paid: set[str] = set()
        self._systems: Counter[str] = Counter()

    def take(self, options: Sequence[Option], number: int, why: Why, *, most_of_one_system: int | None) -> None:
        """Take up to ``number`` options in their order, as far as the budget goes."""
        taken = 0
        for option in options:
            if taken >= number:
                return
            full = most_of_one_system is not None and self._systems[option.chemsys] >= most_of_one_system
            if option.id in self.chosen or full or not self._pay(option):
                continue
            self.chosen[option.id] = why
            self._systems[option.chemsys] += why is not Why.AUDIT
            taken += 1

    def _pay(self, option: Option) -> bool:
        cost = option.core_hours + sum(hours for name, hours in option.phases.items() if name not in self._paid)
        if self.limit is not None and self.spent + cost > self.limit:
            left = self.limit - self.spent
            self.passed_over[option.id] = f"{cost:.2g} core hours expected, {left:.2g} of {self.limit:g} are left"
            return False
        self.passed_over.pop(option.id, None)
        self._paid.update(option.phases)
        self.spent += cost
        return True
