"""A table of candidates page by page, each page one walk along one index.

A page begins where the last one ended (keyset pagination): the cursor is the sort value and the id of the last row, so
page 1000 costs what page 1 costs. Candidates without a sort value (not relaxed, not ranked) come after those with one.
"""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genmat.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genmat.database.candidates import CandidateCollection, CandidateQuery
    from genmat.database.collection import Fields
    from genmat.database.documents import CandidateDocument

ENERGY = "energy_above_hull"
ORDERS = (ENERGY, "rank", "score")
"""Fields that a table can be sorted by."""
FILTERS = (
    "formula_pretty",
    "chemsys",
    "elements",
    "space_group_number",
    "reason",
    "stage",
    "status",
    "round",
)
"""Fields that a table can be filtered by, those that usually leave fewest candidates first."""
LONGEST_PAGE = 500

_CURSOR = re.compile(r"[A-Za-z0-9_-]{4,400}")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: after the candidate with this sort value and id; ``None`` for one without a value."""

    value: float | None
    identifier: str

    def __str__(self) -> str:
        """Return the cursor as it stands in an address."""
        text = json.dumps([self.value, self.identifier], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Return the cursor of an address.

        Raises
        ------
        InputError
            If it is none that :meth:`__str__` made.
        """
        match = _read(text) if _CURSOR.fullmatch(text) else None
        if match is None:
            msg = "the cursor of a page is not one that this server gave: begin with the first page"
            raise InputError(msg)
        return cls(*match)


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a table.

    Parameters
    ----------
    candidates
        In order.
    following
        Where the next page begins; ``None`` after the last one.
    index
        Fields of the index that was walked; empty if the database has none for this table.
    """

    candidates: tuple[CandidateDocument, ...]
    following: Cursor | None
    index: tuple[str, ...]


def index_for(query: CandidateQuery, order: str) -> tuple[str, ...]:
    """Return the fields of the index that serves a table: its first filter, then the sort field.

    Raises
    ------
    InputError
        If there is none: with a filter, tables come in the order of the distance to the hull.
    """
    if order not in ORDERS:
        msg = f"candidates cannot be sorted by {order!r}, expected one of {', '.join(ORDERS)}."
        raise InputError(msg + did_you_mean(order, ORDERS))
    given = [name for name in FILTERS if name in query.criteria]
    if order != ENERGY:
        # Few candidates have a rank: the other filters may sieve them. A score has nearly every one.
        if given and order != "rank":
            msg = f"no index serves a table filtered by {given[0]} and sorted by {order}: sort by {ENERGY}"
            raise InputError(msg)
        return ("campaign", order, "_id")
    return ("campaign", *given[:1], ENERGY, "_id")


def page(
    candidates: CandidateCollection,
    query: CandidateQuery,
    *,
    order: str = ENERGY,
    descending: bool = False,
    after: Cursor | None = None,
    limit: int = 50,
) -> Page:
    """Return one page of a table.

    Parameters
    ----------
    candidates
        All candidates.
    query
        Which of them.
    order
        One of :data:`ORDERS`.
    descending
        Largest first; candidates without a value stay last.
    after
        Where the last page ended.
    limit
        Rows at most.

    Raises
    ------
    InputError
        If no index serves the table.
    SlowQueryError
        If it takes longer than the connection allows.
    """
    wanted = index_for(query, order)
    name = next((name for name, fields in candidates.indexes().items() if fields == wanted), None)
    limit = min(limit, LONGEST_PAGE)
    found: list[CandidateDocument] = []
    for criteria in _spans(query.criteria, order, after, descending=descending):
        sign = -1 if descending and criteria.get(order, 0) is not None else 1
        keys = ((order, sign), ("_id", sign))
        found += candidates.find(criteria, sort=keys, limit=limit + 1 - len(found), hint=name)
        if len(found) > limit:
            break
    shown = tuple(found[:limit])
    following = Cursor(getattr(shown[-1], order), shown[-1].id) if len(found) > limit else None
    return Page(shown, following, wanted if name else ())


def _read(text: str) -> tuple[float | None, str] | None:
    """Return value and id of a cursor's text, or ``None``."""
    try:
        content = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        return None
    match content:
        case [bool(), _]:
            return None
        case [int() | float() | None as value, str(identifier)] if value is None or math.isfinite(value):
            return value, identifier
    return None


def _spans(criteria: Fields, order: str, after: Cursor | None, *, descending: bool) -> Sequence[Fields]:
    """Return the filters of what comes after a cursor: candidates with a value, then those without."""
    beyond, start = ("$lt", "$lte") if descending else ("$gt", "$gte")
    bounds: dict[str, Any] = criteria.get(order, {})
    rest = {name: value for name, value in criteria.items() if name != order}
    ends_here = bool(bounds)
    without: Fields = {**rest, order: None}
    if after is not None and after.value is None:
        return () if ends_here else ({**without, "_id": {"$gt": after.identifier}},)
    having: Fields = {**rest, order: {"$gt": float("-inf"), **bounds}}
    if after is not None:
        having["$and"] = [
            {order: {start: after.value}},
            {"$or": [{order: {beyond: after.value}}, {"_id": {beyond: after.identifier}}]},
        ]
    return (having,) if ends_here else (having, without)
