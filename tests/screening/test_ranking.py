"""Ranking: best first, the same whatever the order of the input."""

from __future__ import annotations

import math
from itertools import permutations

from genmat.screening.ranking import Survivor, rank

SURVIVORS = [
    Survivor("d", merit=0.9, energy_above_hull=0.05),
    Survivor("b", merit=0.5, energy_above_hull=0.01),
    Survivor("c", merit=0.5, energy_above_hull=0.01),
    Survivor("a", merit=0.5, energy_above_hull=0.02),
    Survivor("e", merit=math.nan, energy_above_hull=0.0),
]


def test_merit_comes_first_then_the_hull_then_the_id():
    assert [survivor.id for survivor in rank(SURVIVORS)] == ["d", "b", "c", "a", "e"]


def test_rank_does_not_depend_on_the_order_of_the_input():
    assert len({tuple(survivor.id for survivor in rank(order)) for order in permutations(SURVIVORS)}) == 1


def test_differences_by_rounding_do_not_decide():
    left = Survivor("a", merit=0.5, energy_above_hull=0.01 + 1e-13)
    assert [s.id for s in rank([Survivor("b", 0.5, 0.01), left])] == ["a", "b"]
