"""What the processes of ``test_workers`` do; they import it by this name."""

from __future__ import annotations

import os
import signal
from pathlib import Path

KILLS, STUMBLES = -1, -2


def ready() -> None:
    """Start without anything."""


def die_at_start() -> None:
    """Die before there is work."""
    os._exit(7)


def doubled(items: list[int], folder: str):
    """Yield twice each item; some kill, one only the first time."""
    for place, item in enumerate(items):
        mark = Path(folder) / "stumbled"
        if item == KILLS or (item == STUMBLES and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield place, 2 * item


def fail(items: list[int]):
    """Raise as a bug would."""
    yield 0, items[0] / 0
