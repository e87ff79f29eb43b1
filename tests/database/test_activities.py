from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from genmat.database.documents import ActivityState
from genmat.errors import DatabaseError


@pytest.fixture
def provenance(store, activity):
    store.provenance.insert_if_absent([activity])
    return store.provenance


def test_beginning_an_attempt_records_who_works(provenance):
    attempt = provenance.begin_attempt("activity")
    stored = provenance.require("activity")
    assert stored.state is ActivityState.RUNNING
    assert stored.attempts == [attempt]
    assert attempt.pid == os.getpid()
    assert attempt.ended_at is None


def test_beginning_one_attempt_twice_records_it_once(provenance):
    provenance.begin_attempt("activity", attempt_id="first")
    provenance.begin_attempt("activity", attempt_id="first")
    provenance.begin_attempt("activity", attempt_id="second")
    assert [attempt.id for attempt in provenance.require("activity").attempts] == ["first", "second"]


def test_completing_twice_counts_once(provenance):
    for _ in range(2):
        attempt = provenance.begin_attempt("activity")
        for _ in range(2):
            provenance.complete("activity", attempt.id, generated=["b", "a"], counts={"ok": 2, "exploded": 1})
    stored = provenance.require("activity")
    assert stored.state is ActivityState.COMPLETED
    assert stored.generated == ["a", "b"]
    assert provenance.counts("halides") == {"relax": {"exploded": 1, "ok": 2}}
    assert [attempt.outcome for attempt in stored.attempts] == ["completed", "completed"]


def test_a_completed_activity_stays_completed_when_another_attempt_fails(provenance):
    slow = provenance.begin_attempt("activity")
    fast = provenance.begin_attempt("activity")
    provenance.complete("activity", fast.id, generated=["a"], counts={"ok": 1})
    provenance.fail("activity", slow.id, error="walltime")
    stored = provenance.require("activity")
    assert stored.state is ActivityState.COMPLETED
    assert {attempt.id: attempt.error for attempt in stored.attempts} == {slow.id: "walltime", fast.id: None}


def test_a_failed_activity_is_unfinished(provenance):
    attempt = provenance.begin_attempt("activity")
    provenance.fail("activity", attempt.id, error="out of memory")
    assert provenance.require("activity").state is ActivityState.FAILED
    assert provenance.unfinished("halides", round_number=0, stage="relax") == ["activity"]
    assert provenance.unfinished("halides", round_number=1) == []
    assert provenance.counts("halides") == {}


def test_counts_are_sums_over_completed_activities(store, activity):
    others = [activity.model_copy(update={"id": f"activity{number}"}) for number in range(3)]
    store.provenance.insert_if_absent(others)
    for number in range(2):
        attempt = store.provenance.begin_attempt(f"activity{number}")
        store.provenance.complete(f"activity{number}", attempt.id, generated=[], counts={"ok": 2, "known": number})
    assert store.provenance.counts("halides", stage="relax") == {"relax": {"known": 1, "ok": 4}}
    assert store.provenance.states("halides") == {"relax": {"completed": 2, "pending": 1}}


def test_sixteen_attempts_at_once_are_all_recorded(provenance):
    with ThreadPoolExecutor(16) as pool:
        attempts = list(pool.map(lambda _: provenance.begin_attempt("activity").id, range(16)))
    assert sorted(attempt.id for attempt in provenance.require("activity").attempts) == sorted(attempts)


def test_ending_an_attempt_that_was_not_begun_is_an_error(provenance):
    with pytest.raises(DatabaseError, match="'activity' has no attempt 'x': begin it first"):
        provenance.fail("activity", "x", error="")


def test_an_attempt_at_an_unregistered_activity_is_an_error(store):
    with pytest.raises(DatabaseError, match="no document 'absent'"):
        store.provenance.begin_attempt("absent")
