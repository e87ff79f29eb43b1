"""Processes that work on tasks and may die: what they send before counts, what they leave behind is taken up again."""

from __future__ import annotations

import os
import queue
import threading
import time
import traceback
from collections import deque
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from genmat.errors import PotentialError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from multiprocessing.connection import Connection

PARENT_CHECK_SECONDS = 2.0
AHEAD = 2
"""Tasks that a process has at hand, so that it need not wait for its parent between two of them."""
END_SECONDS = 5.0
"""What a process that is told to end is given before it is killed."""


@dataclass(slots=True, eq=False)
class _Task:
    """Items that are worked on together: ``positions`` in the caller's list, and which of them are without a result."""

    positions: Sequence[int]
    call: _Call
    missing: set[int] = field(default_factory=set)
    deaths: int = 0

    def __post_init__(self) -> None:
        self.missing = set(self.positions)


@dataclass(slots=True, eq=False)
class _Call:
    """One use of the processes; several may be under way."""

    function: Callable[..., Iterable[tuple[int, Any]]]
    items: Sequence[Any]
    arguments: tuple[Any, ...]
    waiting: deque[_Task] = field(default_factory=deque)
    found: deque[tuple[int, Any]] = field(default_factory=deque)
    n_open: int = 0
    error: str | None = None


class _Process:
    """A process, the parent's end of its pipe, and the tasks that it has and has not finished, the first in work."""

    def __init__(self, start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        context = get_context("spawn")
        self.connection, end = context.Pipe()
        self.process = context.Process(target=_serve, args=(end, os.getpid(), start, arguments), daemon=True)
        self.process.start()
        end.close()
        self.is_ready = False
        self.tasks: deque[_Task] = deque()

    def end(self) -> None:
        """End the process, whatever it does."""
        self.connection.close()
        self.process.join(END_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


class Workers:
    """Processes that outlive the death of each of them.

    Parameters
    ----------
    number
        Processes; they are started when there is work.
    start
        Called once in each process before its first task.
    arguments
        Of ``start``.

    Notes
    -----
    They end with :meth:`close`, and by themselves when the process that started them is gone.
    """

    def __init__(self, number: int, start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.number, self._start, self._arguments = number, start, arguments
        self._processes: list[_Process] = []
        self._failed_starts = 0

    def close(self) -> None:
        """End the processes; what they work on is dropped."""
        while self._processes:
            self._processes.pop().end()

    def map(
        self,
        function: Callable[..., Iterable[tuple[int, Any]]],
        items: Sequence[Any],
        groups: Iterable[Sequence[int]],
        *arguments: Any,
    ) -> Iterator[tuple[int, Any]]:
        """Yield position and result of each item as soon as its process has it; ``None`` for what kills its process.

        Parameters
        ----------
        function
            Gets a list of items and ``arguments``, yields position in the list and result.
        items
            What is worked on.
        groups
            Positions of what is worked on together.

        Notes
        -----
        A group whose process dies is begun once more as a whole, so that the death of a process that no item caused
        leaves no trace in a result. If that process dies too, the halves of what is left are tried apart, and so on: an
        item that has killed two processes or more, the last one alone, has no result.

        Raises
        ------
        PotentialError
            If processes die before they are ready, or the function raises.
        """
        call = _Call(function, items, arguments)
        call.waiting.extend(_Task(group, call) for group in groups)
        call.n_open = len(call.waiting)
        try:
            while call.n_open or call.found:
                while call.found:
                    yield call.found.popleft()
                if call.error is not None:
                    raise PotentialError(call.error)
                if call.n_open:
                    self._hand_out(call)
                    self._receive()
        finally:
            call.waiting.clear()
            call.n_open = 0

    def _hand_out(self, call: _Call) -> None:
        """Give tasks to the processes with the fewest; all start together, as each takes seconds to load its model."""
        while call.waiting:
            while len(self._processes) < self.number:
                self._processes.append(_Process(self._start, self._arguments))
            process = min(self._processes, key=lambda process: len(process.tasks))
            if len(process.tasks) >= AHEAD:
                return
            task = call.waiting.popleft()
            process.tasks.append(task)
            try:
                process.connection.send((call.function, [call.items[i] for i in task.positions], call.arguments))
            except OSError:  # it has died, as its end of the pipe tells
                return

    def _receive(self) -> None:
        """Wait for messages; put results where they belong, and replace what has died."""
        by_connection = {process.connection: process for process in self._processes}
        for connection in wait(list(by_connection)):
            process = by_connection[connection]  # type: ignore[index]
            try:
                kind, *content = process.connection.recv()
            except (EOFError, OSError):
                self._replace(process)
                continue
            if kind == "ready":
                process.is_ready = True
                self._failed_starts = 0
            elif kind == "result":
                _found(process.tasks[0], *content)
            elif kind == "done":
                process.tasks.popleft().call.n_open -= 1
            else:
                self._fail(process, f"a worker process failed: {content[0]}; its traceback:\n{content[1]}")

    def _fail(self, process: _Process, error: str) -> None:
        """Tell the use whose task raised, and let others have what the process had at hand for them."""
        self._processes.remove(process)
        process.end()
        if not process.tasks:
            raise PotentialError(error)
        process.tasks.popleft().call.error = error
        for task in reversed(process.tasks):
            task.call.waiting.appendleft(task)

    def _replace(self, process: _Process) -> None:
        """Take up again what a dead process leaves behind."""
        self._processes.remove(process)
        process.process.join()
        code = process.process.exitcode
        process.end()
        if not process.is_ready:
            self._failed_starts += 1
            if self._failed_starts > 1:
                msg = f"worker processes end before they are ready (exit code {code}); expected them to load the model"
                raise PotentialError(msg)
        elif process.tasks:
            _take_up_again(process.tasks.popleft())
        for task in reversed(process.tasks):
            task.call.waiting.appendleft(task)


def _found(task: _Task, place: int, result: Any) -> None:
    position = task.positions[place]
    if position in task.missing:
        task.missing.remove(position)
        task.call.found.append((position, result))


def _take_up_again(task: _Task) -> None:
    """Decide what becomes of a task whose process died while it worked on it."""
    call, left = task.call, [position for position in task.positions if position in task.missing]
    task.deaths += 1
    if not left:
        call.n_open -= 1
    elif task.deaths == 1:
        call.waiting.appendleft(task)
    elif len(left) == 1 and len(task.positions) == 1:
        call.found.append((left[0], None))
        call.n_open -= 1
    else:
        middle = max(len(left) // 2, 1)
        halves = [_Task(half, call, deaths=1) for half in (left[:middle], left[middle:]) if half]
        call.waiting.extendleft(reversed(halves))
        call.n_open += len(halves) - 1


def _serve(connection: Connection, parent: int, start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Work in a process until the pipe is closed or the parent is gone."""
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, tasks), daemon=True).start()
    try:
        start(*arguments)
        connection.send(("ready",))
        while True:
            function, items, further = tasks.get()
            for place, result in function(items, *further):
                connection.send(("result", place, result))
            connection.send(("done",))
    except BrokenPipeError:
        return
    except Exception as error:  # noqa: BLE001 - the parent raises it
        connection.send(("failed", f"{type(error).__name__}: {error}", traceback.format_exc()))


def _listen(connection: Connection, tasks: queue.SimpleQueue[Any]) -> None:
    """Take tasks as they come, so that a parent that sends never waits for a child that sends."""
    while True:
        try:
            tasks.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(1)
