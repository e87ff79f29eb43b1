"""The store without ``mongod``: the database in this process's memory, every change of it in a file.

``snapshot.bson`` holds all documents as they were at some time, ``journal.bson`` the documents that changed since. A
write returns when the journal is on disk; a record that a crash cut short is dropped when the journal is read. One
process at a time may write.
"""

from __future__ import annotations

import fcntl
import importlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import bson

from genmat.database.embedded import make_private
from genmat.errors import DatabaseError, GenmatError, StorageError, is_out_of_space

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import FileIO
    from pathlib import Path

_LENGTH = 4  # bytes; a BSON document begins with its length


def open_memory(name: str) -> Any:
    """Return an empty database in memory that answers as pymongo's does."""
    # Typed as anything: its stubs claim to be pymongo.
    mongomock: Any = importlib.import_module("mongomock_ng")

    class ById(mongomock.Collection):  # type: ignore[misc]
        """A collection that finds documents by id without scanning all."""

        def _iter_documents(self, filter: dict[str, Any]) -> Iterator[dict[str, Any]]:  # noqa: A002 - overridden
            wanted = filter.get("_id") if filter else None
            if isinstance(wanted, dict) and set(wanted) == {"$in"}:
                found = [self._store[key] for key in dict.fromkeys(wanted["$in"]) if key in self._store]
            elif isinstance(wanted, str):
                found = [self._store[wanted]] if wanted in self._store else []
            else:
                return iter(super()._iter_documents(filter))
            rest = {key: value for key, value in filter.items() if key != "_id"}
            return (document for document in found if mongomock.filtering.filter_applies(rest, document))

    class Database(mongomock.Database):  # type: ignore[misc]
        """A database whose collections are of that kind."""

        def get_collection(self, name: str, *_args: Any, **_options: Any) -> ById:
            known: dict[str, ById] = self._collection_accesses
            if name not in known:
                known[name] = ById(self, name, _db_store=self._store, codec_options=self._codec_options)
            return known[name]

    client = mongomock.MongoClient(tz_aware=True)
    return Database(client, name, _store=None, codec_options=client.codec_options)


class Journal:
    """The files behind the database in memory.

    Parameters
    ----------
    folder
        Folder of the two files.
    database
        Empty database, which is filled from them.
    read_only
        Read what is there, lock and write nothing.
    """

    def __init__(self, folder: Path, database: Any, *, read_only: bool) -> None:
        self.folder = folder
        self._database = database
        self._dirty: dict[tuple[str, str], None] = {}
        self._lock: int | None = None
        self._file: FileIO | None = None
        if read_only:
            self._load()
            return
        make_private(folder)
        self._lock = self._claim()
        try:
            self._load()
            self._compact()
        except BaseException:
            os.close(self._lock)
            raise

    def record(self, collection: str, identifiers: Iterable[str]) -> None:
        """Bring the documents with some ids to the disk; a deleted one as deleted.

        Raises
        ------
        DatabaseError
            If the disk does not take them; they are written together with the next ones.
        """
        if self._file is None:
            return
        self._dirty |= dict.fromkeys((collection, identifier) for identifier in identifiers)
        records = []
        for name, identifier in self._dirty:
            document = self._database[name].find_one({"_id": identifier})
            entry = {"r": identifier} if document is None else {"d": document}
            records.append(bson.encode({"c": name, **entry}))
        start = self._file.tell()
        try:
            _append(self._file, b"".join(records))
        except OSError as err:
            with suppress(OSError):
                self._file.truncate(start)
                self._file.seek(start)
            raise self._failure(err) from err
        self._dirty.clear()

    def close(self) -> None:
        """Write one snapshot and let go of the files."""
        if self._lock is None:
            return
        try:
            self._compact()
        finally:
            if self._file is not None:
                self._file.close()
                self._file = None
            os.close(self._lock)
            self._lock = None

    @property
    def _paths(self) -> tuple[Path, Path]:
        return self.folder / "snapshot.bson", self.folder / "journal.bson"

    def _claim(self) -> int:
        path = self.folder / "process.lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as err:
            raise self._failure(err) from err
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            msg = (
                f"the in-process store in {self.folder} is in use by process {holder}, and takes one at a time: wait "
                "for it, or install mongod (python -m genmat.database.install)"
            )
            raise DatabaseError(msg) from err
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        return descriptor

    def _load(self) -> None:
        documents: dict[str, dict[str, Any]] = {}
        version = None
        while version != (version := self._version()):
            documents.clear()
            for path in self._paths:
                for entry in _read(path):
                    kept = documents.setdefault(entry["c"], {})
                    if "d" in entry:
                        kept[entry["d"]["_id"]] = entry["d"]
                    else:
                        kept.pop(entry["r"], None)
        for name, kept in documents.items():
            if kept:
                self._database[name].insert_many(list(kept.values()))

    def _version(self) -> tuple[int, int] | None:
        # A reader without the lock may find the snapshot replaced between the two files.
        try:
            status = self._paths[0].stat()
        except FileNotFoundError:
            return (0, 0)
        return status.st_ino, status.st_mtime_ns

    def _compact(self) -> None:
        snapshot, journal = self._paths
        temporary = snapshot.with_suffix(".tmp")
        try:
            with temporary.open("wb") as file:
                for name in self._database.list_collection_names():
                    for document in self._database[name].find():
                        file.write(bson.encode({"c": name, "d": document}))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(snapshot)
            # The snapshot holds all that the journal does, so a crash between these two lines loses nothing.
            if self._file is not None:
                self._file.close()
            self._file = journal.open("wb", buffering=0)
            os.fsync(self._file.fileno())
            descriptor = os.open(self.folder, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        except OSError as err:
            raise self._failure(err) from err
        self._dirty.clear()

    def _failure(self, err: OSError) -> GenmatError:
        if is_out_of_space(err):
            return DatabaseError(f"no space left for the in-process store in {self.folder}: make room and resume")
        return StorageError(f"the in-process store in {self.folder} cannot be written: {err.strerror}")


def _append(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
    os.fsync(file.fileno())


def _read(path: Path) -> Iterator[dict[str, Any]]:
    try:
        data = memoryview(path.read_bytes())
    except FileNotFoundError:
        return
    except OSError as err:
        msg = f"{path} cannot be read: {err.strerror}"
        raise StorageError(msg) from err
    start = 0
    options = bson.CodecOptions[dict[str, Any]](tz_aware=True)
    while start + _LENGTH <= len(data):
        end = start + int.from_bytes(data[start : start + _LENGTH], "little")
        if end > len(data) or end <= start:
            return
        try:
            yield bson.decode(data[start:end], options)
        except bson.errors.InvalidBSON as err:
            msg = f"{path} is damaged at byte {start}: {err}; restore it from a copy"
            raise DatabaseError(msg) from err
        start = end
