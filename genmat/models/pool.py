"""Worker processes that each hold one potential: on a CPU, one thread each, side by side."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import TYPE_CHECKING, Self

from genmat.models.potentials import get_potential

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pymatgen.core import Structure

    from genmat.models.protocol import Relaxation, RelaxProtocol

PARENT_CHECK_SECONDS = 2.0


class PotentialPool:
    """Processes that evaluate and relax crystals with one potential.

    Parameters
    ----------
    potential
        Name of the potential.
    workers
        Number of processes; each uses one thread.
    device
        Where the model runs.

    Notes
    -----
    Processes are started at the first use. They end with :meth:`close`, and by themselves when the process that
    started them is gone.
    """

    def __init__(self, potential: str, *, workers: int, device: str = "cpu") -> None:
        self.potential = get_potential(potential)
        self.workers = workers
        self._executor = ProcessPoolExecutor(
            max_workers=workers,
            mp_context=get_context("spawn"),
            initializer=_start_worker,
            initargs=(potential, device, os.getpid()),
        )

    def __enter__(self) -> Self:
        """Return the pool."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the pool."""
        self.close()

    def close(self) -> None:
        """End the processes; work that has not begun is dropped."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def relax(
        self, structures: Sequence[Structure], *, protocol: RelaxProtocol, task_size: int = 8
    ) -> Iterator[tuple[int, Relaxation]]:
        """Relax crystals; yield position and outcome in order of completion.

        Parameters
        ----------
        structures
            Ordered crystals.
        protocol
            Convergence and limits.
        task_size
            Crystals per task: what a process that dies loses at most.
        """
        yield from self._map(_relax_task, structures, task_size, protocol)

    def evaluate(self, structures: Sequence[Structure], *, task_size: int = 64) -> Iterator[tuple[int, float]]:
        """Yield the position and the total energy (eV per cell) of each crystal at its own geometry."""
        yield from self._map(_evaluate_task, structures, task_size, None)

    def _map(
        self, task: Callable[..., list[tuple[int, float | Relaxation]]], structures: Sequence[Structure], size: int, extra: object
    ) -> Iterator[tuple[int, float | Relaxation]]:
        order = sorted(range(len(structures)), key=lambda i: -len(structures[i]))  # the long ones first
        tasks = [order[i : i + size] for i in range(0, len(order), size)]
        waiting = iter(tasks)
        pending: dict[Future[list[tuple[int, float | Relaxation]]], list[int]] = {}
        for _ in range(2 * self.workers):
            self._submit_next(waiting, pending, task, structures, extra)
        while pending:
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                indices = pending.pop(future)
                self._submit_next(waiting, pending, task, structures, extra)
                for position, value in future.result():
                    yield indices[position], value

    def _submit_next(self, waiting, pending, task, structures, extra) -> None:  # type: ignore[no-untyped-def]
        indices = next(waiting, None)
        if indices is not None:
            pending[self._executor.submit(task, [structures[i] for i in indices], extra)] = indices


_model = None
_max_atomic_number = 0


def _start_worker(potential: str, device: str, parent: int) -> None:
    global _model, _max_atomic_number  # noqa: PLW0603 - state of this worker process
    import torch

    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    known = get_potential(potential)
    _model, _max_atomic_number = known.load(device=device), known.max_atomic_number


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(1)


def _relax_task(structures: list[Structure], protocol: RelaxProtocol) -> list[tuple[int, Relaxation]]:
    from genmat.models.relaxation import relax

    return list(relax(structures, model=_model, protocol=protocol, max_atomic_number=_max_atomic_number))


def _evaluate_task(structures: list[Structure], _: None) -> list[tuple[int, float]]:
    from genmat.models.relaxation import evaluate

    return list(evaluate(structures, model=_model))
