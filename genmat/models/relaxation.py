"""Batched relaxation of crystals, positions and cell together, with torch-sim's optimisers.

Results of one crystal do not depend on its companions in a batch, beyond floating-point noise. Nothing here raises
because a crystal is bad: it comes back with a :class:`Failure`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch_sim as ts
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from torch_sim.optimizers.fire import fire_init, fire_step
from torch_sim.optimizers.lbfgs import lbfgs_init, lbfgs_step

from genmat.models.memory import Fitting, bare_state, batch_limit
from genmat.models.protocol import Failure, Relaxation, RelaxProtocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch_sim.models.interface import ModelInterface

logger = logging.getLogger(__name__)

EV_PER_CUBIC_ANGSTROM_IN_GPA = 160.21766208
"""1 eV/Å³ in GPa (CODATA 2018)."""
MINIMUM_VOLUME_PER_ATOM = 2.0
"""Å³/atom below which no potential is asked: its neighbour lists would not fit in memory (carbon at 1 TPa has 3.3)."""
LBFGS_STIFFNESS = 50.0
"""Diagonal of the initial Hessian, eV/Å²."""
MAX_STEP = 0.1
"""Longest step of one degree of freedom of L-BFGS, Å."""
LBFGS_STEPS = 50
"""Steps of L-BFGS before FIRE takes over: near a minimum L-BFGS needs half of FIRE's steps, but far from one it can
wander (measured in ``benchmarks/bench_relaxation.py``)."""


@dataclass(slots=True)
class _Running:
    """A crystal in the batch."""

    index: int
    n_atoms: int
    start_volume: float
    energies: list[float]
    volumes: list[float]


def relax(
    structures: Sequence[Structure],
    *,
    model: ModelInterface,
    protocol: RelaxProtocol,
    atomic_numbers: frozenset[int],
    batch_atoms: int | None = None,
) -> Iterator[tuple[int, Relaxation]]:
    """Relax crystals and yield each as soon as it is done.

    Parameters
    ----------
    structures
        Ordered crystals.
    model
        Potential.
    protocol
        Convergence and limits.
    atomic_numbers
        Elements that the potential supports.
    batch_atoms
        Atoms that are evaluated together; default: what suits the device and fits into its memory.

    Yields
    ------
    tuple
        Position in ``structures`` and outcome, in order of completion.
    """
    accepted = []
    structures = [_right_handed(structure) for structure in structures]
    for index, structure in enumerate(structures):
        failure = _failure_before_start(structure, atomic_numbers)
        if failure is None:
            accepted.append(index)
        else:
            yield index, _without_result(structure, failure)
    accepted.sort(key=lambda i: len(structures[i]))
    batch_atoms = batch_atoms or batch_limit(model)
    for batch in _batches(accepted, [len(structures[i]) for i in accepted], batch_atoms):
        yield from _relax_batch_safely(structures, batch, Fitting(model), protocol)


def evaluate(
    structures: Sequence[Structure], *, model: ModelInterface, batch_atoms: int | None = None
) -> Iterator[tuple[int, float]]:
    """Yield the position and the total energy (eV per cell) of each crystal at its own geometry."""
    energy_only: Any = getattr(model, "energy_only", None)
    evaluator = Fitting(model if energy_only is None else energy_only())
    batch_atoms = batch_atoms or batch_limit(model)
    order = sorted(range(len(structures)), key=lambda i: len(structures[i]))
    for batch in _batches(order, [len(structures[i]) for i in order], batch_atoms):
        energies = evaluator(_state([structures[i] for i in batch], model))["energy"].tolist()
        yield from zip(batch, energies, strict=True)


def _right_handed(structure: Structure) -> Structure:
    """Return the same crystal with axes whose determinant is positive; torch-sim's cell forces take its sign along."""
    matrix = structure.lattice.matrix
    if not np.linalg.det(matrix) < 0:
        return structure
    return Structure(Lattice(-matrix), structure.species, structure.cart_coords, coords_are_cartesian=True)


def _failure_before_start(structure: Structure, atomic_numbers: frozenset[int]) -> Failure | None:
    if not atomic_numbers.issuperset(structure.atomic_numbers):
        return Failure.UNSUPPORTED_ELEMENT
    if not (np.isfinite(structure.lattice.matrix).all() and np.isfinite(structure.frac_coords).all()):
        return Failure.NOT_FINITE
    if structure.volume / len(structure) < MINIMUM_VOLUME_PER_ATOM:
        return Failure.VOLUME_COLLAPSED
    return None


def _without_result(structure: Structure, failure: Failure) -> Relaxation:
    nan = float("nan")
    return Relaxation(structure, nan, nan, nan, 0, converged=False, failure=failure, energies=(), volumes=())


def _batches(order: list[int], sizes: list[int], batch_atoms: int) -> Iterator[list[int]]:
    batch: list[int] = []
    atoms = 0
    for index, size in zip(order, sizes, strict=True):
        if batch and atoms + size > batch_atoms:
            yield batch
            batch, atoms = [], 0
        batch.append(index)
        atoms += size
    if batch:
        yield batch


def _state(structures: list[Structure], model: ModelInterface) -> ts.SimState:
    return ts.initialize_state(structures, model.device, model.dtype)


def _relax_batch_safely(
    structures: Sequence[Structure], batch: list[int], model: ModelInterface, protocol: RelaxProtocol
) -> Iterator[tuple[int, Relaxation]]:
    """Relax a batch; if its evaluation raises, relax its crystals one by one so that only the bad one fails."""
    done = set()
    try:
        for index, relaxation in _relax_batch(structures, batch, model, protocol):
            done.add(index)
            yield index, relaxation
    except (RuntimeError, ValueError, IndexError, MemoryError, np.linalg.LinAlgError) as error:
        remaining = [index for index in batch if index not in done]
        if len(remaining) == 1:
            logger.warning("relaxation of crystal %d failed: %s", remaining[0], error)
            yield remaining[0], _without_result(structures[remaining[0]], Failure.EVALUATION_FAILED)
            return
        for index in remaining:
            yield from _relax_batch_safely(structures, [index], model, protocol)


def _relax_batch(
    structures: Sequence[Structure], batch: list[int], model: ModelInterface, protocol: RelaxProtocol
) -> Iterator[tuple[int, Relaxation]]:
    state: Any = _state([structures[i] for i in batch], model)
    cell_filter = ts.CellFilter.frechet if protocol.cell else None
    state = lbfgs_init(state, model, cell_filter=cell_filter, alpha=LBFGS_STIFFNESS)
    running = [_Running(i, len(structures[i]), structures[i].volume, [], []) for i in batch]
    for step in range(protocol.max_steps + 1):
        finished = _finished(state, running, protocol, is_last=step == protocol.max_steps)
        for position, failure, numbers in finished:
            crystal = running[position]
            yield crystal.index, _relaxation(state, position, structures[crystal.index], crystal, failure, numbers)
        if finished:
            gone = {position for position, _, _ in finished}
            running = [crystal for position, crystal in enumerate(running) if position not in gone]
            if not running:
                return
            state.pop(sorted(gone))
        if step == LBFGS_STEPS:
            state = fire_init(bare_state(state), model, cell_filter=cell_filter)
        is_near = step < LBFGS_STEPS
        state = lbfgs_step(state, model, max_step=MAX_STEP) if is_near else fire_step(state, model)


_Numbers = tuple[float, float, bool]


def _finished(
    state: Any, running: list[_Running], protocol: RelaxProtocol, *, is_last: bool
) -> list[tuple[int, Failure | None, _Numbers]]:
    """Record this step and return what is done: position in the batch, failure, (fmax, smax, converged)."""
    forces = ts.system_wise_max_force(state).tolist()
    stresses = (state.stress.abs().amax(dim=(1, 2)) * EV_PER_CUBIC_ANGSTROM_IN_GPA).tolist()
    energies = state.energy.tolist()
    volumes = torch.linalg.det(state.cell).abs().tolist()
    finished: list[tuple[int, Failure | None, _Numbers]] = []
    for position, crystal in enumerate(running):
        crystal.energies.append(energies[position] / crystal.n_atoms)
        crystal.volumes.append(volumes[position] / crystal.n_atoms)
        ratio = volumes[position] / crystal.start_volume
        converged = forces[position] < protocol.fmax and (not protocol.cell or stresses[position] < protocol.smax)
        failure = None
        if not np.isfinite([forces[position], stresses[position], energies[position], ratio]).all():
            failure = Failure.NOT_FINITE
        elif ratio < protocol.min_volume_ratio or crystal.volumes[-1] < MINIMUM_VOLUME_PER_ATOM:
            failure = Failure.VOLUME_COLLAPSED
        elif ratio > protocol.max_volume_ratio:
            failure = Failure.VOLUME_EXPLODED
        elif is_last and not converged:
            failure = Failure.NOT_CONVERGED
        if converged or failure is not None:
            numbers = (forces[position], stresses[position], converged and failure is None)
            finished.append((position, failure, numbers))
    return finished


def _relaxation(
    state: Any, position: int, start: Structure, crystal: _Running, failure: Failure | None, numbers: _Numbers
) -> Relaxation:
    fmax, smax, converged = numbers
    outcome = Relaxation(
        structure=start,
        energy=float(state.energy[position]),
        fmax=fmax,
        smax=smax,
        n_steps=len(crystal.energies) - 1,
        converged=converged,
        failure=failure,
        energies=tuple(crystal.energies),
        volumes=tuple(crystal.volumes),
    )
    if failure is Failure.NOT_FINITE:
        return outcome
    atoms = state.system_idx == position
    lattice = Lattice(state.cell[position].T.cpu().numpy())
    coordinates = state.positions[atoms].cpu().numpy()
    relaxed = Structure(lattice, start.species, coordinates, coords_are_cartesian=True, to_unit_cell=True)
    return replace(outcome, structure=relaxed)
