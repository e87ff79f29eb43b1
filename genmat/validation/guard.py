"""The parent of a program that computes: nothing the program started outlives it, its end, or whoever asked for it.

Run as ``python -I -S guard.py PARENT COMMAND…``. MPI launchers give their ranks sessions of their own, so that ending a
process group leaves some behind; and a worker that is killed cannot end anything. The guard adopts every orphan below
it and ends all of them when the program ends, when it is told to (SIGTERM), or when the process PARENT is gone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

GRACE_SECONDS = 2.0
"""Time between asking processes to end and killing them."""
_POLL_SECONDS = 0.5
_ADOPT_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h
_NOT_FOUND = 127
_ASKED = frozenset({signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


def main(arguments: list[str]) -> int:
    """Run the command and return its exit code, negative for a signal as in :mod:`subprocess`."""
    parent, command = int(arguments[0]), arguments[1:]
    adopt()
    try:
        program = os.posix_spawnp(command[0], command, os.environ, setsigmask=[])
    except OSError as err:
        print(f"{command[0]}: {err.strerror}", flush=True)  # noqa: T201 - the log of the program
        return _NOT_FOUND
    return watch(program, parent)


def adopt() -> None:
    """Become the parent of every orphan below this process, and leave signals to :func:`watch`."""
    ctypes.CDLL(None).prctl(_ADOPT_ORPHANS, 1, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, _ASKED)


def watch(program: int, parent: int) -> int:
    """Wait for a program, end all that is below this process, and return the program's exit code."""
    status = _wait(program, parent)
    _end_all()
    return -signal.SIGTERM if status is None else os.waitstatus_to_exitcode(status)


def _wait(program: int, parent: int) -> int | None:
    """Return the wait status of the program; ``None`` if it is to be ended first."""
    while os.getppid() == parent:
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == program:
                    return found[1]
        told = signal.sigtimedwait(_ASKED, _POLL_SECONDS)
        if told is not None and told.si_signo != signal.SIGCHLD:
            return None
    return None


def _end_all() -> None:
    """End every descendant: ask, wait a moment, kill until nobody is left."""
    for pid in _descendants():
        _signal(pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        if time.monotonic() > deadline:
            for pid in _descendants():
                _signal(pid, signal.SIGKILL)
        time.sleep(0.02)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _descendants() -> list[int]:
    """Return the processes below this one, whatever their group and session."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            # pid (name) state ppid …: the name may hold spaces and brackets
            above = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(above, []).append(int(folder.name))
    found, waiting = [], [os.getpid()]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


if __name__ == "__main__":
    code = main(sys.argv[1:])
    if code < 0:  # end as the program did, so that the caller sees the same
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)
