"""What a job needs besides its ids: the database, the reference, the potential. One of each a process."""

from __future__ import annotations

import atexit
import logging
import os
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from genmat.database.store import Store, connect
from genmat.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genmat.models.pool import PotentialPool
    from genmat.reference.table import Reference

logger = logging.getLogger(__name__)

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
"""Exists where the driver of an NVIDIA GPU is loaded."""

_stores: list[Store] = []


@contextmanager
def use_store(store: Store) -> Iterator[Store]:
    """Make ``store`` the one that jobs of this process write to."""
    _stores.append(store)
    try:
        yield store
    finally:
        _stores.remove(store)


def current_store() -> Store:
    """Return the store that jobs write to; on a worker that FireWorks started, the one that the settings name."""
    if not _stores:
        store = connect(Settings.load())
        atexit.register(store.close)
        _stores.append(store)
    return _stores[-1]


def current_reference() -> Reference:
    """Return the reference that the settings name."""
    return _load_reference(Settings.load().reference)


def current_labels() -> Reference | None:
    """Return the reference of stated energies that the settings name, or ``None``."""
    path = Settings.load().labels
    return None if path is None else _load_reference(path)


@cache
def _load_reference(path: Path | None) -> Reference:
    from genmat.reference.io import load_reference

    return load_reference(path)


_pools: dict[tuple[str, int, str], PotentialPool] = {}
_worker_counts: list[int] = []


@contextmanager
def use_workers(count: int) -> Iterator[None]:
    """Let jobs of this process relax in ``count`` processes, and end these processes afterwards."""
    _worker_counts.append(count)
    try:
        yield
    finally:
        _worker_counts.pop()
        _close_pools()


def potential_pool(potential: str) -> PotentialPool:
    """Return the processes that evaluate a potential; started at first use, kept until :func:`use_workers` ends."""
    from genmat.models.pool import PotentialPool

    device = Settings.load().device
    if device == "auto" and not NVIDIA_DRIVER.exists():
        device = "cpu"  # without torch, which takes seconds to say so
    workers = _worker_counts[-1] if _worker_counts else n_cores()
    key = (potential, workers, device)
    if key not in _pools:
        if not _pools:
            atexit.register(_close_pools)
        _pools[key] = PotentialPool(potential, workers=workers, device=device)
    return _pools[key]


def _close_pools() -> None:
    while _pools:
        _pools.popitem()[1].close()


def n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
