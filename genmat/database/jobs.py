"""jobflow's outputs beside our documents, through the same session."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from jobflow.core.store import JobStore
from maggma.stores.mongolike import MemoryStore, MongoStore

from genmat.database.retrying import SessionCollection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genmat.database.session import Session

OUTPUTS, LARGE = "outputs", "outputs_large"
PIECES = "@pieces"
"""Key of an output that lies in pieces; the value is their number."""
_TOO_LARGE = 8_000_000  # bytes of JSON; BSON may need twice as much for numbers
_PIECE = 8_000_000  # bytes


class SessionStore(MongoStore):
    """maggma's store on a session that somebody else opens and closes; it knows no address and no password.

    maggma drops a document over MongoDB's 16 MB with a line in the log. Here the output of such a document lies in
    pieces beside it.
    """

    def connect(self, force_reset: bool = False) -> None:  # noqa: FBT001, FBT002 - maggma's signature
        """Do nothing: the session is connected."""

    def close(self) -> None:
        """Do nothing: the session stays open for others."""

    def update(self, docs: Any, key: Any = None) -> None:
        """Write documents, outputs that are too large in pieces."""
        documents = docs if isinstance(docs, list) else [docs]
        super().update([self._shrunk(document) for document in documents], key)

    def query(self, *arguments: Any, **options: Any) -> Iterator[dict[str, Any]]:
        """Yield documents, with the outputs that lie in pieces."""
        for document in super().query(*arguments, **options):
            output = document.get("output")
            if isinstance(output, dict) and PIECES in output:
                names = [f"{output['of']}/{number}" for number in range(output[PIECES])]
                found = {piece["_id"]: piece["data"] for piece in self._session.find(LARGE, {"_id": {"$in": names}})}
                data = zlib.decompress(b"".join(found[name] for name in names))
                yield {**document, "output": json.loads(data)}
            else:
                yield document

    @property
    def _session(self) -> Session:
        collection: Any = self._coll
        session: Session = collection.session
        return session

    def _shrunk(self, document: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(document.get("output"), default=str).encode()
        if len(text) < _TOO_LARGE:
            return document
        name = f"{document['uuid']}/{document['index']}"
        data = zlib.compress(text)
        pieces = [data[start : start + _PIECE] for start in range(0, len(data), _PIECE)]
        # Pieces first: a document never refers to what is not there.
        self._session.replace(LARGE, [{"_id": f"{name}/{number}", "data": part} for number, part in enumerate(pieces)])
        return {**document, "output": {PIECES: len(pieces), "of": name}}


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
    # A crash of the server cannot keep FireWorks' word that a job is done, which is written later, and lose its output.
    collection = SessionCollection(session, OUTPUTS, durable=False)
    return JobStore(SessionStore.from_collection(collection))  # type: ignore[no-untyped-call]
