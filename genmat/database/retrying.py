"""A pymongo collection whose calls are retried, for libraries that use one as they please."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pymongo import WriteConcern

if TYPE_CHECKING:
    from genmat.database.session import Session


class SessionCollection:
    """A pymongo collection each of whose calls is retried while the database is away.

    Parameters
    ----------
    session
        Database.
    name
        Collection.
    durable
        Whether writes wait for the server's journal.
    """

    def __init__(self, session: Session, name: str, *, durable: bool = True) -> None:
        self.session = session
        self.name = name
        # What a crash of the server can undo is done again: FireWorks' states, not results.
        self._options = {} if durable else {"write_concern": WriteConcern(w=1)}
        self.database = SimpleNamespace(name=session.database_name)

    def __getattr__(self, attribute: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            # What is done again must still be there: an iterator is used up the first time.
            arguments = tuple(list(value) if isinstance(value, Iterator) else value for value in arguments)
            if attribute == "find" and arguments and _matches_nothing(arguments[0]):
                # FireWorks asks so for the launches of each job that has none yet.
                return iter(())

            def action(database: Any) -> Any:
                result = getattr(database.get_collection(self.name, **self._options), attribute)(*arguments, **options)
                # A cursor is read here, where a lost connection is still noticed and mended.
                return iter(list(result)) if attribute in {"find", "aggregate"} else result

            return self.session.run(action)

        return call


def _matches_nothing(criteria: Any) -> bool:
    return isinstance(criteria, dict) and any(value == {"$in": []} for value in criteria.values())
