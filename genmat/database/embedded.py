"""The private ``mongod``: started, shared, adopted and restarted without anybody's help.

It listens on a Unix socket in a folder of mode 0700 and on nothing else, so that other users of the machine cannot
reach it. All clients of a data folder share one server; :mod:`genmat.database.supervisor` describes the locks. The
server of a killed client is adopted by the next one, or stops ``mongod_idle`` seconds after the last client.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from genmat.database import supervisor
from genmat.errors import DatabaseError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genmat.database.mongod import Mongod
    from genmat.settings import Settings

logger = logging.getLogger(__name__)

CACHE_GB = 0.25
SOCKET = "mongod.sock"
_LONGEST_SOCKET_PATH = 100  # bytes; the kernel's limit is 107 on Linux and 103 on macOS
_START_TIMEOUT = 120.0  # s; journal recovery after a kill on a slow disk
_LOST_AFTER = 30.0  # s since its start without a socket
_LEAST_SPACE = 1_000_000  # bytes
_STARTS = 4
_POLL = 0.05  # s
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}


def server_folder(settings: Settings) -> Path:
    """Return the folder of the private server's files."""
    return settings.data_folder / "mongod"


def has_data(settings: Settings) -> bool:
    """Return whether a private server has ever stored something."""
    return (server_folder(settings) / "db" / "WiredTiger").exists()


class EmbeddedServer:
    """A client's hold on the private server.

    Parameters
    ----------
    settings
        Name the data folder and how long the server outlives its last client.
    mongod
        Program to start, if no server runs.
    """

    def __init__(self, settings: Settings, *, mongod: Mongod) -> None:
        self._mongod = mongod
        self._idle = settings.mongod_idle
        self.folder = server_folder(settings)
        self.address = _socket_path(self.folder)
        make_private(self.folder)
        make_private(self.folder / "db")
        make_private(self.address.parent)
        self._clients: int | None = self._open_lock("clients.lock")
        try:
            _lock(self._clients, fcntl.LOCK_SH, self.folder)
            self.ensure_running()
        except BaseException:
            self.close()
            raise

    @property
    def uri(self) -> str:
        """Address for a MongoDB client."""
        return f"mongodb://{quote(str(self.address), safe='')}"

    def ensure_running(self) -> None:
        """Return when the server accepts connections, starting it if there is none.

        Raises
        ------
        DatabaseError
            If it does not start, or runs on another host; one line with the server's own last word.
        """
        if self._accepts():
            return
        with self._locked("start.lock"):
            starts = 0
            deadline = time.monotonic() + _START_TIMEOUT
            while not self._accepts():
                if not self._has_server():
                    code = self._state().get("exit_code") if starts else None
                    # Killed from outside is no reason of its own to give up.
                    if starts == _STARTS or (code is not None and code >= 0):
                        raise DatabaseError(self._failure())
                    self._start()
                    starts += 1
                elif not starts:
                    self._check_host()
                    self._end_unreachable()
                if time.monotonic() > deadline:
                    msg = f"the private mongod does not answer after {_START_TIMEOUT:.0f} s, see {self._log}"
                    raise DatabaseError(msg)
                time.sleep(_POLL)

    def close(self) -> None:
        """Let go of the server; the last client's server stops after its idle time."""
        if self._clients is not None:
            os.close(self._clients)
            self._clients = None

    @property
    def _log(self) -> Path:
        return self.folder / "mongod.log"

    def _accepts(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(5.0)
            try:
                probe.connect(str(self.address))
            except OSError:
                return False
        return True

    def _has_server(self) -> bool:
        descriptor = self._open_lock("server.lock")
        try:
            return not supervisor.try_lock(descriptor)
        finally:
            os.close(descriptor)

    def _start(self) -> None:
        options = {
            "folder": str(self.folder),
            "address": str(self.address),
            "program": str(self._mongod.program),
            "cache_gb": CACHE_GB,
            "idle": self._idle,
        }
        reading, writing = os.pipe()
        try:
            subprocess.run(
                [sys.executable, "-I", "-S", supervisor.__file__, json.dumps({**options, "ready": writing})],
                env=self._mongod.environment,
                pass_fds=(writing,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
            os.close(writing)
            writing = -1
            os.read(reading, 1)
        finally:
            os.close(reading)
            if writing >= 0:
                os.close(writing)
        logger.info("started the private mongod in %s", self.folder)

    def _state(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads((self.folder / "server.json").read_text())
        except (OSError, ValueError):
            return {}
        return state

    def _check_host(self) -> None:
        host = self._state().get("host", socket.gethostname())
        if host != socket.gethostname():
            msg = (
                f"the private database in {self.folder} is in use on host {host}: run there, "
                "or set GENMAT_DATABASE_URI to a MongoDB that both hosts reach"
            )
            raise DatabaseError(msg)

    def _end_unreachable(self) -> None:
        # Somebody cleaned the folder of a living server's socket: it can be reached by nobody.
        process = self._state().get("supervisor")
        if process is None or self.address.exists():
            return
        if time.time() - (self.folder / "server.json").stat().st_mtime > _LOST_AFTER:
            logger.warning("the private mongod lost its socket %s, restarting it", self.address)
            with suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGTERM)

    def _failure(self) -> str:
        code = self._state().get("exit_code")
        try:
            lines = self._log.read_text(errors="replace").splitlines()[-200:]
        except OSError:
            lines = []
        reason = next(filter(None, map(_reason, reversed(lines))), lines[-1] if lines else "no log")
        # On a full disk mongod may not even get as far as its log.
        if "No space left" in "".join(lines) or shutil.disk_usage(self.folder).free < _LEAST_SPACE:
            reason = "no space left on its disk: make room, or set GENMAT_DATA_FOLDER to another one"
        ended = "stopped" if code is None else f"stopped (exit code {code})"
        return f"the private mongod in {self.folder} {ended}: {reason}; see {self._log}"

    def _open_lock(self, name: str) -> int:
        try:
            return supervisor.open_lock(self.folder / name)
        except OSError as err:
            msg = f"{self.folder / name} cannot be written: {err.strerror}; set GENMAT_DATA_FOLDER to a folder of yours"
            raise StorageError(msg) from err

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        descriptor = self._open_lock(name)
        try:
            _lock(descriptor, fcntl.LOCK_EX, self.folder)
            yield
        finally:
            os.close(descriptor)


def make_private(folder: Path) -> None:
    """Create a folder that only the user may enter; refuse one of another user.

    Raises
    ------
    StorageError
        If it cannot be created, or is a link or somebody else's.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            msg = f"{folder} is a link or belongs to another user, expected a folder of yours"
            raise StorageError(msg)
        if status.st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as err:
        msg = f"{folder} cannot be created: {err.strerror}; set GENMAT_DATA_FOLDER to a folder of yours"
        raise StorageError(msg) from err


def _lock(descriptor: int, kind: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, kind)
    except OSError as err:
        if err.errno not in _NO_LOCKS:
            raise
        msg = f"the file system of {folder} has no file locks: set GENMAT_DATA_FOLDER to a local disk"
        raise StorageError(msg) from err


def _socket_path(folder: Path) -> Path:
    path = folder / SOCKET
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    # Neither XDG_RUNTIME_DIR nor TMPDIR: both differ between, or end with, the sessions that share one server.
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(f"/tmp/genmat-{os.getuid()}-{name}") / SOCKET  # noqa: S108 - make_private checks the owner


def _reason(line: str) -> str | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return line if "error" in line.lower() else None
    if not isinstance(entry, dict) or entry.get("s") not in {"E", "F"}:
        return None
    attributes = entry.get("attr", {})
    detail = attributes.get("error") or attributes.get("message") or attributes.get("reason") or ""
    return f"{entry.get('msg')}: {detail}" if detail else str(entry.get("msg"))
