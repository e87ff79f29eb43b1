"""Campaigns: configuration, rounds, and which process runs them."""

from __future__ import annotations

import logging
import os
import socket
import threading
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genmat.database.collection import Collection
from genmat.database.documents import CampaignDocument, CampaignState, Lease, RoundState, SnapshotRecord
from genmat.database.encoding import to_bson
from genmat.errors import CampaignBusyError, CampaignError, GenmatError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from genmat.campaign import Campaign
    from genmat.database.collection import Backend, Fields

logger = logging.getLogger(__name__)

STALE_AFTER = timedelta(seconds=60)
"""Silence after which the process of another host counts as dead."""
HEARTBEAT = 15.0
"""Time between two heartbeats, s."""
_DIFFERENCES_SHOWN = 5


def has_configuration(stored: CampaignDocument, config_hash: str) -> bool:
    """Return whether a stored campaign computes what one of this hash does, also if an older genmat stored it."""
    if stored.config_hash == config_hash:
        return True
    present = _under_the_present_schema(stored.config)
    return present is not None and present.config_hash == config_hash


def _under_the_present_schema(config: Mapping[str, Any]) -> Campaign | None:
    """Return the campaign with the defaults of keys that it lacks; ``None`` if it has some that are gone."""
    from genmat.campaign import Campaign

    try:
        return Campaign.from_dict(dict(config), source="configuration")
    except CampaignError:
        return None


def check_configuration(stored: CampaignDocument, config: Mapping[str, Any], config_hash: str) -> None:
    """Raise unless a stored campaign computes what this configuration describes.

    Raises
    ------
    CampaignError
        If the name is taken by another configuration; the message shows the difference.
    """
    from genmat.campaign.schema import NOT_HASHED

    if has_configuration(stored, config_hash):
        return
    before, after = (
        known if (present := _under_the_present_schema(known)) is None else present.to_dict()
        for known in (stored.config, config)
    )
    lines = [line for line in differences(before, after) if line.partition(".")[0] not in NOT_HASHED]
    more = f" and {len(lines) - _DIFFERENCES_SHOWN} more" if len(lines) > _DIFFERENCES_SHOWN else ""
    shown = "; ".join(lines[:_DIFFERENCES_SHOWN]) or "it was stored by another version of genmat"
    msg = (
        f"campaign {stored.id!r} exists with another configuration ({shown}{more}): give the new one another name, or "
        f"go on with the stored one: genmat resume {stored.id}"
    )
    raise CampaignError(msg)


class CampaignCollection(Collection[CampaignDocument]):
    """All campaigns; the id is the name."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend, CampaignDocument)

    def create(self, document: CampaignDocument) -> CampaignDocument:
        """Store a campaign, or return the stored one if it has the same configuration.

        Raises
        ------
        CampaignError
            If the name is taken by another configuration; the message shows the difference.
        """
        self.insert_if_absent([document])
        stored = self.require(document.id)
        check_configuration(stored, document.config, document.config_hash)
        return stored

    def require(self, identifier: str) -> CampaignDocument:
        """Return a campaign.

        Raises
        ------
        CampaignError
            If there is none of that name.
        """
        document = self.get(identifier)
        if document is None:
            names = [stored["id"] for stored in self.project({}, ())]
            others = f" Campaigns are: {', '.join(names[:20])}" if names else " genmat run FILE starts one"
            hint = did_you_mean(identifier, names) or others
            msg = f"no campaign {identifier!r} in this database.{hint}"
            raise CampaignError(msg)
        return document

    def set_state(self, name: str, state: CampaignState, *, error: str | None = None) -> None:
        """Set the state of a campaign."""
        self.set_fields({name: {"state": state, "error": error, "updated_at": self._backend.now()}})

    def set_round(self, name: str, state: RoundState, *, expected_phase: str | None = None) -> bool:
        """Write the state of one round, and return whether that was done.

        Parameters
        ----------
        name
            Campaign.
        state
            State of the round, which replaces the stored one of the same number.
        expected_phase
            Phase that the stored round must be in; of several processes that advance a round one succeeds.
        """
        fields = to_bson(state.model_dump())
        match: Fields = {"round": state.round}
        if expected_phase is not None:
            match["phase"] = expected_phase
        criteria: Fields = {"_id": name, "rounds": {"$elemMatch": match}}
        if self._backend.modify(self.name, criteria, {"$set": {"rounds.$": fields}}) is not None:
            return True
        if expected_phase is not None:
            return False
        criteria = {"_id": name, "rounds.round": {"$ne": state.round}}
        return self._backend.modify(self.name, criteria, {"$push": {"rounds": fields}}) is not None

    def add_snapshot(self, name: str, snapshot: SnapshotRecord) -> SnapshotRecord:
        """Freeze the reference of a round, and return the frozen one: the first that was written stands."""
        criteria: Fields = {"_id": name, "snapshots.round": {"$ne": snapshot.round}}
        self._backend.modify(self.name, criteria, {"$push": {"snapshots": to_bson(snapshot.model_dump())}})
        return next(entry for entry in self.require(name).snapshots if entry.round == snapshot.round)

    def acquire(self, name: str) -> Lease:
        """Make this process the one that runs a campaign.

        The lease of a dead process of this host, or of a process of another host that has been silent for
        ``STALE_AFTER``, is taken over.

        Raises
        ------
        CampaignBusyError
            If a live process holds the lease; the message names host, process and since when.
        """
        while True:
            owner = self.require(name).owner
            now = self._backend.now()
            mine = this_process(now)
            if owner is not None and not _is_same(owner, mine) and not is_stale(owner, now=now):
                msg = (
                    f"campaign {name!r} is being run by process {owner.pid} on {owner.host} "
                    f"since {owner.since:%Y-%m-%d %H:%M:%S} UTC: wait for it, or stop it"
                )
                raise CampaignBusyError(msg)
            if owner is not None and _is_same(owner, mine):
                mine = mine.model_copy(update={"since": owner.since})
            elif owner is not None:
                logger.warning(
                    "taking campaign %s over from process %d on %s, which is gone", name, owner.pid, owner.host
                )
            change = {"$set": {"owner": to_bson(mine.model_dump())}}
            if self._backend.modify(self.name, {"_id": name, **_owned_by(owner)}, change) is not None:
                return mine

    def heartbeat(self, name: str, lease: Lease) -> None:
        """Give a sign of life.

        Raises
        ------
        CampaignBusyError
            If another process has taken the campaign over.
        """
        criteria = {"_id": name, **_owned_by(lease, heartbeat=False)}
        if self._backend.modify(self.name, criteria, {"$set": {"owner.heartbeat": self._backend.now()}}) is None:
            owner = self.require(name).owner
            by = f"process {owner.pid} on {owner.host}" if owner else "a process that has ended"
            msg = f"campaign {name!r} was taken over by {by} after this process had been silent: genmat status {name}"
            raise CampaignBusyError(msg)

    def release(self, name: str, lease: Lease) -> None:
        """Let go of a campaign; nothing happens if another process holds it."""
        criteria = {"_id": name, **_owned_by(lease, heartbeat=False)}
        self._backend.modify(self.name, criteria, {"$set": {"owner": None}})

    @contextmanager
    def hold(self, name: str, *, interval: float = HEARTBEAT) -> Iterator[Lease]:
        """Hold a campaign's lease, with a heartbeat every ``interval`` seconds from a thread."""
        lease = self.acquire(name)
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(interval):
                try:
                    self.heartbeat(name, lease)
                except CampaignBusyError as err:
                    logger.error("%s", err)  # noqa: TRY400 - one line, no traceback
                    return
                except GenmatError as err:
                    logger.warning("no heartbeat for campaign %s: %s", name, err)

        thread = threading.Thread(target=beat, name=f"heartbeat-{name}", daemon=True)
        thread.start()
        try:
            yield lease
        finally:
            ended.set()
            thread.join()
            self.release(name, lease)


def this_process(now: datetime) -> Lease:
    """Return a lease of this process."""
    import psutil  # reading the status of a campaign needs no process table

    return Lease(
        host=socket.gethostname(),
        namespace=_namespace(),
        pid=os.getpid(),
        process_start=psutil.Process().create_time(),
        since=now,
        heartbeat=now,
    )


def is_stale(lease: Lease, *, now: datetime) -> bool:
    """Return whether the process that holds a lease is gone."""
    import psutil

    if lease.host == socket.gethostname() and lease.namespace == _namespace():
        try:
            process = psutil.Process(lease.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
            # A process id is given again to another process, which has another start.
            return bool(abs(process.create_time() - lease.process_start) > 1.0)
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False
    return now - lease.heartbeat > STALE_AFTER


def differences(stored: Mapping[str, Any], given: Mapping[str, Any], *, prefix: str = "") -> Iterator[str]:
    """Yield ``path: stored → given`` for every value in which two configurations differ."""
    for key in sorted({*stored, *given}):
        old, new = stored.get(key), given.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differences(old, new, prefix=f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key}: {old} → {new}"


def _namespace() -> str:
    # Two containers may share a host name; their process ids mean different things.
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _is_same(left: Lease, right: Lease) -> bool:
    return (left.host, left.namespace, left.pid) == (right.host, right.namespace, right.pid) and (
        abs(left.process_start - right.process_start) <= 1.0
    )


def _owned_by(lease: Lease | None, *, heartbeat: bool = True) -> Fields:
    if lease is None:
        return {"owner": None}
    names = ("host", "namespace", "pid", "process_start", *(("heartbeat",) if heartbeat else ()))
    return {f"owner.{name}": getattr(lease, name) for name in names}
