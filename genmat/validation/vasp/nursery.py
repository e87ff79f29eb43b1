"""A process that has imported what VASP's program needs, and is forked for each structure: the import takes seconds.

A worker keeps one as long as its environment stays the same. It is told of a job through a socket, where its end shows
it that the worker is gone; then it ends, and with it every guard that it started and what runs below. The fork server
of :mod:`multiprocessing` would import the worker's main module for each structure, in the first one's environment.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from genmat.validation import guard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

IDLE_SECONDS = 600.0
"""Time after which a process without a job ends."""
ONE_THREAD = "OPENBLAS_NUM_THREADS"
"""Threads of linear algebra, of which a forked process would have none; those of VASP are the site's."""
_MOST = 65536


@dataclass(slots=True)
class Forked:
    """A guard that was forked, as :class:`genmat.validation.process.Started`."""

    pid: int
    connection: socket.socket
    code: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, that of SIGKILL if nobody tells another."""
        if self.code is None:
            self.connection.settimeout(timeout)
            try:
                said = self.connection.recv(_MOST)
            except TimeoutError as err:
                raise subprocess.TimeoutExpired(["vasp"], timeout or 0.0) from err
            self.connection.close()
            self.code = int(said) if said else -signal.SIGKILL
        return self.code


@dataclass(slots=True)
class Nursery:
    """The process of this worker."""

    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    _requests: socket.socket | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, command: Sequence[str], folder: Path, environment: Mapping[str, str], log: BinaryIO) -> Forked:
        """Fork VASP's program in a folder; ``command`` holds its arguments."""
        with self._lock:
            if self.process is None or self.environment != environment:
                self._restart(environment)
            told = json.dumps({"arguments": list(command), "folder": str(folder)}).encode()
            if (forked := self._ask(told, log)) is None:  # it was idle for too long, or killed
                self._restart(environment)
                forked = self._ask(told, log)
        if forked is None:
            raise OSError(None, "the process that starts VASP's program does not answer")
        return forked

    def _ask(self, told: bytes, log: BinaryIO) -> Forked | None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, suppress(OSError):
            socket.send_fds(self._requests, [told], [theirs.fileno(), log.fileno()])  # type: ignore[arg-type]
        if pid := ours.recv(_MOST):
            return Forked(int(pid), ours)
        ours.close()
        return None

    def _restart(self, environment: Mapping[str, str]) -> None:
        self.close()
        self.environment = dict(environment)
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "genmat.validation.vasp.nursery", str(theirs.fileno())],
                env=self.environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def close(self) -> None:
        """End the process and wait for it."""
        if self.process is not None and self._requests is not None:
            self._requests.close()
            self.process.wait()
            self.process = None


NURSERY = Nursery()
"""That of this process; it starts with the first structure."""


def serve(requests: socket.socket) -> None:
    """Fork for each request until nobody is there to make one, or nobody has for long."""
    _import()
    gc.freeze()  # what is shared with the forked processes stays so
    woken, wake = socket.socketpair()
    wake.setblocking(False)  # noqa: FBT003 - positional only
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running = 0
    while True:
        ready, _, _ = select.select([requests, woken], [], [], None if running else IDLE_SECONDS)
        if not ready:
            return
        if woken in ready:
            woken.recv(_MOST)
            running -= _reap()
        if requests in ready:
            told, fds, _, _ = socket.recv_fds(requests, _MOST, 2)
            if not told:
                return
            parent = os.getpid()
            if os.fork() == 0:
                signal.set_wakeup_fd(-1)
                for item in (requests, woken, wake):
                    item.close()
                os._exit(_guard(json.loads(told), socket.socket(fileno=fds[0]), fds[1], parent))
            running += 1
            for descriptor in fds:
                os.close(descriptor)


def _import() -> None:
    """Import what a job needs; what is missing is told by the job."""
    threads = os.environ.get(ONE_THREAD)
    os.environ[ONE_THREAD] = "1"
    with suppress(ImportError):
        from genmat.validation.vasp import steps

        steps.load()
    del os.environ[ONE_THREAD]
    if threads is not None:
        os.environ[ONE_THREAD] = threads


def _reap() -> int:
    """Forget the guards that ended, and end what one that was killed has left in its group; return their number."""
    number = 0
    with suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(ended.si_pid, signal.SIGKILL)
            os.waitpid(ended.si_pid, 0)
            number += 1
    return number


def _guard(job: dict[str, str], connection: socket.socket, log: int, parent: int) -> int:
    """Be the guard of a program in a folder: fork it, tell both ids, wait, tell how it ended."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)
    guard.adopt()
    program = os.fork()
    if program == 0:
        connection.close()
        os._exit(_program(job))
    connection.send(str(os.getpid()).encode())
    code = guard.watch(program, parent)
    with suppress(OSError):
        connection.send(str(code).encode())
    return 0


def _program(job: dict[str, str]) -> int:
    """Be VASP's program."""
    from genmat.validation.vasp.program import main

    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    try:
        os.chdir(job["folder"])
        return main(list(job["arguments"]))
    except BaseException:  # noqa: BLE001 - as an interpreter would end
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
