"""Facets on disk: equal to computed ones, never another hull's, and no reason to fail."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from genmat.reference import hull as hull_module
from genmat.reference.hull import Hull

from .test_hull import OTHER_SCALE, SCALE, make_entries, random_entries


@pytest.fixture
def file(tmp_path):
    return tmp_path / "new folder" / "facets.sqlite"


@pytest.fixture
def no_computing(monkeypatch):
    def refuse(*_arguments):
        pytest.fail("computed")

    return lambda: monkeypatch.setattr(hull_module, "lower_hull", refuse)


def filled(file, *, seed=0):
    """Return the distances of all entries, their facets kept in a file."""
    return Hull(random_entries(seed), scale=SCALE).with_cache(file).entries_above_hull()


def test_facets_of_an_earlier_process_give_the_same_distances_to_the_last_bit(file, no_computing):
    expected = Hull(random_entries(0), scale=SCALE).entries_above_hull()
    assert np.array_equal(filled(file), expected)
    no_computing()
    hull = Hull(random_entries(0), scale=SCALE).with_cache(file)
    assert np.array_equal(hull.entries_above_hull(), expected)
    stable = hull.decomposition({"Li": 1, "Fe": 1, "O": 2, "P": 1})
    assert sum(phase.fraction for phase in stable) == pytest.approx(1.0)


def test_another_scale_or_energy_never_sees_them(file, no_computing):
    filled(file)
    entries = random_entries(0)
    energies = entries.energies.copy()
    energies[-1] += 1e-9
    no_computing()
    for hull in (Hull(entries, scale=OTHER_SCALE), Hull(replace(entries, energies=energies), scale=SCALE)):
        with pytest.raises(pytest.fail.Exception, match="computed"):
            hull.with_cache(file).entries_above_hull()


def test_what_an_extended_hull_shares_with_its_base_is_kept_and_the_rest_is_not(file):
    base = Hull(random_entries(0), scale=SCALE).with_cache(file)
    extended = base.with_entries(make_entries({"added": ("Li2O", -40.0)}), scale=SCALE)
    expected = Hull(base.entries.extended(make_entries({"added": ("Li2O", -40.0)})), scale=SCALE).entries_above_hull()
    assert np.array_equal(extended.entries_above_hull(), expected)
    assert np.array_equal(
        Hull(random_entries(0), scale=SCALE).with_cache(file).entries_above_hull(),
        Hull(random_entries(0), scale=SCALE).entries_above_hull(),
    )
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT count(DISTINCT hull) FROM facets").fetchone() == (1,)
    connection.close()


def test_what_waits_to_be_written_is_written_in_batches_and_at_the_end(file, monkeypatch):
    monkeypatch.setattr("genmat.reference.cache.BATCH", 5)
    hull = Hull(random_entries(0), scale=SCALE).with_cache(file)
    hull.entries_above_hull()
    with closing(sqlite3.connect(file)) as connection:
        before = connection.execute("SELECT count(*) FROM facets").fetchone()[0]
        assert before > 0
        assert before % 5 == 0
        n_systems = len(hull._index.systems)
        del hull
        assert connection.execute("SELECT count(*) FROM facets").fetchone() == (n_systems,)


@pytest.mark.parametrize("damage", ["torn", "noise", "empty", "folder"])
def test_a_damaged_file_is_no_reason_to_fail(file, damage):
    expected = filled(file)
    content = file.read_bytes()
    if damage == "folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes({"torn": content[: len(content) // 2], "noise": b"x" * 9000, "empty": b""}[damage])
    for _ in range(2):
        assert np.array_equal(filled(file), expected)


def test_a_record_that_changed_is_computed_again(file):
    expected = filled(file)
    connection = sqlite3.connect(file)
    for system, data in connection.execute("SELECT system, data FROM facets").fetchall():
        changed = data[:-1] + bytes([data[-1] ^ 1])
        connection.execute("UPDATE facets SET data = ? WHERE system = ?", (changed, system))
    connection.commit()
    connection.close()
    assert np.array_equal(filled(file), expected)


def test_a_busy_file_is_passed_over(file, monkeypatch):
    expected = filled(file)
    monkeypatch.setattr("genmat.reference.cache.PATIENCE", 0.0)
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    assert np.array_equal(filled(file), expected)
    connection.close()


def test_two_that_write_at_once_leave_a_whole_file(file, no_computing):
    expected = Hull(random_entries(0), scale=SCALE).entries_above_hull()
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(filled, [file, file]):
            assert np.array_equal(found, expected)
    no_computing()
    assert np.array_equal(filled(file), expected)


def test_a_file_that_grew_too_large_starts_anew(file, monkeypatch):
    for seed in range(3):
        filled(file, seed=seed)
    large = file.stat().st_size
    monkeypatch.setattr("genmat.reference.cache.LARGEST", large - 1)
    filled(file)
    assert file.stat().st_size < large
