"""Answers that are kept: what takes long is computed again in the background while the last answer is shown."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

logger = logging.getLogger(__name__)

SHORTEST = 2.0
"""An answer is shown for at least this long, s."""
SHARE = 0.03
"""At most this share of the time goes into computing one answer again."""
LONGEST = 15.0
"""An answer that took less than this is shown for at most so long, s, whatever share of the time that takes."""
SIZE = 256
"""Answers that are kept, the least recently asked for first to go."""


@dataclass(slots=True)
class _Answer:
    value: Any
    made: float
    cost: float
    refreshing: bool = False

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() - self.made < max(SHORTEST, min(self.cost / SHARE, LONGEST), self.cost)


class Cache:
    """Answers by key; any number of threads may ask."""

    def __init__(self) -> None:
        self._answers: OrderedDict[Hashable, _Answer] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._guard = threading.Lock()

    def get[T](self, key: Hashable, compute: Callable[[], T], *, oldest: float = math.inf) -> T:
        """Return the answer, computed by this thread only if there is none that is younger than ``oldest`` (s)."""
        with self._guard:
            answer = self._answers.get(key)
            if answer is not None and time.monotonic() - answer.made > oldest:
                del self._answers[key]
                answer = None
            making = self._making.setdefault(key, threading.Lock()) if answer is None else None
        if making is not None:
            # Twenty clients that come at once wait for one computation.
            with making:
                with self._guard:
                    answer = self._answers.get(key)
                if answer is None:
                    answer = self._compute(key, compute)
        elif answer is not None:
            with self._guard:
                self._answers.move_to_end(key)
                stale = not answer.is_fresh and not answer.refreshing
                answer.refreshing = answer.refreshing or stale
            if stale:
                threading.Thread(target=self._refresh, args=(key, compute, answer), daemon=True).start()
        value: T = answer.value  # type: ignore[union-attr]
        return value

    def keep[T](self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the answer to a question whose answer never changes."""
        with self._guard:
            answer = self._answers.get(key)
        if answer is not None:
            value: T = answer.value
            return value
        kept: T = self._compute(key, compute).value
        return kept

    def _compute(self, key: Hashable, compute: Callable[[], Any]) -> _Answer:
        started = time.monotonic()
        value = compute()
        ended = time.monotonic()
        answer = _Answer(value, ended, ended - started)
        with self._guard:
            self._answers[key] = answer
            self._answers.move_to_end(key)
            self._making.pop(key, None)
            while len(self._answers) > SIZE:
                self._answers.popitem(last=False)
        return answer

    def _refresh(self, key: Hashable, compute: Callable[[], Any], old: _Answer) -> None:
        try:
            self._compute(key, compute)
        except Exception as err:  # noqa: BLE001 - in a thread of its own nobody else would hear of it
            logger.warning("an old answer is shown, %s", err)
            old.made = time.monotonic()
            old.refreshing = False
