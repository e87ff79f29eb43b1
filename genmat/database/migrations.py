"""Documents of older schema versions.

Every collection has a chain of steps; step *n* turns a document of version *n* into one of version *n* + 1. A document
without ``schema_version`` has version 0. Reading upgrades in memory, so that a read-only user can read an old database;
connecting for writing upgrades in place (:meth:`genmat.database.store.Store.migrate`), so that partial updates only
ever meet the present version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genmat.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Step = Callable[[dict[str, Any]], dict[str, Any]]


def _version_one(fields: dict[str, Any]) -> dict[str, Any]:
    # Documents from before versions existed have the fields of version 1.
    return fields


def _without_rattle(fields: dict[str, Any]) -> dict[str, Any]:
    # A campaign from before crystals were displaced goes on without, whatever is usual for others.
    config = fields["config"]
    screen = config.get("screen") or {}
    relax = {"rattle": 0.0, **(screen.get("relax") or {})}
    return {**fields, "config": {**config, "screen": {**screen, "relax": relax}}}


STEPS: dict[str, Sequence[Step]] = {
    "structures": (_version_one,),
    "properties": (_version_one,),
    "candidates": (_version_one,),
    "campaigns": (_version_one, _without_rattle),
    "provenance": (_version_one,),
    "models": (_version_one,),
}


def current_version(collection: str, *, steps: Mapping[str, Sequence[Step]] = STEPS) -> int:
    """Return the schema version that this genmat writes into ``collection``."""
    return len(steps[collection])


def upgrade(
    collection: str, stored: Mapping[str, Any], *, steps: Mapping[str, Sequence[Step]] = STEPS
) -> dict[str, Any]:
    """Return a stored document in the present schema version.

    Raises
    ------
    DatabaseError
        If a newer genmat wrote the document.
    """
    version = int(stored.get("schema_version", 0))
    newest = current_version(collection, steps=steps)
    if version > newest:
        msg = (
            f"document {stored.get('_id')!r} in {collection!r} has schema version {version}, this genmat knows up to "
            f"{newest}: upgrade genmat"
        )
        raise DatabaseError(msg)
    fields = dict(stored)
    for number, step in enumerate(steps[collection][version:], start=version + 1):
        fields = step(fields)
        fields["schema_version"] = number
    return fields
