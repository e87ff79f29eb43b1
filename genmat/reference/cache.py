"""Facets of hulls on disk: what one process computed, every later one of the machine reads.

A file of SQLite holds the facets of each chemical system that was asked for, under the hash of all crystals, energies
and the energy scale of their hull (its correction included), so that another reference never sees them. SQLite makes
writes whole and lets processes take turns. The file is a cache: one that cannot be written, is busy or damaged is left
alone for the rest of the process, which computes its facets; a damaged one is removed, so that the next starts it anew.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import struct
import weakref
import zlib
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import numpy as np

from genmat.reference.entries import system_numbers
from genmat.reference.facets import LowerHull, System

if TYPE_CHECKING:
    from pathlib import Path

    from genmat.energy import EnergyScale
    from genmat.reference.entries import HullEntries

FILE = "facets.sqlite"
"""Name of the file in the data folder."""

VERSION = 1
"""Of what is stored; another one never sees it."""

LARGEST = 512 * 2**20
"""Size from which on a file is started anew, bytes; the facets of 26,000 chemical systems take 100 MB."""

BATCH = 256
"""Systems that are written together."""

PATIENCE = 1.0
"""How long to wait for another process that writes, s."""

_HEADER = struct.Struct("<I3I")
"""Checksum of all that follows; numbers of points, elements and facets."""

logger = logging.getLogger(__name__)


def hull_key(entries: HullEntries, scale: EnergyScale) -> str:
    """Return the hash of what decides about the facets of a hull, the order of its crystals included."""
    digest = hashlib.sha256(f"{VERSION}\n{scale}\n".encode())
    digest.update("\n".join([*entries.material_ids, *entries.formulas]).encode())
    digest.update(entries.energies.astype("<f8").tobytes())
    return digest.hexdigest()


class FacetCache:
    """Facets of one hull on disk.

    Parameters
    ----------
    file
        Of any number of hulls; made with its folder when it is first needed.
    hull
        From :func:`hull_key`.
    """

    def __init__(self, file: Path, *, hull: str) -> None:
        self.file = file
        self.hull = hull
        self._connection: sqlite3.Connection | None = None
        self._waiting: list[tuple[str, bytes, bytes]] = []
        self._failed = False

    def get(self, key: int) -> System | None:
        """Return the hull of a chemical system; ``None`` if it is not known."""
        rows = self._ask("SELECT data FROM facets WHERE hull = ? AND system = ?", self.hull, _bytes(key))
        return _unpacked(key, rows[0][0]) if rows else None

    def put(self, key: int, system: System) -> None:
        """Keep the hull of a chemical system; written with others, at the latest when the process ends."""
        if self._failed:
            return
        self._waiting.append((self.hull, _bytes(key), _packed(system)))
        if len(self._waiting) >= BATCH:
            self._ask(None)

    def _ask(self, statement: str | None, *values: object) -> list[tuple[bytes]]:
        """Return what SQLite answers, without a statement write what waits.

        Once the file fails it is left alone, and removed if it is damaged.
        """
        if self._failed:
            return []
        try:
            if statement is not None:
                return self._connected().execute(statement, values).fetchall()
            _write(self._connected(), self._waiting)
            return []
        except (sqlite3.Error, OSError) as err:
            logger.info("facets are computed, %s says: %s", self.file, err)
            self._failed = True
            self._waiting.clear()
            if isinstance(err, sqlite3.DatabaseError) and not isinstance(err, sqlite3.OperationalError):
                with suppress(OSError):
                    self.file.unlink(missing_ok=True)
            return []

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.file.exists() and self.file.stat().st_size > LARGEST:
                self.file.unlink()
            # Jobs of one process may run in several threads; sqlite3 lets them take turns.
            connection = sqlite3.connect(self.file, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
            weakref.finalize(self, _finish, connection, self._waiting)
            connection.execute("PRAGMA synchronous = OFF")  # what a power failure damages is computed again
            connection.execute(
                "CREATE TABLE IF NOT EXISTS facets (hull TEXT, system BLOB, data BLOB, PRIMARY KEY (hull, system)) "
                "WITHOUT ROWID"
            )
            self._connection = connection
        return self._connection


def _write(connection: sqlite3.Connection, waiting: list[tuple[str, bytes, bytes]]) -> None:
    """Write records in one transaction; those that are there already are replaced."""
    records = waiting.copy()
    waiting.clear()
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        connection.executemany("INSERT OR REPLACE INTO facets VALUES (?, ?, ?)", records)


def _finish(connection: sqlite3.Connection, waiting: list[tuple[str, bytes, bytes]]) -> None:
    with suppress(sqlite3.Error), closing(connection):
        _write(connection, waiting)


def _bytes(key: int) -> bytes:
    return key.to_bytes(16, "big")


def _packed(system: System) -> bytes:
    n_points, n_elements = system.fractions.shape
    shape = struct.pack("<3I", n_points, n_elements, len(system.hull.potentials))
    whole, real = (system.points, system.hull.simplices), (system.fractions, system.hull.potentials)
    body = shape + b"".join([a.astype("<i8").tobytes() for a in whole] + [a.astype("<f8").tobytes() for a in real])
    return struct.pack("<I", zlib.crc32(body)) + body


def _unpacked(key: int, data: bytes) -> System | None:
    """Return what was packed; ``None`` if it is not whole."""
    if len(data) < _HEADER.size or zlib.crc32(data[4:]) != _HEADER.unpack_from(data)[0]:
        return None
    _, n, d, f = _HEADER.unpack_from(data)
    whole = np.frombuffer(data, dtype="<i8", count=n + f * d, offset=_HEADER.size).astype(np.intp)
    real = np.frombuffer(data, dtype="<f8", count=(n + f) * d, offset=_HEADER.size + 8 * (n + f * d))
    hull = LowerHull(real[n * d :].reshape(f, d), whole[n:].reshape(f, d))
    return System(system_numbers(key), whole[:n], real[: n * d].reshape(n, d), hull)
