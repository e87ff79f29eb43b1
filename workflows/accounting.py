"""Core hours of first principles: what selections expect, what is left of the budget, what calculations took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genmat.validation.selection import Cost
from workflows.chunk import BY_ENGINE, SELECTED_BY

if TYPE_CHECKING:
    from genmat.campaign.schema import Validation
    from genmat.database.store import Store

SELECTIONS = sorted(SELECTED_BY.values())


def core_hours_left(store: Store, name: str, asked: Validation, *, before: int) -> float | None:
    """Return what a round may be expected to cost after those before it, core hours; ``None`` for no limit.

    Expectations alone count: who is chosen must not depend on the machine that computed the rounds before.
    """
    limits = [] if asked.max_core_hours is None else [asked.max_core_hours]
    if asked.max_core_hours_total is not None:
        earlier = {"campaign": name, "stage": {"$in": SELECTIONS}, "round": {"$lt": before}}
        limits.append(max(0.0, asked.max_core_hours_total - planned_core_hours(store, earlier)))
    return min(limits, default=None)


def planned_core_hours(store: Store, criteria: dict[str, Any]) -> float:
    """Return what some selections expect to cost, core hours."""
    costs: list[Any] = [entry.parameters["expected_core_hours"] for entry in store.provenance.find(criteria)]
    return float(sum(costs))


def core_hours(store: Store, name: str) -> Cost | None:
    """Return what the first principles of a campaign were expected to cost, and what they did; ``None`` without any."""
    planned = list(store.provenance.iterate({"campaign": name, "stage": {"$in": sorted(BY_ENGINE)}}))
    if not planned:
        return None
    spent: list[Any] = [entry.parameters["core_hours"] for entry in planned if "core_hours" in entry.parameters]
    expected = planned_core_hours(store, {"campaign": name, "stage": {"$in": SELECTIONS}})
    return Cost(expected, float(sum(spent)), done=len(spent), planned=len(planned))
