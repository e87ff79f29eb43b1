"""A program below a guard of its own: ended whole, whatever it started and whoever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from genmat.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import BinaryIO

GUARD = Path(__file__).with_name("guard.py")
GRACE_SECONDS = 4.0
"""Time between asking a group to end and killing it; the guard needs less to end what left the group."""
_TAIL = 4000
_ROOM = 16 * 1024
"""What is left of a disk that counts as full, bytes."""
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended; ``code`` is ``None`` if it ran out of time."""

    code: int | None
    seconds: float
    said: str


class Started(Protocol):
    """A guard that leads a group of its own, and the program below it."""

    @property
    def pid(self) -> int:
        """Process id of the guard, and id of its group."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code; raise :class:`subprocess.TimeoutExpired` after some seconds."""


def start_guarded(command: Sequence[str], folder: Path, environment: Mapping[str, str], log: BinaryIO) -> Started:
    """Start a guard and a program below it."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(GUARD), str(os.getpid()), *command],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def run_group(
    command: Sequence[str],
    *,
    folder: Path,
    max_seconds: float,
    environment: Mapping[str, str],
    log: str,
    start: Callable[[Sequence[str], Path, Mapping[str, str], BinaryIO], Started] = start_guarded,
) -> Ended:
    """Run a program to its end or until its time is over; nothing that it started survives either.

    Nor does it survive this process: where that is killed, the guard ends the program.

    Parameters
    ----------
    command
        Program and arguments.
    folder
        Where it runs.
    max_seconds
        Wall time, s.
    environment
        The program's whole environment.
    log
        File in ``folder`` for what it prints.
    start
        How it is started.

    Raises
    ------
    EngineError
        If :func:`end_running` stopped it: an interruption is no outcome.
    """
    started = time.monotonic()
    with (folder / log).open("wb") as file:
        process = start(command, folder, environment, file)
        _running.add(process.pid)
        try:
            code: int | None = process.wait(timeout=max_seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            end_group(process.pid)
            process.wait()
            was_stopped = process.pid not in _running
            _running.discard(process.pid)
    if was_stopped:
        msg = f"{command[0]} was stopped before its end"
        raise EngineError(msg)
    with (folder / log).open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _TAIL))
        said = file.read().decode("utf-8", errors="replace")
    return Ended(code, time.monotonic() - started, said)


_running: set[int] = set()
"""Groups that run now."""


def end_running() -> None:
    """End every program that :func:`run_group` runs in this process."""
    while _running:
        end_group(_running.pop())


def end_group(group: int) -> None:
    """End every process of a group: ask, wait a moment, kill."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline:
            with suppress(ChildProcessError):
                os.waitpid(-group, os.WNOHANG)
            os.killpg(group, 0)  # raises once nobody is left
            time.sleep(_POLL_SECONDS)
        os.killpg(group, signal.SIGKILL)


def is_full(folder: Path) -> bool:
    """Whether the disk of a folder has no room: a program that could not write may not have been able to say so."""
    try:
        state = os.statvfs(folder)
    except OSError:
        return False
    return state.f_bavail * state.f_frsize < _ROOM


def last_line(text: str) -> str:
    """Return the last line that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "nothing was printed")
