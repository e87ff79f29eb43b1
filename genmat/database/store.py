"""The store: six collections, trajectories and jobflow's outputs, the same on every database."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast

from genmat.database.activities import ActivityCollection
from genmat.database.campaigns import CampaignCollection
from genmat.database.candidates import CandidateCollection
from genmat.database.cluster import Cluster
from genmat.database.collection import Collection
from genmat.database.connection import open_session
from genmat.database.documents import (
    ActivityDocument,
    CandidateDocument,
    ModelDocument,
    PropertyDocument,
    StructureDocument,
)
from genmat.database.indexes import INDEXES, QUEUE_INDEXES
from genmat.database.spool import Spool, SpoolingBackend
from genmat.database.statistics import Statistics
from genmat.database.trajectories import TrajectoryStore

if TYPE_CHECKING:
    from pathlib import Path

    from jobflow.core.store import JobStore

    from genmat.database.collection import Backend
    from genmat.database.dangling import Dangling
    from genmat.database.launchpad import SessionLaunchPad
    from genmat.database.session import Session
    from genmat.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a candidate came from: its structures from the drawn one on, their values, and what made all that."""

    candidate: CandidateDocument
    structures: list[StructureDocument]
    properties: list[PropertyDocument]
    activities: list[ActivityDocument]


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What a database is, for ``genmat doctor``.

    Parameters
    ----------
    kind
        ``uri``, ``embedded`` or ``in-process``.
    label
        The same for people, with the place and without a password.
    server_version
        Version of MongoDB, or ``None`` for the in-process store.
    documents
        Number of documents by collection.
    """

    kind: str
    label: str
    server_version: str | None
    documents: dict[str, int]


class Store:
    """The six collections, the trajectories and jobflow's outputs of one database."""

    def __init__(self, session: Session, *, trajectories: int, spool: Path | None = None) -> None:
        self._session = session
        backend: Backend = session
        write = None
        self._spool: SpoolingBackend | None = None
        if spool is not None:
            plain = TrajectoryStore(session, keep=trajectories)
            self._spool = SpoolingBackend(session, Spool(spool), write_trajectory=plain.put_compressed)
            backend, write = cast("Backend", self._spool), self._spool.put_trajectory
        self.structures = Collection(backend, StructureDocument)
        self.properties = Collection(backend, PropertyDocument)
        self.candidates = CandidateCollection(backend)
        self.campaigns = CampaignCollection(backend)
        self.provenance = ActivityCollection(backend)
        self.models = Collection(backend, ModelDocument)
        self.trajectories = TrajectoryStore(session, keep=trajectories, write=write)
        self.statistics = Statistics(session)
        self.cluster = Cluster(session)

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the store."""
        self.close()

    @property
    def label(self) -> str:
        """What the database is, for people; without a password."""
        return self._session.label

    @property
    def in_process(self) -> bool:
        """Whether the database lives in this process."""
        return self._session.in_process

    @property
    def _collections(self) -> tuple[Collection[Any], ...]:
        return self.structures, self.properties, self.candidates, self.campaigns, self.provenance, self.models

    @property
    def may_write(self) -> bool:
        """Whether the database's user may write, whatever this connection was opened for."""
        return self._session.may_write()

    def describe(self) -> StoreInfo:
        """Return what the database is and how much it holds."""
        documents = {collection.name: collection.count() for collection in self._collections}
        return StoreInfo(self._session.kind, self.label, self._session.server_version(), documents)

    def prepare(self) -> None:
        """Create the indexes, migrate documents of older schema versions, write what was spooled."""
        self._session.create_indexes(INDEXES)
        self.migrate()
        for path, count in self.replay_spool().items():
            logger.warning("wrote %d results that were kept in %s while the database was away", count, path)

    def missing_indexes(self) -> list[str]:
        """Return the indexes that are absent, as collection and fields; those of the queue only if there is one."""
        wanted = INDEXES | (QUEUE_INDEXES if self._session.find("workflows", {}, fields=(), limit=1) else {})
        return self._session.missing_indexes(wanted)

    def dangling(self) -> list[Dangling]:
        """Return references whose target is absent; the in-process store is not asked."""
        from genmat.database.dangling import find_dangling

        return [] if self.in_process else find_dangling(self._session)

    def replay_spool(self) -> dict[Path, int]:
        """Write what was kept on disk while the database was away; return how many writes, by file."""
        return {} if self._spool is None else self._spool.replay()

    def migrate(self) -> dict[str, int]:
        """Bring documents of older schema versions to the present one; return how many, by collection.

        Raises
        ------
        DatabaseError
            If a newer genmat wrote a document.
        """
        changed = {collection.name: collection.migrate() for collection in self._collections}
        for name, count in changed.items():
            if count:
                logger.info("migrated %d documents in %s", count, name)
        return changed

    def lineage(self, candidate_id: str) -> Lineage:
        """Walk back from a candidate, and from what first principles made of it, to everything that made it."""
        candidate = self.candidates.require(candidate_id)
        computed = {
            str(verdict.values["structure_id"]) for verdict in candidate.verdicts if "structure_id" in verdict.values
        }
        wanted = [key for key in (candidate.structure_id, candidate.relaxed_structure_id, *sorted(computed)) if key]
        structures: dict[str, StructureDocument] = {}
        while wanted:
            found = self.structures.get_many(wanted)
            structures |= found
            wanted = [parent for entry in found.values() for parent in entry.parents if parent not in structures]
        properties = self.properties.find({"structure_id": {"$in": list(structures)}}, sort=(("name", 1), ("_id", 1)))
        made = [candidate_id, *structures, *(entry.id for entry in properties)]
        return Lineage(candidate, list(structures.values()), properties, self.provenance.that_made(made))

    def job_store(self) -> JobStore:
        """Return jobflow's store: the collection ``outputs`` of this database, or memory for the in-process store."""
        from genmat.database.jobs import make_job_store  # jobflow takes a second to import

        return make_job_store(self._session)

    def launchpad(self) -> SessionLaunchPad:
        """Return FireWorks' LaunchPad on this database.

        Raises
        ------
        DatabaseError
            If this is the in-process store.
        """
        from genmat.database.launchpad import SessionLaunchPad  # so does FireWorks

        return SessionLaunchPad(self._session)

    def close(self) -> None:
        """Let go of the database; a private server ends when its last client does."""
        if self._spool is not None:
            self._spool.close()
        self._session.close()


def connect(settings: Settings, *, read_only: bool = False, time_limit: float | None = None) -> Store:
    """Open the database of the settings: the one of ``database_uri``, else the private one, else one in this process.

    Parameters
    ----------
    settings
        Settings.
    read_only
        Write nothing, neither indexes nor migrations.
    time_limit
        How long the server may work on one reading call, s; ``None`` for no limit.

    Raises
    ------
    DatabaseError
        If it cannot be reached, is of a newer genmat, or refuses; one line without a password.
    """
    session = open_session(settings, read_only=read_only, time_limit=time_limit)
    spool = None if read_only or session.in_process else settings.data_folder / "spool"
    store = Store(session, trajectories=settings.trajectories, spool=spool)
    try:
        if not read_only:
            store.prepare()
    except BaseException:
        store.close()
        raise
    return store
