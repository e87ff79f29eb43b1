"""Progress of work in stages: a bar for each, a line each tenth where standard error is no terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from genmat.cli.terminal import console, note

if TYPE_CHECKING:
    from collections.abc import Callable


class Stages:
    """A progress bar for each stage; a context manager."""

    def __init__(self) -> None:
        from rich.progress import Progress

        screen = console(error=True)
        self._live = screen.is_terminal
        self._bars = Progress(console=screen, disable=not self._live)
        self._tasks: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bars.stop()

    @property
    def progress(self) -> Callable[[str, int, int], None]:
        """The callback of the stages: name, what is done, total."""
        return self._show

    def _show(self, stage: str, done: int, total: int) -> None:
        if not self._live:
            tenth = 10 * done // max(total, 1)
            if self._tasks.get(stage) != tenth:
                self._tasks[stage] = tenth
                note(f"{stage}: {done} of {total}")
            return
        from rich.progress import TaskID

        if stage not in self._tasks:
            self._tasks[stage] = int(self._bars.add_task(stage, total=total))
        self._bars.update(TaskID(self._tasks[stage]), completed=done, total=total)
