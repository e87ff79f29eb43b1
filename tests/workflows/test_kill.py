"""Killed at any moment, a campaign is finished by the next run and equals an undisturbed one."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from .conftest import CAMPAIGN, Place, outcome

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.mongo
LINES = ("generate 0", "generate 1", "generate 3", "prescreen 0", "prescreen 1", "generate 2", "prescreen 2")
"""Progress lines after which a run is killed."""


def kill_after(place: Place, text: str, *, line: str, delay: float) -> bool:
    """Start the campaign, SIGKILL it some time after a progress line; return whether it was killed before its end."""
    process = place.start(text)
    assert process.stdout is not None
    for printed in process.stdout:
        if printed.strip() == line:
            time.sleep(delay)
            os.kill(process.pid, signal.SIGKILL)
            break
    process.wait()
    process.stdout.close()
    return process.returncode == -signal.SIGKILL


def finish(place: Place, text: str) -> None:
    process = place.start(text)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert output.strip().endswith("finished")


def check_equal(place: Place, undisturbed) -> None:
    with place.open() as store:
        assert outcome(store, undisturbed.name) == undisturbed.outcome


@pytest.mark.timeout(600)
def test_campaign_killed_in_every_phase_equals_an_undisturbed_one(tmp_path: Path, undisturbed):
    place = Place(tmp_path)
    text = CAMPAIGN.format(name=undisturbed.name)
    killed = [
        kill_after(place, text, line=line, delay=delay)
        for line, delay in (("generate 1", 0.0), ("prescreen 0", 1.5), ("prescreen 1", 0.2))
    ]
    assert any(killed)
    finish(place, text)
    check_equal(place, undisturbed)


@pytest.mark.timeout(600)
def test_campaign_whose_mongod_is_killed_goes_on_and_equals_an_undisturbed_one(tmp_path: Path, undisturbed):
    place = Place(tmp_path)
    process = place.start(CAMPAIGN.format(name=undisturbed.name))
    assert process.stdout is not None
    n_killed = 0
    for printed in process.stdout:
        if printed.strip() in {"generate 2", "prescreen 1"}:
            for server in servers_in(place.folder):
                server.kill()
                n_killed += 1
    assert process.wait() == 0
    process.stdout.close()
    assert n_killed >= 2
    check_equal(place, undisturbed)


def servers_in(folder: Path) -> list[psutil.Process]:
    """Return the mongod processes whose data lie in a folder."""
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if process.info["name"] == "mongod" and str(folder) in command:
            found.append(process)
    return found


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_campaign_killed_at_fifty_random_moments_equals_an_undisturbed_one(tmp_path: Path, undisturbed):
    random_moment = random.Random(7)  # noqa: S311 - moments, not secrets
    text = CAMPAIGN.format(name=undisturbed.name)
    n_killed = 0
    for number in range(10):
        place = Place(tmp_path / str(number))
        place.folder.mkdir()
        for _ in range(5):
            line = random_moment.choice(LINES)
            n_killed += kill_after(place, text, line=line, delay=random_moment.uniform(0.0, 4.0))
        finish(place, text)
        check_equal(place, undisturbed)
    assert n_killed >= 20
