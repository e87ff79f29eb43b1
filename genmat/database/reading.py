"""A database that can only be read: what the client of a read-only session is given.

A MongoDB user without write access is the real protection. The private server has no users, and a mistake of ours must
not write there either: this wrapper knows the calls that read and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genmat.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Sequence

_WRITING_STAGES = frozenset({"$out", "$merge"})


class ReadOnlyDatabase:
    """The reading half of pymongo's database.

    Parameters
    ----------
    database
        pymongo's database, or one that answers like it.
    """

    def __init__(self, database: Any) -> None:
        self._database = database
        self.name = database.name

    def __getitem__(self, collection: str) -> ReadOnlyCollection:
        return ReadOnlyCollection(self._database[collection])

    def list_collection_names(self) -> list[str]:
        """Return the names of the collections."""
        return list(self._database.list_collection_names())


class ReadOnlyCollection:
    """The reading half of pymongo's collection."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection
        self.name = collection.name

    def find(self, *arguments: Any, **options: Any) -> Any:
        """Return a cursor."""
        return self._collection.find(*arguments, **options)

    def find_one(self, *arguments: Any, **options: Any) -> Any:
        """Return a document, or ``None``."""
        return self._collection.find_one(*arguments, **options)

    def count_documents(self, *arguments: Any, **options: Any) -> int:
        """Count documents."""
        return int(self._collection.count_documents(*arguments, **options))

    def index_information(self) -> Any:
        """Return the indexes."""
        return self._collection.index_information()

    def aggregate(self, pipeline: Sequence[Any], **options: Any) -> Any:
        """Return a cursor over the result of a pipeline.

        Raises
        ------
        DatabaseError
            If a stage writes.
        """
        if _writes(pipeline):
            msg = f"an aggregation over {self.name!r} writes, and the database was opened for reading only"
            raise DatabaseError(msg)
        return self._collection.aggregate(list(pipeline), **options)


def _writes(value: Any) -> bool:
    """Return whether a stage that writes stands anywhere in a pipeline."""
    if isinstance(value, dict):
        return bool(_WRITING_STAGES & value.keys()) or any(map(_writes, value.values()))
    return isinstance(value, list | tuple) and any(map(_writes, value))
