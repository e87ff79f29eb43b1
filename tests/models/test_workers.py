"""Processes that die: what was done counts, what was not is done again, and what kills them has no result."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from genmat.errors import PotentialError
from genmat.models.workers import Workers

KILLS, STUMBLES = -1, -2


@pytest.fixture(autouse=True)
def mortal(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("mortal")


def results(mortal, items, groups, folder, *, number=1):
    workers = Workers(number, mortal.ready, ())
    try:
        found = list(workers.map(mortal.doubled, items, groups, str(folder)))
    finally:
        workers.close()
    assert len(found) == len(dict(found))
    return dict(found)


def test_a_process_that_dies_once_leaves_no_trace(mortal, tmp_path):
    items = [1, STUMBLES, 3, 4]
    assert results(mortal, items, [[0, 1, 2], [3]], tmp_path) == {0: 2, 1: -4, 2: 6, 3: 8}


def test_only_what_kills_again_and_again_has_no_result(mortal, tmp_path):
    items = [1, 2, KILLS, 4, 5, 6]
    found = results(mortal, items, [[0, 1, 2, 3], [4, 5]], tmp_path, number=2)
    assert found == {0: 2, 1: 4, 2: None, 3: 8, 4: 10, 5: 12}


def test_two_uses_at_once_each_get_their_own(mortal, tmp_path):
    workers = Workers(1, mortal.ready, ())
    first = workers.map(mortal.doubled, [1, 2], [[0], [1]], str(tmp_path))
    assert next(first) == (0, 2)
    assert dict(workers.map(mortal.doubled, [5, 6, 7], [[2], [0, 1]], str(tmp_path))) == {0: 10, 1: 12, 2: 14}
    assert list(first) == [(1, 4)]
    workers.close()


def test_a_use_that_raises_leaves_the_others_alone(mortal, tmp_path):
    workers = Workers(1, mortal.ready, ())
    failing = workers.map(mortal.fail, [1], [[0]])
    other = workers.map(mortal.doubled, [1, 2, 3], [[0], [1], [2]], str(tmp_path))
    assert next(other) == (0, 2)
    with pytest.raises(PotentialError, match="ZeroDivisionError"):
        next(failing)
    assert list(other) == [(1, 4), (2, 6)]
    workers.close()


def test_an_abandoned_use_does_not_disturb_the_next(mortal, tmp_path):
    workers = Workers(1, mortal.ready, ())
    abandoned = workers.map(mortal.doubled, [1, 2, 3], [[0], [1], [2]], str(tmp_path))
    next(abandoned)
    abandoned.close()
    assert dict(workers.map(mortal.doubled, [5], [[0]], str(tmp_path))) == {0: 10}
    workers.close()


def test_processes_that_cannot_start_are_an_error_and_no_endless_loop(mortal):
    workers = Workers(1, mortal.die_at_start, ())
    with pytest.raises(PotentialError, match="end before they are ready"):
        list(workers.map(mortal.fail, [1], [[0]]))
    workers.close()


def test_a_function_that_raises_raises_here(mortal):
    workers = Workers(1, mortal.ready, ())
    with pytest.raises(PotentialError, match="ZeroDivisionError"):
        list(workers.map(mortal.fail, [1], [[0]]))
    workers.close()
