"""Results that could not be written because the database stayed away: kept on disk, written later, once.

Every write of a result is insert-if-absent or an idempotent update, so a spooled one is simply done again, in order.
A record counts once it is on the disk (``fsync``) and its checksum agrees; what a crash tore off was never counted.

::

    record = length (4 bytes, big-endian) · SHA-256 of the payload (32 bytes) · payload (BSON)
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import socket
import struct
import threading
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import bson

from genmat.database.embedded import make_private
from genmat.errors import DatabaseAwayError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from genmat.database.collection import Fields
    from genmat.database.session import Session

logger = logging.getLogger(__name__)

SPOOLED = frozenset({"structures", "properties", "candidates", "provenance"})
"""Collections whose writes are results; a change of a campaign is a decision, which must be told to have failed."""
TRAJECTORY = "trajectory"
PROBE_INTERVAL = 5.0
"""Time between two looks whether the database is back, s."""
_HEADER = struct.Struct(">I32s")


class Spool:
    """The file of results of this process that wait for the database; made at first use.

    Parameters
    ----------
    folder
        Where spool files are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path: Path | None = None
        self._descriptor = -1
        self._guard = threading.RLock()

    def __len__(self) -> int:
        """Return how many bytes wait."""
        return 0 if self._descriptor < 0 else os.fstat(self._descriptor).st_size

    def append(self, kind: str, collection: str, values: Any) -> None:
        """Put one write on the disk.

        Raises
        ------
        StorageError
            If it cannot be written; the file is as before.
        """
        payload = bson.encode({"kind": kind, "collection": collection, "values": values})
        with self._guard:
            try:
                self._open()
                size = len(self)
                try:
                    _write(self._descriptor, _HEADER.pack(len(payload), hashlib.sha256(payload).digest()) + payload)
                    os.fsync(self._descriptor)
                except OSError:
                    os.ftruncate(self._descriptor, size)
                    raise
            except OSError as err:
                msg = (
                    f"the database is away and results cannot be kept in {self.folder} either: {err.strerror}; "
                    "make room, or set GENMAT_DATA_FOLDER to a folder that can be written"
                )
                raise StorageError(msg) from err

    def replay(self, apply: Callable[[Fields], None]) -> int:
        """Apply what this process spooled, empty the file, and return how many writes it held."""
        with self._guard:
            if not len(self):
                return 0
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            count = 0
            for record in _records(self._descriptor):
                apply(record)
                count += 1
            os.ftruncate(self._descriptor, 0)
            os.fsync(self._descriptor)
            return count

    def replay_others(self, apply: Callable[[Fields], None]) -> dict[Path, int]:
        """Apply and delete the files of processes that are gone; return how many writes each held."""
        replayed: dict[Path, int] = {}
        for path in sorted(self.folder.glob("*.spool")):
            if path == self._path:
                continue
            with suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    # The lock of a living process: it will replay its file itself.
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    count = 0
                    for record in _records(descriptor):
                        apply(record)
                        count += 1
                    path.unlink()
                    if count:
                        replayed[path] = count
                except BlockingIOError:
                    continue
                finally:
                    os.close(descriptor)
        return replayed

    def close(self) -> None:
        """Let go of the file; an empty one is deleted."""
        with self._guard:
            if self._descriptor < 0:
                return
            if not len(self) and self._path is not None:
                self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor, self._path = -1, None

    def _open(self) -> None:
        if self._descriptor >= 0:
            return
        make_private(self.folder)
        self._path = self.folder / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.spool"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class SpoolingBackend:
    """A session whose writes of results go to a spool while the database is away.

    Parameters
    ----------
    session
        Session.
    spool
        Spool.
    write_trajectory
        What stores a compressed trajectory in the database.
    """

    def __init__(self, session: Session, spool: Spool, *, write_trajectory: Callable[[str, bytes], bool]) -> None:
        self._session = session
        self._spool = spool
        self._write_trajectory = write_trajectory
        self._probed = 0.0

    def __getattr__(self, name: str) -> Any:
        """Return what the session does; only three of its calls are different."""
        return getattr(self._session, name)

    def insert(self, collection: str, documents: list[Fields]) -> list[str]:
        """Insert those whose ``_id`` is absent; return their ids, or all of them if they were spooled."""
        is_spooled, new = self._write("insert", collection, documents)
        return [document["_id"] for document in documents] if is_spooled else list(new)

    def replace(self, collection: str, documents: list[Fields]) -> None:
        """Write whole documents, whether they exist or not."""
        self._write("replace", collection, documents)

    def update(self, collection: str, changes: list[tuple[Fields, Fields]]) -> int:
        """Apply changes; return how many documents changed, or all of them if they were spooled."""
        is_spooled, changed = self._write("update", collection, changes)
        return len(changes) if is_spooled else int(changed)

    def put_trajectory(self, identifier: str, data: bytes) -> bool:
        """Store a compressed trajectory, or spool it."""
        try:
            if self._is_open():
                return self._write_trajectory(identifier, data)
        except DatabaseAwayError as err:
            logger.warning("%s; the results are kept in %s", err, self._spool.folder)
        self._spool.append(TRAJECTORY, identifier, data)
        return True

    def replay(self) -> dict[Path, int]:
        """Write what was spooled, by this process and by others that are gone; return how many writes, by file."""
        count = self._spool.replay(self._apply)
        mine = {self._spool.folder / "this process": count} if count else {}
        return mine | self._spool.replay_others(self._apply)

    def close(self) -> None:
        """Let go of the spool's file."""
        self._spool.close()

    def _write(self, kind: str, collection: str, values: Any) -> tuple[bool, Any]:
        """Return whether the write was spooled, else what the session's call returned."""
        if collection not in SPOOLED:
            return False, getattr(self._session, kind)(collection, values)
        try:
            if self._is_open():
                return False, getattr(self._session, kind)(collection, values)
        except DatabaseAwayError as err:
            logger.warning("%s; the results are kept in %s", err, self._spool.folder)
        self._spool.append(kind, collection, [list(pair) for pair in values] if kind == "update" else list(values))
        return True, None

    def _apply(self, record: Fields) -> None:
        """Do a spooled write; doing it again changes nothing."""
        kind, collection, values = record["kind"], record["collection"], record["values"]
        if kind == TRAJECTORY:
            self._write_trajectory(collection, values)
        elif kind == "update":
            self._session.update(collection, [(criteria, change) for criteria, change in values])
        elif kind == "insert":
            self._session.insert(collection, values)
        else:
            self._session.replace(collection, values)

    def _is_open(self) -> bool:
        """Return whether writes may go to the database: it is there, and nothing earlier waits."""
        if not len(self._spool):
            return True
        if time.monotonic() - self._probed < PROBE_INTERVAL:
            return False
        self._probed = time.monotonic()
        try:
            self._session.run(lambda database: database.command("ping"), retry=False)
        except DatabaseAwayError:
            return False
        logger.warning("the database is back, writing what was kept")
        self._spool.replay(self._apply)
        return True


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _read(descriptor: int, size: int) -> bytes:
    pieces = []
    while size and (piece := os.read(descriptor, size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _records(descriptor: int) -> Iterator[Fields]:
    """Yield the records of a file from its position on, up to the first that is not whole."""
    while header := _read(descriptor, _HEADER.size):
        if len(header) == _HEADER.size:
            length, digest = _HEADER.unpack(header)
            payload = _read(descriptor, length)
            if len(payload) == length and hashlib.sha256(payload).digest() == digest:
                yield bson.decode(payload, bson.CodecOptions(tz_aware=True))
                continue
        logger.warning("a spooled write was cut short by a crash before it counted; it is left out")
        return
