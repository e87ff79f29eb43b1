"""Answers are computed once for all who ask, and again in the background."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from genmat.dashboard import cache as module
from genmat.dashboard.cache import Cache
from genmat.dashboard.exports import safe_name
from genmat.dashboard.tables import cell, to_csv
from genmat.errors import DatabaseError


def test_twenty_who_ask_at_once_wait_for_one_computation():
    calls, cache = [], Cache()

    def compute():
        calls.append(1)
        time.sleep(0.05)
        return 7

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(lambda _: cache.get("key", compute), range(20))) == {7}
    assert len(calls) == 1


def test_an_old_answer_is_shown_while_the_next_one_is_computed(monkeypatch):
    monkeypatch.setattr(module, "SHORTEST", -1.0)
    monkeypatch.setattr(module, "SHARE", float("inf"))
    cache, released, values = Cache(), threading.Event(), count(1)

    def compute():
        value = next(values)
        if value > 1:
            released.wait(10)
        return value

    assert cache.get("key", compute) == 1
    assert cache.get("key", compute) == 1
    released.set()
    deadline = time.monotonic() + 10
    while cache._answers["key"].value == 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_answer_that_is_too_old_is_not_shown():
    cache, values = Cache(), count(1)
    assert cache.get("key", lambda: next(values), oldest=60) == 1
    assert cache.get("key", lambda: next(values), oldest=60) == 1
    assert cache.get("key", lambda: next(values), oldest=0) == 2


def test_an_error_is_the_askers_and_the_next_one_tries_again():
    cache, answers = Cache(), iter([DatabaseError("away"), 3])

    def compute():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(DatabaseError, match="away"):
        cache.get("key", compute)
    assert cache.get("key", compute) == 3


def test_answers_that_nobody_asks_for_are_forgotten():
    cache = Cache()
    for number in range(module.SIZE + 10):
        cache.get(number, lambda: 0)
    assert len(cache._answers) == module.SIZE
    assert 0 not in cache._answers


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-2", "@sum", "\t=1"])
def test_text_of_a_csv_is_never_a_formula_of_a_spreadsheet(text):
    assert not str(cell(text)).startswith(("=", "+", "-", "@", "\t"))


def test_csv_has_the_points_of_every_trace_without_markup():
    figure = {
        "data": [{"type": "scatter", "name": "<b>a</b>", "x": [1, 2], "y": [3, None], "customdata": ["u<br>v", "w"]}],
        "layout": {"xaxis": {"title": {"text": "x (Å<sup>3</sup>)"}}, "yaxis": {"title": {"text": "y"}}},
    }
    assert to_csv(figure).splitlines() == ["series,x (Å3),y,label", "a,1,3,u v", "a,2,,w"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "a/b\\c", 'x"; rm', "", "\n.cif"])
def test_no_name_of_a_file_leaves_its_folder(name):
    assert safe_name(name)
    assert not set(safe_name(name)) & set('/\\"\n')
    assert not safe_name(name).startswith(".")
