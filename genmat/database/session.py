"""A connection to one database: the only module that uses pymongo.

Every call goes through :meth:`Session.run`, the only place that retries, restarts the private server, and translates
errors. Retrying is safe because every write is insert-if-absent or an idempotent update.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import bson
import pymongo
from pymongo import errors as mongo

from genmat.database.reading import ReadOnlyDatabase
from genmat.errors import DatabaseAwayError, DatabaseError, SlowQueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from genmat.database.collection import Fields, Order
    from genmat.database.embedded import EmbeddedServer
    from genmat.database.inprocess import Journal
    from genmat.settings import Settings

logger = logging.getLogger(__name__)

_BATCH = 1000
_SOCKET_TIMEOUT = 600_000  # ms; building an index of a large collection takes minutes
_PRIVATE_TIMEOUT = 1.0  # s
_LARGEST = 16 * 1024 * 1024  # bytes, MongoDB's limit of a document
_DUPLICATE_KEY = 11000
_TOO_LARGE = {10334, 17419, 17420}
_NOT_ALLOWED = {13, 8000, 20}
_NO_SPACE = {14031}
_TIME_LIMIT = {50}
_AWAY = {91, 189, 10107, 11600, 11602, 13435, 13436}  # shutting down, or no longer the primary


def open_client(
    uri: str,
    *,
    label: str,
    settings: Settings,
    read_only: bool,
    time_limit: float | None = None,
    server: EmbeddedServer | None = None,
) -> Session:
    """Connect to a MongoDB server.

    Parameters
    ----------
    uri
        Address, with a password if it needs one.
    label
        What it is, for messages; without a password.
    settings
        Name the database and how long to wait.
    read_only
        Refuse to write.
    time_limit
        How long the server may work on one reading call, s; ``None`` for no limit.
    server
        Private server behind the address.

    Raises
    ------
    DatabaseError
        If the address is none, or the server cannot be reached or refuses.
    """
    # The private server is watched by other means: pymongo need not wait for one that is gone.
    timeout = int((_PRIVATE_TIMEOUT if server else settings.database_timeout) * 1000)
    try:
        if "@" in uri.partition("://")[2].partition("/")[2].partition("?")[0]:
            # A slash in the password: pymongo would take the rest of it for the name of the database.
            raise mongo.InvalidURI
        client: pymongo.MongoClient[Any] = pymongo.MongoClient(
            uri,
            appname="genmat",
            tz_aware=True,
            serverSelectionTimeoutMS=timeout,
            connectTimeoutMS=timeout,
            socketTimeoutMS=_SOCKET_TIMEOUT,
        )
        database = client.get_default_database(default=settings.database_name)
    except (mongo.PyMongoError, ValueError, TypeError):
        msg = (
            "database_uri (GENMAT_DATABASE_URI) is no address of a MongoDB, or its host has no DNS record: expected "
            "mongodb://USER:PASSWORD@HOST/DATABASE, special characters of user and password percent-encoded"
        )
        # pymongo's message may quote a piece of the password.
        raise DatabaseError(msg) from None
    session = Session(
        database,
        label=label,
        server=server,
        retry_time=settings.retry_time,
        read_only=read_only,
        time_limit=time_limit,
    )
    try:
        session.await_server()
    except BaseException:
        client.close()
        raise
    return session


class Session:
    """A connection to one database.

    Parameters
    ----------
    database
        pymongo's database, or one that answers like it.
    label
        What the database is, for messages; without a password.
    server
        Private server behind it, which is restarted when it dies.
    journal
        Files behind a database in memory.
    retry_time
        How long a call is retried while the database is away, s.
    read_only
        Refuse to write.
    time_limit
        How long the server may work on one reading call, s; ``None`` for no limit.
    """

    def __init__(
        self,
        database: Any,
        *,
        label: str,
        server: EmbeddedServer | None = None,
        journal: Journal | None = None,
        retry_time: float,
        read_only: bool,
        time_limit: float | None = None,
    ) -> None:
        self._database = database
        self.label = label
        self._server = server
        self._journal = journal
        self._retry_time = retry_time
        self.read_only = read_only
        # The database in memory knows no time limits.
        self._milliseconds = None if time_limit is None or journal else max(1, int(1000 * time_limit))
        # The database in memory has no atomic operations of its own.
        self._guard: AbstractContextManager[Any] = threading.RLock() if journal else nullcontext()

    @property
    def in_process(self) -> bool:
        """Whether the database lives in this process."""
        return self._journal is not None

    @property
    def kind(self) -> str:
        """Which of the three: ``uri``, ``embedded`` or ``in-process``."""
        if self.in_process:
            return "in-process"
        return "uri" if self._server is None else "embedded"

    def server_version(self) -> str | None:
        """Return the version of the server; the database in memory has none."""
        if self.in_process:
            return None
        return str(self.run(lambda _: self._database.client.server_info()["version"]))

    @property
    def database_name(self) -> str:
        """Name of the database."""
        return str(self._database.name)

    def run[T](self, action: Callable[[Any], T], *, write: bool = False, retry: bool = True) -> T:
        """Do something with the database, again if it was away.

        Parameters
        ----------
        action
            Gets the database; doing it twice must be like doing it once.
        write
            Whether it writes.
        retry
            Whether it is done again.

        Raises
        ------
        DatabaseAwayError
            If the database stays away.
        DatabaseError
            If it refuses.
        """
        if write and self.read_only:
            msg = f"{self.label} was opened for reading only"
            raise DatabaseError(msg)
        started = time.monotonic()
        pause = 0.1
        while True:
            try:
                with self._guard:
                    return action(ReadOnlyDatabase(self._database) if self.read_only else self._database)
            except mongo.PyMongoError as err:
                if not _is_away(err):
                    raise self._translate(err) from err
                if not retry or time.monotonic() - started > self._retry_time:
                    msg = f"{self.label} cannot be reached: {_reason(err)}"
                    raise DatabaseAwayError(msg) from err
                logger.warning("%s is away, trying again", self.label)
            if self._server is not None:
                self._server.ensure_running()
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def await_server(self) -> None:
        """Reach the server once, and choose the write concern that it can give."""
        hello = self.run(lambda _: self._database.client.admin.command("hello"), retry=self._server is not None)
        several = "setName" in hello or hello.get("msg") == "isdbgrid"
        concern = pymongo.WriteConcern(w="majority" if several else 1, j=True)
        self._database = self._database.with_options(write_concern=concern)

    def insert(self, collection: str, documents: Sequence[Fields]) -> list[str]:
        """Insert those whose ``_id`` is absent; return their ids."""
        new: list[str] = []
        self._check_sizes(collection, documents)
        for start in range(0, len(documents), _BATCH):
            batch = documents[start : start + _BATCH]
            new += self.run(partial(_insert, collection=collection, documents=batch), write=True)
        self._record(collection, new)
        return new

    def replace(self, collection: str, documents: Sequence[Fields]) -> None:
        """Write whole documents, whether they exist or not."""
        self._check_sizes(collection, documents)
        requests = [pymongo.ReplaceOne({"_id": fields["_id"]}, fields, upsert=True) for fields in documents]
        self._bulk(collection, requests)
        self._record(collection, [fields["_id"] for fields in documents])

    def update(self, collection: str, changes: Sequence[tuple[Fields, Fields]]) -> int:
        """Apply (filter with ``_id``, change) pairs; return how many documents changed."""
        changed = self._bulk(collection, [pymongo.UpdateOne(criteria, change) for criteria, change in changes])
        self._record(collection, [criteria["_id"] for criteria, _change in changes])
        return changed

    def modify(self, collection: str, criteria: Fields, change: Fields) -> Fields | None:
        """Change one document atomically; return it as changed, or ``None`` if none matched."""
        after = pymongo.ReturnDocument.AFTER
        changed: Fields | None = self.run(
            lambda database: database[collection].find_one_and_update(criteria, change, return_document=after),
            write=True,
        )
        if changed is not None:
            self._record(collection, [changed["_id"]])
        return changed

    def find(
        self,
        collection: str,
        criteria: Fields,
        *,
        fields: Sequence[str] | None = None,
        sort: Order = (),
        skip: int = 0,
        limit: int = 0,
        hint: str | None = None,
    ) -> list[Fields]:
        """Return the matching documents."""
        options: dict[str, Any] = {"projection": None if fields is None else ["_id", *fields]}
        options |= {"sort": list(sort) or None, "skip": skip, "limit": limit}
        if hint is not None:
            options["hint"] = hint
        if self._milliseconds is not None:
            options["max_time_ms"] = self._milliseconds
        return self.run(lambda database: list(database[collection].find(criteria, **options)))

    def aggregate(self, collection: str, pipeline: Sequence[Fields]) -> list[Fields]:
        """Return the result of an aggregation."""
        options = self._limits()
        return self.run(lambda database: list(database[collection].aggregate(list(pipeline), **options)))

    def count(self, collection: str, criteria: Fields) -> int:
        """Count the matching documents."""
        options = self._limits()
        return self.run(lambda database: int(database[collection].count_documents(criteria, **options)))

    def indexes(self, collection: str) -> dict[str, tuple[str, ...]]:
        """Return the fields of the indexes by name; the database in memory has none."""
        if self.in_process:
            return {}
        found = self.run(lambda database: database[collection].index_information())
        return {name: tuple(field for field, _ in entry["key"]) for name, entry in found.items()}

    def may_write(self) -> bool:
        """Return whether the database's user may write; a server without users lets everybody."""
        if self.in_process:
            return True
        status = self.run(lambda _: self._database.client.admin.command("connectionStatus", showPrivileges=True))
        if not status["authInfo"]["authenticatedUsers"]:
            return True
        actions = {
            action
            for privilege in status["authInfo"]["authenticatedUserPrivileges"]
            if privilege["resource"].get("db") in {self.database_name, ""} or "anyResource" in privilege["resource"]
            for action in privilege["actions"]
        }
        return bool(actions & {"insert", "update", "remove", "anyAction"})

    def delete(self, collection: str, identifiers: Sequence[str]) -> int:
        """Delete documents; return how many there were."""
        if not identifiers:
            return 0
        chosen = {"_id": {"$in": list(identifiers)}}
        deleted = self.run(lambda database: database[collection].delete_many(chosen).deleted_count, write=True)
        self._record(collection, identifiers)
        return int(deleted)

    def now(self) -> datetime:
        """Return the time of the database's clock, in UTC and whole milliseconds."""
        if self.in_process:
            now = datetime.now(UTC)
            return now.replace(microsecond=now.microsecond // 1000 * 1000)
        local: datetime = self.run(lambda _: self._database.client.admin.command("hello")["localTime"])
        return local if local.tzinfo else local.replace(tzinfo=UTC)

    def create_indexes(self, indexes: Mapping[str, Sequence[Sequence[str]]]) -> None:
        """Create ascending indexes by collection; the database in memory has none."""
        if self.in_process:
            return
        for name, keys in indexes.items():
            models = [pymongo.IndexModel([(field, pymongo.ASCENDING) for field in key]) for key in keys]
            self.run(partial(_create_indexes, collection=name, models=models), write=True)

    def missing_indexes(self, indexes: Mapping[str, Sequence[Sequence[str]]]) -> list[str]:
        """Return which of some ascending indexes are absent, as collection and fields; the one in memory needs none."""
        if self.in_process:
            return []
        missing = []
        for name, keys in indexes.items():
            there = self.run(partial(_index_keys, collection=name))
            missing += [f"{name} ({', '.join(key)})" for key in keys if tuple(key) not in there]
        return missing

    def close(self) -> None:
        """Let go of the database."""
        if self._journal is not None:
            self._journal.close()
        else:
            self._database.client.close()
        if self._server is not None:
            self._server.close()

    def _limits(self) -> dict[str, int]:
        return {} if self._milliseconds is None else {"maxTimeMS": self._milliseconds}

    def _bulk(self, collection: str, requests: Sequence[Any]) -> int:
        changed = 0
        for start in range(0, len(requests), _BATCH):
            batch = list(requests[start : start + _BATCH])
            changed += self.run(partial(_write, collection=collection, requests=batch), write=True)
        return changed

    def _record(self, collection: str, identifiers: Sequence[str]) -> None:
        if self._journal is not None and identifiers:
            with self._guard:
                self._journal.record(collection, identifiers)

    def _check_sizes(self, collection: str, documents: Sequence[Fields]) -> None:
        for fields in documents:
            try:
                size = len(bson.encode(fields))
            except (bson.errors.BSONError, OverflowError) as err:
                msg = f"document {fields.get('_id')!r} cannot be stored in {collection!r}: {err}"
                raise DatabaseError(msg) from err
            if size > _LARGEST:
                msg = (
                    f"document {fields.get('_id')!r} for {collection!r} has {size / 1e6:.1f} MB, "
                    f"MongoDB takes {_LARGEST / 1e6:.1f} MB: store large arrays as a trajectory"
                )
                raise DatabaseError(msg)

    def _translate(self, err: mongo.PyMongoError) -> DatabaseError:
        codes = _codes(err)
        text = _reason(err)
        if codes & {18} or "authentication failed" in text.lower():
            return DatabaseError(f"{self.label}: wrong user or password in database_uri (GENMAT_DATABASE_URI)")
        if codes & _NOT_ALLOWED or "not authorized" in text:
            return DatabaseError(
                f"{self.label}: this database user may not do that: grant it readWrite on "
                f"{self.database_name!r}, or only read ({text})"
            )
        if codes & _NO_SPACE or "No space left" in text:
            return DatabaseError(f"{self.label}: no space left on the database's disk: make room and resume")
        if codes & _TIME_LIMIT:
            seconds = (self._milliseconds or 0) / 1000
            return SlowQueryError(f"{self.label}: the query took longer than {seconds:g} s: ask for less")
        if codes & _TOO_LARGE or isinstance(err, mongo.DocumentTooLarge):
            return DatabaseError(f"{self.label}: a document grew beyond MongoDB's 16 MB: {text}")
        return DatabaseError(f"{self.label}: {text}")


def _index_keys(database: Any, *, collection: str) -> set[tuple[str, ...]]:
    return {tuple(field for field, _ in index["key"]) for index in database[collection].index_information().values()}


def _create_indexes(database: Any, *, collection: str, models: Sequence[pymongo.IndexModel]) -> None:
    database[collection].create_indexes(models)


def _write(database: Any, *, collection: str, requests: Sequence[Any]) -> int:
    result = database[collection].bulk_write(requests, ordered=False)
    return int(result.modified_count + result.upserted_count)


def _insert(database: Any, *, collection: str, documents: Sequence[Fields]) -> list[str]:
    try:
        database[collection].insert_many(documents, ordered=False)
    except mongo.BulkWriteError as err:
        errors = err.details["writeErrors"]
        if err.details.get("writeConcernErrors") or any(error["code"] != _DUPLICATE_KEY for error in errors):
            raise
        present = {error["index"] for error in errors}
        return [fields["_id"] for number, fields in enumerate(documents) if number not in present]
    return [fields["_id"] for fields in documents]


def _codes(err: mongo.PyMongoError) -> set[int]:
    codes = {code} if isinstance(code := getattr(err, "code", None), int) else set()
    if isinstance(err, mongo.BulkWriteError):
        codes |= {error["code"] for error in err.details.get("writeErrors", ())} - {_DUPLICATE_KEY}
        codes |= {error.get("code", 0) for error in err.details.get("writeConcernErrors", ())}
    return codes


def _is_away(err: mongo.PyMongoError) -> bool:
    return isinstance(err, mongo.ConnectionFailure) or bool(_codes(err) & _AWAY)


def _reason(err: mongo.PyMongoError) -> str:
    if isinstance(err, mongo.BulkWriteError):
        errors = [*err.details.get("writeErrors", ()), *err.details.get("writeConcernErrors", ())]
        texts = [error["errmsg"] for error in errors if error.get("code") != _DUPLICATE_KEY]
        return str(texts[0]) if texts else "bulk write failed"
    # pymongo appends timeouts and the whole topology, which is not for people.
    text = str(err).partition(", Timeout:")[0].partition(" (configured timeouts")[0].partition(", full error:")[0]
    return " ".join(text.split())
