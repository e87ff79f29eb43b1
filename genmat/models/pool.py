"""Worker processes that each hold one potential: on a CPU, one thread each, side by side."""

from __future__ import annotations

import ctypes
import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from genmat.models.potentials import get_potential
from genmat.models.protocol import Failure, Relaxation
from genmat.models.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from pymatgen.core.structure import Structure
    from torch_sim.models.interface import ModelInterface

    from genmat.models.potentials import Potential
    from genmat.models.protocol import RelaxProtocol

logger = logging.getLogger(__name__)

GROUP = (4, 8)
"""Fewest and most crystals of a group on a CPU, else a quarter of all: large ones are faster, small ones spread."""
GPU_GROUP_ATOMS = 65_536
"""Atoms of a group on a GPU, eight batches (:data:`genmat.models.memory.GPU_ATOMS`): what waits keeps them full."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of ``malloc.h``."""
EVALUATED_AT_ONCE = 64
"""Crystals of one evaluation task."""


class PotentialPool:
    """Processes that evaluate and relax crystals with one potential.

    Parameters
    ----------
    potential
        Name of the potential.
    workers
        Number of processes on a CPU, each with one thread; one process feeds a GPU.
    device
        Where the model runs: ``cpu``, ``cuda``, ``cuda:1``, or ``auto`` for a GPU where there is one.

    Notes
    -----
    Processes are started at the first use. They end with :meth:`close`, and by themselves when the process that
    started them is gone. One that dies is replaced, and what it had not finished is done again.
    """

    def __init__(self, potential: str, *, workers: int, device: str = "cpu") -> None:
        self.potential = get_potential(potential)
        if device != "cpu":
            from genmat.models.potentials.devices import get_device

            device = str(get_device(device))
        self.is_gpu = device != "cpu"
        self.workers = 1 if self.is_gpu else workers
        self._processes = Workers(self.workers, _start_worker, (self.potential, device))

    def __enter__(self) -> Self:
        """Return the pool."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the pool."""
        self.close()

    def close(self) -> None:
        """End the processes and drop their work."""
        self._processes.close()

    def relax(
        self, structures: Mapping[str, Structure], *, missing: Collection[str], protocol: RelaxProtocol
    ) -> Iterator[tuple[str, Relaxation]]:
        """Relax crystals; yield name and outcome in order of completion.

        Parameters
        ----------
        structures
            Ordered crystals by name.
        missing
            Names whose outcome is wanted.
        protocol
            Convergence and limits.

        Notes
        -----
        Crystals are relaxed in groups, of 4 to 8 crystals on a CPU and of ``GPU_GROUP_ATOMS`` atoms on a GPU, that
        depend on ``structures`` alone, whatever is missing: floats depend on what shares a batch, so a resumed run gets
        the bits of an undisturbed one. A yielded crystal may be one that was not missing. What a process has relaxed
        before it dies is not lost, and a crystal that kills its process again and again comes back with
        ``Failure.EVALUATION_FAILED``.
        """
        order = sorted(structures, key=lambda name: (-len(structures[name]), name))  # the long ones first
        groups = list(_groups(order, [len(structures[name]) for name in order], by_atoms=self.is_gpu))
        place = {name: position for position, name in enumerate(order)}
        wanted = [[place[name] for name in group] for group in groups if not set(group).isdisjoint(missing)]
        items = [structures[name] for name in order]
        for position, outcome in self._processes.map(_relax_task, items, wanted, protocol):
            yield order[position], outcome or Relaxation.without_result(items[position], Failure.EVALUATION_FAILED)

    def evaluate(self, structures: Sequence[Structure]) -> Iterator[tuple[int, float]]:
        """Yield the position and the total energy (eV per cell) of each crystal; NaN where there is none."""
        order = sorted(range(len(structures)), key=lambda i: -len(structures[i]))
        groups = [order[start : start + EVALUATED_AT_ONCE] for start in range(0, len(order), EVALUATED_AT_ONCE)]
        for position, energy in self._processes.map(_evaluate_task, structures, groups):
            yield position, float("nan") if energy is None else energy


def _groups(names: Sequence[str], sizes: Sequence[int], *, by_atoms: bool) -> Iterator[list[str]]:
    """Yield what is relaxed together, in the given order."""
    most = min(max(-(-len(names) // 4), GROUP[0]), GROUP[1])
    group: list[str] = []
    atoms = 0
    for name, size in zip(names, sizes, strict=True):
        is_full = atoms + size > GPU_GROUP_ATOMS if by_atoms else len(group) == most
        if group and is_full:
            yield group
            group, atoms = [], 0
        group.append(name)
        atoms += size
    if group:
        yield group


_worker: list[tuple[ModelInterface, Potential]] = []
"""In a worker process: its model and the potential that it is of."""


def _start_worker(potential: Potential, device: str) -> None:
    import torch

    torch.set_num_threads(1)
    _keep_memory()
    _worker.append((potential.load(device=device), potential))


def _keep_memory() -> None:
    """Let glibc keep what is freed: each evaluation asks for the same again, and new pages cost a tenth of its time."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**30)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def _relax_task(structures: list[Structure], protocol: RelaxProtocol) -> Iterator[tuple[int, Relaxation]]:
    from genmat.models.relaxation import relax

    model, potential = _worker[0]
    relaxed = relax(structures, model=model, protocol=protocol, atomic_numbers=potential.atomic_numbers)
    for position, outcome in relaxed:
        if not math.isfinite(outcome.energy):
            yield position, outcome
            continue
        # Added once, at the end: no force depends on it, and a bond of oxygen that breaks on the way makes no step.
        corrected = outcome.shifted(_correction(potential, outcome.structure))
        if not math.isfinite(corrected.energy):
            failure = outcome.failure or Failure.EVALUATION_FAILED
            corrected = replace(corrected, converged=False, failure=failure)
        yield position, corrected


def _evaluate_task(structures: list[Structure]) -> Iterator[tuple[int, float]]:
    from genmat.models.relaxation import evaluate

    model, potential = _worker[0]
    for position, energy in evaluate(structures, model=model):
        yield position, energy + _correction(potential, structures[position])


def _correction(potential: Potential, structure: Structure) -> float:
    """Return what is added to an energy, eV per cell; NaN where the scheme has no answer for a geometry."""
    try:
        return potential.correction(structure)
    except Exception as err:  # noqa: BLE001 - rules made for sane crystals, asked about whatever was generated
        logger.warning("no correction of %s by %s: %s", structure.formula, potential.name, str(err).partition("\n")[0])
        return math.nan
