"""Progress bars of a running campaign; plain lines where standard error is no terminal."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from genmat.cli.terminal import console, note
from genmat.errors import GenmatError

if TYPE_CHECKING:
    from rich.progress import TaskID

    from genmat.database.store import Store
    from workflows.run import Progress

POLL = 1.0
"""Time between two looks at the database, s: a chunk of relaxations takes minutes, and a bar should not stand still."""


class CampaignProgress:
    """Show how far a campaign is; a context manager.

    Parameters
    ----------
    store
        Database; asked for counts while jobs run.
    name
        Campaign.
    """

    def __init__(self, store: Store, name: str) -> None:
        from rich import progress as rich_progress

        self._store = store
        self._name = name
        self._screen = console(error=True)
        self._live = self._screen.is_terminal
        self._bars = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TextColumn("{task.fields[counts]}"),
            rich_progress.TimeElapsedColumn(),
            console=self._screen,
            disable=not self._live,
        )
        self._tasks: dict[tuple[int, str], TaskID] = {}
        self._current: Progress | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="progress", daemon=True)

    def __enter__(self) -> Self:
        """Begin to show."""
        self._bars.start()
        if self._live:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        """Show the last counts and end."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        if kind is None and self._current is not None and self._live:
            with suppress(GenmatError):
                self._update(self._current)
        self._bars.stop()

    def report(self, progress: Progress) -> None:
        """Take note of a chunk; the callback of :func:`workflows.run.run_campaign`."""
        self._current = progress
        if self._live:
            self._update(progress)
            return
        number, _, text = self._counts(progress)
        note(f"{_title(progress)}: {progress.done} of {progress.total} chunks, {number} {text}")

    def _update(self, progress: Progress) -> None:
        done, total, text = self._counts(progress)
        key = progress.round, progress.phase
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task(_title(progress), total=total, counts=text)
        self._bars.update(self._tasks[key], completed=done, total=total, counts=text)

    def _poll(self) -> None:
        while not self._ended.wait(POLL):
            if (progress := self._current) is not None:
                # A database that is away for a moment is the jobs' concern, not the bar's.
                with suppress(GenmatError):
                    self._update(progress)

    def _counts(self, progress: Progress) -> tuple[int, int, str]:
        """Return how many candidates of a phase are done, of how many, and what became of them."""
        base: dict[str, Any] = {"campaign": self._name, "round": progress.round}
        count = self._store.candidates.count
        if progress.phase == "generate":
            drawn = count(base)
            total = self._planned_draws(progress)
            novel = count({**base, "verdicts": {"$elemMatch": {"stage": "novelty", "passed": True}}})
            return drawn, max(drawn, total), f"drawn, {novel} valid and novel"
        relaxed = count({**base, "verdicts.stage": "relax"})
        selected = count({**base, "verdicts": {"$elemMatch": {"stage": "selection", "passed": True}}})
        stable = count({**base, "verdicts": {"$elemMatch": {"stage": "stability", "passed": True}}})
        return relaxed, max(relaxed, selected), f"relaxed, {stable} stable"

    def _planned_draws(self, progress: Progress) -> int:
        planned = self._store.campaigns.require(self._name).config.get("generate")
        number = planned.get("n") if isinstance(planned, dict) else None
        return number if isinstance(number, int) else progress.total


def _title(progress: Progress) -> str:
    return f"round {progress.round + 1} of {progress.n_rounds}, {progress.phase}"
