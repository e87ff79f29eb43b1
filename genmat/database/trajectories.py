"""Relaxation trajectories: in GridFS, or in a plain collection of the in-process store."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import bson

from genmat.database.encoding import from_bson, to_bson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from genmat.database.session import Session

BUCKET = "trajectories"
_PAGE = 500


class TrajectoryStore:
    """Compressed trajectories by the id of the relaxed structure.

    Parameters
    ----------
    session
        Database that holds them.
    keep
        How many are kept, the latest; 0 keeps none.
    write
        What stores a compressed trajectory, if not this store itself: a spool in front of it.
    """

    def __init__(self, session: Session, *, keep: int, write: Callable[[str, bytes], bool] | None = None) -> None:
        self._session = session
        self._keep = keep
        self._write = write or self.put_compressed

    def put(self, identifier: str, trajectory: Mapping[str, Any]) -> bool:
        """Store a trajectory of that id if there is none, and return whether it was stored."""
        if not self._keep:
            return False
        return self._write(identifier, zlib.compress(bson.encode(to_bson(dict(trajectory)))))

    def put_compressed(self, identifier: str, data: bytes) -> bool:
        """Store what another store holds under that id."""
        if self._session.in_process:
            entry = {"_id": identifier, "data": data, "stored_at": self._session.now()}
            return bool(self._session.insert(BUCKET, [entry]))

        def upload(database: Any) -> bool:
            from gridfs import GridFSBucket  # reading a status needs no GridFS
            from pymongo.errors import DuplicateKeyError

            files = database[f"{BUCKET}.files"]
            if files.find_one({"filename": identifier}, {"_id": 1}):
                return False
            files.create_index("filename", unique=True)
            try:
                # The chunks of an upload that was cut short belong to no file, so they are never read.
                GridFSBucket(database, bucket_name=BUCKET).upload_from_stream(identifier, data)
            except DuplicateKeyError:
                return False
            return True

        return bool(self._session.run(upload, write=True))

    def get(self, identifier: str) -> dict[str, Any] | None:
        """Return a trajectory, or ``None`` if there is none or it was not kept."""
        if self._session.in_process:
            found = self._session.find(BUCKET, {"_id": identifier}, limit=1)
            data = found[0]["data"] if found else None
        else:
            data = self._session.run(lambda database: _download(database, identifier))
        return None if data is None else from_bson(bson.decode(zlib.decompress(data)))

    def count(self) -> int:
        """Return how many trajectories are stored."""
        return self._session.count(BUCKET if self._session.in_process else f"{BUCKET}.files", {})

    def prune(self) -> int:
        """Delete all but the latest trajectories, and what unfinished uploads left; return how many were deleted."""
        name, order = (BUCKET, "stored_at") if self._session.in_process else (f"{BUCKET}.files", "uploadDate")
        fields = (order,)
        old = self._session.find(name, {}, fields=fields, sort=((order, -1), ("_id", -1)), skip=self._keep)
        identifiers = [entry["_id"] for entry in old]
        if self._session.in_process:
            return self._session.delete(BUCKET, identifiers)

        def delete(database: Any) -> int:
            # Files before chunks: a file without chunks would be a broken trajectory.
            for start in range(0, len(identifiers), _PAGE):
                page = {"$in": identifiers[start : start + _PAGE]}
                database[f"{BUCKET}.files"].delete_many({"_id": page})
                database[f"{BUCKET}.chunks"].delete_many({"files_id": page})
            return len(identifiers)

        return int(self._session.run(delete, write=True))


def _download(database: Any, identifier: str) -> bytes | None:
    # GridFS by hand: its own reader wants a database that it could also write to.
    file = database[f"{BUCKET}.files"].find_one({"filename": identifier}, {"length": 1})
    if file is None:
        return None
    chunks = database[f"{BUCKET}.chunks"].find({"files_id": file["_id"]}, {"data": 1}, sort=[("n", 1)])
    data = b"".join(chunk["data"] for chunk in chunks)
    # A trajectory that is being pruned is as good as gone.
    return data if len(data) == file["length"] else None
