"""The process that keeps the private ``mongod``: starts it, and stops it when nobody needs it any more.

Run as a file by :mod:`genmat.database.embedded`, with the standard library alone: it is small, and it outlives the
client that started it. Three locked files in one folder carry the whole protocol, and the kernel releases a lock when
its holder dies, however it dies:

``clients.lock``
    Shared by every client for as long as it lives; held alone by the supervisor while it stops the server.
``server.lock``
    Held by the supervisor: it is locked exactly as long as there is a server.
``start.lock``
    Held by the one client that starts a server.

``mongod`` gets SIGTERM when its supervisor dies, so there is never a server without one.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

POLL = 0.5  # s
STOP_TIMEOUT = 60.0  # s, for the last checkpoint on a slow disk
BUSY_EXIT_CODE = 100  # mongod: the data files are in use
BUSY_TIMEOUT = 30.0  # s, a predecessor that shuts down
LOG_LIMIT = 4_000_000  # bytes
_PR_SET_PDEATHSIG = 1  # Linux <sys/prctl.h>


def try_lock(descriptor: int) -> bool:
    """Lock an open file alone, without waiting; return whether that worked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def open_lock(path: Path) -> int:
    """Open a lock file, private to the user, and return its descriptor."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def write_state(folder: Path, **state: str | float | None) -> None:
    """Replace ``server.json`` atomically."""
    path = folder / "server.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(state))
    temporary.replace(path)


def start_mongod(folder: Path, *, program: str, address: Path, cache_gb: float) -> subprocess.Popen[bytes]:
    """Start ``mongod`` on a Unix socket alone."""
    address.unlink(missing_ok=True)
    log = folder / "mongod.log"
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
    command = [
        program,
        "--quiet",
        *("--dbpath", str(folder / "db")),
        *("--bind_ip", str(address)),
        *("--unixSocketPrefix", str(address.parent)),
        *("--filePermissions", "0600"),
        *("--wiredTigerCacheSizeGB", str(cache_gb)),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        # 8 MB of journal instead of 300 MB: a server for one user, which also starts twice as fast.
        *("--wiredTigerEngineConfigString", "log=(file_max=8MB,prealloc=false)"),
    ]
    supervisor = os.getpid()
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def die_with_supervisor() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != supervisor:
                os._exit(1)

    with log.open("ab") as output:
        # This process has one thread, which is what makes preexec_fn safe.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            preexec_fn=die_with_supervisor,  # noqa: PLW1509
        )


def stop_mongod(process: subprocess.Popen[bytes]) -> None:
    """Stop ``mongod`` cleanly; kill it if it does not stop."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def supervise(folder: Path, *, program: str, address: Path, cache_gb: float, idle: float) -> int | None:
    """Run ``mongod`` until it ends, or until no client was there for ``idle`` seconds; return its exit code."""
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    clients = open_lock(folder / "clients.lock")
    deadline = time.monotonic() + BUSY_TIMEOUT
    process = None
    last_seen = time.monotonic()
    while True:
        if process is None:
            process = start_mongod(folder, program=program, address=address, cache_gb=cache_gb)
            write_state(
                folder,
                address=str(address),
                host=socket.gethostname(),
                supervisor=os.getpid(),
                mongod=process.pid,
                exit_code=None,
            )
        try:
            code = process.wait(POLL)
        except subprocess.TimeoutExpired:
            pass
        else:
            if code != BUSY_EXIT_CODE or time.monotonic() > deadline or stopping:
                return code
            process = None
            time.sleep(POLL)
            continue
        alone = try_lock(clients)
        if stopping or (alone and time.monotonic() - last_seen > idle):
            # The lock stays held, so that a client that arrives meanwhile waits and then starts a server.
            stop_mongod(process)
            address.unlink(missing_ok=True)
            return process.returncode
        if alone:
            fcntl.flock(clients, fcntl.LOCK_UN)
        else:
            last_seen = time.monotonic()


def main(arguments: list[str]) -> int:
    """Detach from the caller and supervise; the arguments are one JSON object."""
    options = json.loads(arguments[0])
    if os.fork():
        return 0
    os.setsid()
    os.umask(0o077)
    folder = Path(options["folder"])
    server = open_lock(folder / "server.lock")
    # The caller goes on when this pipe closes: the lock tells whether a server is coming.
    os.close(options["ready"]) if try_lock(server) else os._exit(0)
    address = Path(options["address"])
    code = supervise(
        folder, program=options["program"], address=address, cache_gb=options["cache_gb"], idle=options["idle"]
    )
    write_state(folder, address=str(address), host=socket.gethostname(), supervisor=None, mongod=None, exit_code=code)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
