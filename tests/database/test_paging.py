"""Tables page by page: the same on every database, and along an index on those that have indexes."""

from __future__ import annotations

import pytest

from genmat.database import statistics
from genmat.database.candidates import CandidateQuery
from genmat.database.paging import FILTERS, ORDERS, Cursor, index_for, page
from genmat.errors import InputError

ALL = CandidateQuery("halides")


@pytest.fixture
def filled(store, make_candidates):
    """Fill a table of 23 candidates, seven of which have no energy, with equal energies among the others."""
    candidates = [
        entry.model_copy(
            update={
                "energy_above_hull": None if number % 3 == 0 else round(0.05 * (number % 5), 2),
                "rank": number if 0 < number < 6 else None,
                "elements": ["Cl", "Na"] if number % 2 else ["F", "Na"],
                "reason": "above_hull" if number % 4 else "known",
            }
        )
        for number, entry in enumerate(make_candidates(23))
    ]
    store.candidates.insert_if_absent(candidates)
    return candidates


def walk(store, query, **options):
    """Return the ids of all pages of four rows, by way of the cursors' text."""
    found, after = [], None
    while True:
        shown = page(store.candidates, query, after=after, limit=4, **options)
        found += [candidate.id for candidate in shown.candidates]
        if shown.following is None:
            return found
        after = Cursor.parse(str(shown.following))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    "query",
    [
        ALL,
        CandidateQuery("halides", elements=("Cl",)),
        CandidateQuery("halides", reason="above_hull", elements=("F",)),
        CandidateQuery("halides", min_energy_above_hull=0.05, max_energy_above_hull=0.15),
    ],
)
def test_pages_hold_every_candidate_once_and_in_order(store, filled, query, descending):
    bounds = query.criteria.get("energy_above_hull", {})
    chosen = [
        c
        for c in filled
        if set(query.elements) <= set(c.elements)
        and query.reason in (None, c.reason)
        and (not bounds or (c.energy_above_hull is not None and 0.05 <= c.energy_above_hull <= 0.15))
    ]
    having = sorted((c for c in chosen if c.energy_above_hull is not None), key=lambda c: (c.energy_above_hull, c.id))
    without = sorted(c.id for c in chosen if c.energy_above_hull is None)
    expected = [c.id for c in (reversed(having) if descending else having)] + without
    assert walk(store, query, descending=descending) == expected


def test_ranked_candidates_come_first(store, filled):
    assert walk(store, ALL, order="rank")[:5] == [f"c{number:05d}" for number in range(1, 6)]
    assert len(walk(store, ALL, order="rank")) == 23


def test_a_table_without_an_index_is_refused_with_the_order_that_has_one():
    with pytest.raises(InputError, match="sort by energy_above_hull"):
        index_for(CandidateQuery("halides", reason="known"), "score")
    with pytest.raises(InputError, match="Did you mean 'rank'"):
        index_for(ALL, "rnk")


@pytest.mark.parametrize(
    "text", ["", "AAAA", "a$b.", "W3siJGd0IjowfSwieCJd", "WzEse31d", "W05hTiwieCJd", "WzEsMl0", "x" * 500]
)
def test_a_foreign_cursor_is_refused(text):
    with pytest.raises(InputError, match="begin with the first page"):
        Cursor.parse(text)


@pytest.mark.mongo
@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
@pytest.mark.parametrize("field", FILTERS)
def test_every_filter_walks_its_own_index(store, filled, field):
    values = {"elements": ("Na",), "round": 0, "space_group_number": 225, "stage": "generate", "reason": "known"}
    query = CandidateQuery("halides", **{field: values.get(field, "active" if field == "status" else "NaCl")})
    shown = page(store.candidates, query)
    assert shown.index == ("campaign", field, "energy_above_hull", "_id")


TABLES = [*((name, "energy_above_hull") for name in FILTERS), *((None, order) for order in ORDERS)]


@pytest.mark.mongo
@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_no_page_of_a_table_reads_the_collection_or_sorts(store, filled, shared_server, profile):
    values = {"elements": ("Na",), "round": 0, "space_group_number": 225, "stage": "generate", "reason": "known"}
    for field, order in TABLES:
        given = {} if field is None else {field: values.get(field, "active" if field == "status" else "NaCl")}
        for after in (None, Cursor(0.05, "c00001")):
            with profile(shared_server.uri, "embedded") as plans:
                page(store.candidates, CandidateQuery("halides", **given), order=order, after=after)
            assert plans
            for plan in plans:
                assert "COLLSCAN" not in plan, (field, order)
                assert "SORT" not in plan, (field, order)


def test_ends_counted_one_by_one_are_those_of_one_grouping(store, filled, monkeypatch):
    grouped = store.statistics.ends("halides")
    monkeypatch.setattr(statistics, "LARGE", 10)
    assert store.statistics.ends("halides") == grouped
    assert sum(end.count for end in grouped) == len(filled)


def test_distances_to_the_hull_are_counted_by_round_and_bin(store, filled):
    counts = store.statistics.energies("halides")
    energies = [c.energy_above_hull for c in filled if c.energy_above_hull is not None]
    assert counts.keys() == {0}
    assert sum(counts[0].values()) == len(energies)


@pytest.mark.mongo
@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_counts_of_a_large_campaign_read_indexes_alone(store, filled, shared_server, profile, monkeypatch):
    monkeypatch.setattr(statistics, "LARGE", 10)
    with profile(shared_server.uri, "embedded") as plans:
        store.statistics.energies("halides")
    assert plans
    assert [plan for plan in plans if "COLLSCAN" in plan] == []
