"""jobflow's outputs beside our documents, through the same session."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from jobflow.core.store import JobStore
from maggma.stores.mongolike import MemoryStore, MongoStore

if TYPE_CHECKING:
    from genmat.database.session import Session

OUTPUTS = "outputs"


class SessionCollection:
    """A pymongo collection each of whose calls is retried while the database is away."""

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self.name = name
        self.database = SimpleNamespace(name=session.database_name)

    def __getattr__(self, attribute: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            # What is done again must still be there: an iterator is used up the first time.
            arguments = tuple(list(value) if isinstance(value, Iterator) else value for value in arguments)

            def action(database: Any) -> Any:
                result = getattr(database[self.name], attribute)(*arguments, **options)
                # A cursor is read here, where a lost connection is still noticed and mended.
                return iter(list(result)) if attribute in {"find", "aggregate"} else result

            return self._session.run(action)

        return call


class SessionStore(MongoStore):
    """maggma's store on a session that somebody else opens and closes; it knows no address and no password."""

    def connect(self, force_reset: bool = False) -> None:  # noqa: FBT001, FBT002 - maggma's signature
        """Do nothing: the session is connected."""

    def close(self) -> None:
        """Do nothing: the session stays open for others."""


def make_job_store(session: Session) -> JobStore:
    """Return jobflow's store on the database of a session."""
    if session.in_process:
        store = JobStore(MemoryStore(OUTPUTS))
        store.connect()
        return store
    if not session.read_only:
        # jobflow makes none, and resolving references without it reads the whole collection.
        keys = [("uuid", 1), ("index", -1)]
        session.run(lambda database: database[OUTPUTS].create_index(keys), write=True)
    collection = SessionCollection(session, OUTPUTS)
    return JobStore(SessionStore.from_collection(collection))  # type: ignore[no-untyped-call]
