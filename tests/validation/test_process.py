"""Programs that compute end whole: with their launcher's orphans, and with the process that asked for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genmat.validation.process import run_group

LIMIT = 20.0


def _run(command: str, folder: Path, *, seconds: float = LIMIT):
    return run_group(["sh", "-c", command], folder=folder, max_seconds=seconds, environment=os.environ, log="log")


def _is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _pid(path: Path) -> int:
    deadline = time.monotonic() + LIMIT
    while not (path.is_file() and path.read_text().strip()):
        assert time.monotonic() < deadline, f"{path.name} was never written"
        time.sleep(0.01)
    return int(path.read_text())


def _is_gone(pid: int) -> bool:
    deadline = time.monotonic() + LIMIT
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not _is_alive(pid)


@pytest.mark.parametrize("code", [0, 7, -signal.SIGKILL, -signal.SIGSEGV])
def test_program_ends_with_its_own_exit_code(tmp_path, code):
    command = f"exit {code}" if code >= 0 else f"kill -{-code} $$"
    ended = _run(f"echo said; {command}", tmp_path)
    assert (ended.code, ended.said.strip()) == (code, "said")


def test_program_that_does_not_exist_is_told_in_the_log(tmp_path):
    ended = run_group(["/no/vasp"], folder=tmp_path, max_seconds=LIMIT, environment=os.environ, log="log")
    assert (ended.code, ended.said.strip()) == (127, "/no/vasp: No such file or directory")


def test_launcher_that_dies_takes_ranks_in_sessions_of_their_own_with_it(tmp_path):
    # As MPI launchers do: the rank leaves the group, ignores SIGTERM, and outlives who started it.
    launcher = """setsid sh -c 'trap "" TERM; echo $$ > rank; sleep 300' & while [ ! -s rank ]; do sleep 0.05; done
    kill -KILL $$"""
    ended = _run(launcher, tmp_path)
    assert ended.code == -signal.SIGKILL
    assert not _is_alive(_pid(tmp_path / "rank"))


def test_program_out_of_time_leaves_nothing_behind(tmp_path):
    ended = _run("setsid sleep 300 & echo $! > child; wait", tmp_path, seconds=1.0)
    assert ended.code is None
    assert not _is_alive(_pid(tmp_path / "child"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_worker_that_is_killed_leaves_no_program_running(tmp_path, number):
    worker = (
        "import os; from pathlib import Path; from genmat.validation.process import run_group; "
        "run_group(['sh', '-c', 'echo $$ > leader; setsid sleep 300 & echo $! > child; wait'], "
        "folder=Path('.'), max_seconds=300, environment=os.environ, log='log')"
    )
    process = subprocess.Popen([sys.executable, "-c", worker], cwd=tmp_path)
    running = [_pid(tmp_path / "leader"), _pid(tmp_path / "child")]
    assert all(map(_is_alive, running))
    process.send_signal(number)
    process.wait()
    assert all(map(_is_gone, running))
