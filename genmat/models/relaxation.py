"""Batched relaxation of crystals, positions and cell together, in flight: one leaves when it is done, the next enters.

Results of one crystal do not depend on its companions in a batch, beyond floating-point noise. Nothing here raises
because a crystal is bad: it comes back with a :class:`Failure`.
"""

from __future__ import annotations

import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch_sim as ts
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.models.descent import Descent
from genmat.models.memory import Fitting, batch_limit
from genmat.models.protocol import Failure, Relaxation, RelaxProtocol
from genmat.models.staging import MINIMUM_VOLUME_PER_ATOM, Crystal, Next, Point

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch_sim.models.interface import ModelInterface

logger = logging.getLogger(__name__)

EV_PER_CUBIC_ANGSTROM_IN_GPA = 160.21766208
"""1 eV/Å³ in GPa (CODATA 2018)."""


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

    Notes
    -----
    What has converged is built as it will be returned and evaluated once more, in one batch with what still moves; the
    energy, ``fmax`` and ``smax`` of the outcome are of that evaluation. Where it does not hold, the crystal goes on.

    With ``protocol.rattle`` there are three stages: as it is, so that the crystal keeps its symmetry, down to
    four times the forces and stress asked for; displaced and free, down to what is asked for; set on the
    symmetry that it has then (:mod:`genmat.models.staging`), unless that costs energy.
    """
    accepted = []
    structures = [_right_handed(structure) for structure in structures]
    for index, structure in enumerate(structures):
        failure = _failure_before_start(structure, atomic_numbers)
        if failure is None:
            accepted.append(Crystal(index, structure, structure))
        else:
            yield index, Relaxation.without_result(structure, failure)
    accepted.sort(key=lambda crystal: -len(crystal.start))  # what leaves makes room for the next, which is no larger
    yield from _relax_in_flight(deque(accepted), Fitting(model), protocol, batch_atoms)


def evaluate(
    structures: Sequence[Structure], *, model: ModelInterface, batch_atoms: int | None = None
) -> Iterator[tuple[int, float]]:
    """Yield the position and the total energy (eV per cell) of each crystal at its own geometry."""
    energy_only: Any = getattr(model, "energy_only", None)
    evaluator = Fitting(model if energy_only is None else energy_only(), limited_as=model)
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


def _relax_in_flight(
    waiting: deque[Crystal], model: Fitting, protocol: RelaxProtocol, batch_atoms: int | None
) -> Iterator[tuple[int, Relaxation]]:
    moving: list[Crystal] = []
    descent: Descent | None = None
    converged: list[Crystal] = []  # waits for its last evaluation
    while waiting or moving or converged:
        entering = _entering(waiting, moving + converged, batch_atoms or batch_limit(model.model))
        if entering:
            start = Descent.from_state(_state([crystal.geometry for crystal in entering], model))
            descent = start if descent is None else descent.joined(start)
            moving += entering
        states = [] if descent is None else [descent.state(model.dtype)]
        if converged:
            states.append(_state([crystal.geometry for crystal in converged], model))
        state: Any = states[0] if len(states) == 1 else ts.concatenate_states(states)
        found, points = _evaluate(state, model)

        judged = [
            (crystal, crystal.checked(point, protocol))
            for crystal, point in zip(converged, points[len(moving) :], strict=True)
        ]
        keep = []
        for position, (crystal, point) in enumerate(zip(moving, points, strict=False)):
            item = crystal.stepped(point, protocol, partial(_geometry, state, position))
            keep.append(item is Next.MOVE)
            judged.append((crystal, item))
        waiting.extendleft(crystal for crystal, item in judged if item is Next.ENTER)
        converged = [crystal for crystal, item in judged if item is Next.CHECK]
        yield from ((crystal.index, item) for crystal, item in judged if isinstance(item, Relaxation))
        moving = [crystal for crystal, stays in zip(moving, keep, strict=True) if stays]
        if descent is None or not moving:
            descent = None
            continue
        stay = torch.tensor(keep, device=model.device)
        atoms = stay.repeat_interleave(descent.n_atoms)
        forces, stress = found["forces"][: len(atoms)][atoms], found["stress"][: len(stay)][stay]
        descent = (descent if all(keep) else descent.kept(stay)).moved(forces, stress, cell=protocol.cell)


def _entering(waiting: deque[Crystal], present: Sequence[Crystal], batch_atoms: int) -> list[Crystal]:
    """Take from the front of the queue what there is room for, at least one crystal if the batch is empty."""
    room = batch_atoms - sum(len(crystal.start) for crystal in present)
    entering: list[Crystal] = []
    while waiting and (len(waiting[0].start) <= room or not (present or entering)):
        entering.append(waiting.popleft())
        room -= len(entering[-1].start)
    return entering


def _evaluate(state: Any, model: ModelInterface) -> tuple[dict[str, torch.Tensor], list[Point]]:
    """Evaluate a batch; if that raises, find the crystals that raise alone, so that only they fail."""
    try:
        found = model(state)
        was_evaluated = True
    except (RuntimeError, ValueError, IndexError, MemoryError, np.linalg.LinAlgError) as error:
        n = state.n_systems
        if n > 1:
            halves = [_evaluate(state[part], model) for part in (list(range(n // 2)), list(range(n // 2, n)))]
            both = {name: torch.cat([half[name] for half, _ in halves]) for name in ("energy", "forces", "stress")}
            return both, halves[0][1] + halves[1][1]
        logger.warning("evaluation of a crystal of %d atoms failed: %s", state.n_atoms, error)
        nan = torch.full_like(state.positions, torch.nan)
        found = {"energy": nan[:1, 0], "forces": nan, "stress": torch.full_like(state.cell, torch.nan)}
        was_evaluated = False
    lengths = found["forces"].norm(dim=1)
    fmax = lengths.new_zeros(state.n_systems).scatter_reduce_(0, state.system_idx, lengths, "amax")
    smax = found["stress"].abs().amax(dim=(1, 2)) * EV_PER_CUBIC_ANGSTROM_IN_GPA
    columns = (x.tolist() for x in (found["energy"], fmax, smax, torch.linalg.det(state.cell).abs()))
    rows: Iterator[tuple[float, float, float, float]] = zip(*columns, strict=True)
    return found, [Point(*row, was_evaluated=was_evaluated) for row in rows]


def _geometry(state: Any, position: int, start: Structure) -> Structure:
    lattice = Lattice(state.cell[position].T.cpu().numpy())
    coordinates = state.positions[state.system_idx == position].cpu().numpy()
    return Structure(lattice, start.species, coordinates, coords_are_cartesian=True, to_unit_cell=True)
