"""A read-only session has no way to write, not even past the store."""

from __future__ import annotations

import pytest

from genmat.database.reading import ReadOnlyDatabase
from genmat.database.store import connect
from genmat.errors import DatabaseError, SlowQueryError


def test_a_read_only_store_reads(settings, store, make_candidates):
    store.candidates.insert_if_absent(make_candidates(3))
    store.trajectories.put("relaxed", {"energies": [1.0, 0.5], "volumes": [10.0, 9.0]})
    if store.in_process:
        store.close()
    with connect(settings, read_only=True, time_limit=5.0) as reader:
        assert reader.candidates.count() == 3
        assert reader.trajectories.get("relaxed") == {"energies": [1.0, 0.5], "volumes": [10.0, 9.0]}
        assert reader.trajectories.get("another") is None
        assert [end.count for end in reader.statistics.ends("halides")] == [3]


@pytest.mark.parametrize(
    "name", ["insert_one", "insert_many", "update_one", "delete_many", "drop", "create_index", "find_one_and_update"]
)
def test_what_a_read_only_session_is_given_has_no_writing_method(store, name):
    database = store._session.run(ReadOnlyDatabase)
    with pytest.raises(AttributeError):
        getattr(database["candidates"], name)
    with pytest.raises(AttributeError):
        database.client  # noqa: B018


@pytest.mark.parametrize("stage", [{"$out": "stolen"}, {"$merge": {"into": "candidates"}}])
def test_an_aggregation_that_writes_is_refused(settings, store, stage):
    if store.in_process:
        store.close()
    with (
        connect(settings, read_only=True) as reader,
        pytest.raises(DatabaseError, match="opened for reading only"),
    ):
        reader._session.aggregate("candidates", [{"$match": {}}, stage])


@pytest.mark.mongo
@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_a_query_that_takes_too_long_is_ended(settings, store, make_candidates):
    store.candidates.insert_if_absent(make_candidates(2))
    slow = {"$where": "sleep(300) || true"}
    with connect(settings, read_only=True, time_limit=0.1) as reader, pytest.raises(SlowQueryError, match=r"0\.1 s"):
        reader.candidates.find(slow)
