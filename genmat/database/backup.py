"""One campaign in one file, and back.

The file is a gzip stream of BSON documents: a header, each document with its collection, a footer with their number. A
file without its footer was cut short and is refused before anything is written.
"""

from __future__ import annotations

import gzip
import os
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import bson

from genmat import __version__
from genmat.database.documents import (
    ActivityDocument,
    CampaignDocument,
    CandidateDocument,
    ModelDocument,
    PropertyDocument,
    StructureDocument,
)
from genmat.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from genmat.database.documents import Document
    from genmat.database.store import Store

FORMAT = "genmat-backup-1"
TRAJECTORIES = "trajectories"
_BATCH = 500
_KINDS: dict[str, type[Document]] = {
    kind.collection: kind
    for kind in (
        ModelDocument,
        StructureDocument,
        PropertyDocument,
        CandidateDocument,
        ActivityDocument,
        CampaignDocument,
    )
}
"""In the order of writing: what is referred to comes first."""


def backup_campaign(store: Store, name: str, path: Path) -> dict[str, int]:
    """Write a campaign with everything that belongs to it; return how many documents, by collection.

    Raises
    ------
    CampaignError
        If there is none of that name.
    StorageError
        If the file exists; none is left behind if it cannot be written.
    """
    store.campaigns.require(name)
    if path.exists():
        msg = f"{path} exists and is not overwritten: choose another name"
        raise StorageError(msg)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    counts: dict[str, int] = {}
    try:
        with gzip.open(partial, "wb", compresslevel=6) as file:
            file.write(bson.encode({"format": FORMAT, "genmat": __version__, "campaign": name}))
            for collection, document in _belongings(store, name):
                file.write(bson.encode({"collection": collection, "document": document}))
                counts[collection] = counts.get(collection, 0) + 1
            file.write(bson.encode({"end": sum(counts.values())}))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return counts


def restore_campaign(store: Store, path: Path) -> tuple[str, dict[str, int]]:
    """Write what a backup holds and the database does not; return the campaign and how many documents were new.

    Raises
    ------
    StorageError
        If it is no backup, or was cut short; nothing is written.
    CampaignError
        If the name is taken by another configuration; nothing is written.
    """
    name, campaign = _check(path)
    # Refuses another configuration of the same name before anything else is written.
    if store.campaigns.get(name) is not None:
        store.campaigns.create(campaign)
    counts: dict[str, int] = {}
    batch: list[Document] = []

    def flush() -> None:
        if batch:
            collection = getattr(store, _ATTRIBUTES.get(batch[0].collection, batch[0].collection))
            new = collection.insert_if_absent(batch)
            counts[batch[0].collection] = counts.get(batch[0].collection, 0) + len(new)
            batch.clear()

    for entry in _entries(path):
        if entry["collection"] == TRAJECTORIES:
            flush()
            stored = store.trajectories.put(entry["document"]["_id"], entry["document"]["trajectory"])
            counts[TRAJECTORIES] = counts.get(TRAJECTORIES, 0) + stored
            continue
        document = _KINDS[entry["collection"]].from_mongo(entry["document"])
        if batch and (batch[0].collection != document.collection or len(batch) >= _BATCH):
            flush()
        batch.append(document)
    flush()
    return name, counts


_ATTRIBUTES = {ActivityDocument.collection: "provenance"}
"""Where the store keeps a collection, if under another name."""


def _belongings(store: Store, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what belongs to a campaign, in the order of writing."""
    for model in store.models.iterate():
        yield model.collection, model.to_mongo()
    structures: set[str] = set()
    for candidate in store.candidates.iterate({"campaign": name}):
        structures |= {key for key in (candidate.structure_id, candidate.relaxed_structure_id) if key is not None}
    ordered = sorted(structures)
    for start in range(0, len(ordered), _BATCH):
        page = ordered[start : start + _BATCH]
        for structure in store.structures.get_many(page).values():
            yield structure.collection, structure.to_mongo()
        for value in store.properties.iterate({"structure_id": {"$in": page}}):
            yield value.collection, value.to_mongo()
        for key in page:
            if (trajectory := store.trajectories.get(key)) is not None:
                yield TRAJECTORIES, {"_id": key, "trajectory": trajectory}
    for candidate in store.candidates.iterate({"campaign": name}):
        yield candidate.collection, candidate.to_mongo()
    for activity in store.provenance.iterate({"campaign": name}):
        yield activity.collection, activity.to_mongo()
    # Last: where it is, the rest is. Nobody runs a restored campaign.
    campaign = store.campaigns.require(name).model_copy(update={"owner": None})
    yield campaign.collection, campaign.to_mongo()


def _check(path: Path) -> tuple[str, CampaignDocument]:
    """Read a backup to its end; return the name and the campaign."""
    entries = list(_documents(path))
    header = entries[0] if entries else {}
    if header.get("format") != FORMAT:
        msg = f"{path} is no backup of genmat ({FORMAT}): give a file that genmat backup wrote"
        raise StorageError(msg)
    if entries[-1].get("end") != len(entries) - 2:
        msg = f"{path} was cut short: {len(entries) - 1} documents and no end; nothing was restored: use another copy"
        raise StorageError(msg)
    (stored,) = (entry["document"] for entry in entries[1:-1] if entry["collection"] == CampaignDocument.collection)
    return str(header["campaign"]), CampaignDocument.from_mongo(stored)


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    return (entry for entry in _documents(path) if "collection" in entry)


def _documents(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the documents of a file.

    Raises
    ------
    StorageError
        If it is no backup, cannot be read, or ends too early.
    """
    options: bson.CodecOptions[dict[str, Any]] = bson.CodecOptions(tz_aware=True)
    try:
        with gzip.open(path, "rb") as file:
            yield from bson.decode_file_iter(cast("BinaryIO", file), options)
    except gzip.BadGzipFile as err:
        msg = f"{path} is no backup of genmat ({FORMAT}): give a file that genmat backup wrote"
        raise StorageError(msg) from err
    except (EOFError, zlib.error, bson.errors.BSONError) as err:
        msg = f"{path} was cut short or is damaged; nothing was restored: use another copy"
        raise StorageError(msg) from err
    except OSError as err:
        msg = f"{path} cannot be read: {err.strerror or err}"
        raise StorageError(msg) from err
