"""Ranking of survivors: best merit first, deterministic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Survivor:
    """A candidate that passed every stage.

    Parameters
    ----------
    id
        Id of the candidate.
    merit
        :meth:`genmat.campaign.target.Target.merit` of its properties, 0 to 1.
    energy_above_hull
        Distance to the hull, eV/atom.
    """

    id: str
    merit: float
    energy_above_hull: float


def rank(survivors: Iterable[Survivor]) -> list[Survivor]:
    """Return the survivors, best first: larger merit, then smaller distance to the hull, then id.

    Numbers are compared at nine significant digits, so that two runs whose energies differ in rounding rank alike; one
    that is not finite comes last.
    """
    return sorted(
        survivors, key=lambda survivor: (_key(-survivor.merit), _key(survivor.energy_above_hull), survivor.id)
    )


def _key(value: float) -> float:
    return float(f"{value:.9g}") if math.isfinite(value) else math.inf
