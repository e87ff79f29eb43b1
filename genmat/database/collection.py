"""Typed access to one collection."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import ConfigDict, TypeAdapter, ValidationError

from genmat.database.encoding import to_bson
from genmat.database.migrations import upgrade
from genmat.errors import DatabaseError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from genmat.database.documents import Document

type Fields = dict[str, Any]
type Order = Sequence[tuple[str, int]]

PAGE = 500
"""Documents fetched at once."""


class Backend(Protocol):
    """What every database does for a collection; each call is retried while the database is away."""

    def insert(self, collection: str, documents: Sequence[Fields]) -> list[str]:
        """Insert those whose ``_id`` is absent; return their ids."""

    def replace(self, collection: str, documents: Sequence[Fields]) -> None:
        """Write whole documents, whether they exist or not."""

    def update(self, collection: str, changes: Sequence[tuple[Fields, Fields]]) -> int:
        """Apply (filter with ``_id``, change) pairs; return how many documents changed."""

    def modify(self, collection: str, criteria: Fields, change: Fields) -> Fields | None:
        """Change one document atomically; return it as changed, or ``None`` if none matched."""

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
        """Return the matching documents; ``hint`` names the index to use."""

    def aggregate(self, collection: str, pipeline: Sequence[Fields]) -> list[Fields]:
        """Return the result of an aggregation."""

    def count(self, collection: str, criteria: Fields) -> int:
        """Count the matching documents."""

    def indexes(self, collection: str) -> dict[str, tuple[str, ...]]:
        """Return the fields of the indexes by name."""

    def delete(self, collection: str, identifiers: Sequence[str]) -> int:
        """Delete documents; return how many there were."""

    def now(self) -> datetime:
        """Return the time of the database's clock, the only one that all clients share."""


@cache
def _adapter(document: type[Document], name: str) -> TypeAdapter[Any]:
    return TypeAdapter(document.model_fields[name].rebuild_annotation(), config=ConfigDict(allow_inf_nan=False))


class Collection[D: Document]:
    """The documents of one kind.

    Parameters
    ----------
    backend
        Database that holds them.
    document
        Their class.
    """

    def __init__(self, backend: Backend, document: type[D]) -> None:
        self._backend = backend
        self._document = document
        self.name = document.collection

    def insert_if_absent(self, documents: Iterable[D]) -> list[str]:
        """Insert the documents whose id is not there yet and return those ids.

        An existing document stays as it is, so a job that runs twice writes once. After a lost connection the list
        may lack ids that did get written: use it to report, not to decide.
        """
        return self._backend.insert(self.name, [document.to_mongo() for document in documents])

    def put(self, documents: Iterable[D]) -> None:
        """Write whole documents; writing them twice changes nothing."""
        self._backend.replace(self.name, [document.to_mongo() for document in documents])

    def set_fields(self, changes: Mapping[str, Mapping[str, Any]]) -> int:
        """Set fields of existing documents and return how many documents changed.

        Parameters
        ----------
        changes
            New values by field, by document id.

        Raises
        ------
        DatabaseError
            If a field does not exist or a value does not fit it.
        """
        pairs = [({"_id": key}, {"$set": self.to_fields(values)}) for key, values in changes.items() if values]
        return self._backend.update(self.name, pairs)

    def to_fields(self, values: Mapping[str, Any]) -> Fields:
        """Return field values as the database stores them, checked against the schema."""
        fields: Fields = {}
        for name, value in values.items():
            if name not in self._document.model_fields or name in {"id", "schema_version"}:
                msg = f"{self.name!r} has no field {name!r} to set.{did_you_mean(name, self._document.model_fields)}"
                raise DatabaseError(msg)
            adapter = _adapter(self._document, name)
            try:
                fields[name] = to_bson(adapter.dump_python(adapter.validate_python(value)))
            except ValidationError as err:
                msg = f"field {name!r} of {self.name!r}: {err.errors(include_url=False)[0]['msg']}, got {value!r}"
                raise DatabaseError(msg) from err
        return fields

    def get(self, identifier: str) -> D | None:
        """Return a document, or ``None``."""
        found = self._backend.find(self.name, {"_id": identifier}, limit=1)
        return self._document.from_mongo(found[0]) if found else None

    def require(self, identifier: str) -> D:
        """Return a document.

        Raises
        ------
        DatabaseError
            If it does not exist.
        """
        document = self.get(identifier)
        if document is None:
            msg = f"{self.name!r} has no document {identifier!r}"
            raise DatabaseError(msg)
        return document

    def get_many(self, identifiers: Iterable[str]) -> dict[str, D]:
        """Return the existing ones of some documents by id, in the order asked for."""
        wanted = list(dict.fromkeys(identifiers))
        found: dict[str, D] = {}
        for start in range(0, len(wanted), PAGE):
            for stored in self._backend.find(self.name, {"_id": {"$in": wanted[start : start + PAGE]}}):
                found[stored["_id"]] = self._document.from_mongo(stored)
        return {identifier: found[identifier] for identifier in wanted if identifier in found}

    def find(
        self,
        criteria: Fields | None = None,
        *,
        sort: Order = (),
        skip: int = 0,
        limit: int = 0,
        hint: str | None = None,
    ) -> list[D]:
        """Return matching documents; ``limit`` 0 means all, ``hint`` names the index to use."""
        stored = self._backend.find(self.name, criteria or {}, sort=sort, skip=skip, limit=limit, hint=hint)
        return [self._document.from_mongo(fields) for fields in stored]

    def iterate(self, criteria: Fields | None = None) -> Iterator[D]:
        """Yield matching documents by ascending id, page by page; survives a restart of the database."""
        for stored in self._pages(criteria or {}, None):
            yield self._document.from_mongo(stored)

    def project(self, criteria: Fields | None, fields: Sequence[str]) -> Iterator[Fields]:
        """Yield ``id`` and some fields of matching documents by ascending id."""
        for stored in self._pages(criteria or {}, fields):
            yield {"id": stored["_id"], **{name: stored.get(name) for name in fields}}

    def indexes(self) -> dict[str, tuple[str, ...]]:
        """Return the fields of the indexes by name; the database in memory has none."""
        return self._backend.indexes(self.name)

    def count(self, criteria: Fields | None = None) -> int:
        """Count matching documents."""
        return self._backend.count(self.name, criteria or {})

    def resolve(self, prefix: str, criteria: Fields | None = None) -> str:
        """Return the only id that begins with ``prefix``.

        Raises
        ------
        DatabaseError
            If none or several do.
        """
        span = {**(criteria or {}), "_id": {"$gte": prefix, "$lt": prefix + "\U0010ffff"}}
        found = [stored["_id"] for stored in self._backend.find(self.name, span, fields=(), limit=3)]
        if prefix in found or len(found) == 1:
            return prefix if prefix in found else str(found[0])
        what = f"several, such as {', '.join(found)}: give more digits" if found else "none"
        msg = f"id {prefix!r} in {self.name!r}: expected one document that begins with it, found {what}"
        raise DatabaseError(msg)

    def migrate(self) -> int:
        """Bring stored documents to the present schema version and return how many there were."""
        newest = self._document.model_fields["schema_version"].default
        changed = 0
        for stored in self._pages({"schema_version": {"$ne": newest}}, None):
            upgraded = upgrade(self.name, stored)
            self._backend.replace(self.name, [upgraded])
            changed += 1
        return changed

    def _pages(self, criteria: Fields, fields: Sequence[str] | None) -> Iterator[Fields]:
        page = self._backend.find(self.name, criteria, fields=fields, sort=(("_id", 1),), limit=PAGE)
        while page:
            yield from page
            after = {"$and": [criteria, {"_id": {"$gt": page[-1]["_id"]}}]}
            page = self._backend.find(self.name, after, fields=fields, sort=(("_id", 1),), limit=PAGE)
