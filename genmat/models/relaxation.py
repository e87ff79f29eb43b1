"""Batched relaxation of crystals, positions and cell together, in flight: one leaves when it is done, the next enters.

Results of one crystal do not depend on its companions in a batch, beyond floating-point noise. Nothing here raises
because a crystal is bad: it comes back with a :class:`Failure`.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch_sim as ts
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.models.descent import Descent
from genmat.models.memory import Fitting, batch_limit
from genmat.models.protocol import Failure, Relaxation, RelaxProtocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch_sim.models.interface import ModelInterface

logger = logging.getLogger(__name__)

EV_PER_CUBIC_ANGSTROM_IN_GPA = 160.21766208
"""1 eV/Å³ in GPa (CODATA 2018)."""
MINIMUM_VOLUME_PER_ATOM = 2.0
"""Å³/atom below which no potential is asked: its neighbour lists would not fit in memory (carbon at 1 TPa has 3.3)."""

CELL_LENGTH = 5.0
"""Length by which a displacement (Å) becomes a strain of the cell."""
LEAST_GAIN = 0.001
"""Energy that a displaced crystal must lose to count as another one, eV/atom."""


@dataclass(slots=True)
class _Crystal:
    """A crystal in flight: ``geometry`` is where it enters, ``energies`` (eV/atom), ``volumes`` (Å³/atom) its path."""

    index: int
    start: Structure
    geometry: Structure
    energies: list[float] = field(default_factory=list)
    volumes: list[float] = field(default_factory=list)
    before: Relaxation | None = None
    """Outcome before the crystal was displaced."""

    @property
    def n_steps(self) -> int:
        return len(self.energies) - 1


@dataclass(frozen=True, slots=True)
class _Point:
    """What the potential says about a geometry: energy (eV), fmax (eV/Å), smax (GPa); its volume (Å³)."""

    energy: float
    fmax: float
    smax: float
    volume: float
    was_evaluated: bool

    def is_converged(self, protocol: RelaxProtocol) -> bool:
        return self.fmax < protocol.fmax and (not protocol.cell or self.smax < protocol.smax)

    def failure(self, start: Structure, protocol: RelaxProtocol) -> Failure | None:
        if not self.was_evaluated:
            return Failure.EVALUATION_FAILED
        if not np.isfinite([self.energy, self.fmax, self.smax, self.volume]).all():
            return Failure.NOT_FINITE
        ratio = self.volume / start.volume
        if ratio < protocol.min_volume_ratio or self.volume / len(start) < MINIMUM_VOLUME_PER_ATOM:
            return Failure.VOLUME_COLLAPSED
        return Failure.VOLUME_EXPLODED if ratio > protocol.max_volume_ratio else None


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
    """
    accepted = []
    structures = [_right_handed(structure) for structure in structures]
    for index, structure in enumerate(structures):
        failure = _failure_before_start(structure, atomic_numbers)
        if failure is None:
            accepted.append(_Crystal(index, structure, structure))
        else:
            yield index, Relaxation.without_result(structure, failure)
    accepted.sort(key=lambda crystal: -len(crystal.start))  # what leaves makes room for the next, which is no larger
    yield from _relax_in_flight(deque(accepted), Fitting(model), protocol, batch_atoms)


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
    waiting: deque[_Crystal], model: Fitting, protocol: RelaxProtocol, batch_atoms: int | None
) -> Iterator[tuple[int, Relaxation]]:
    moving: list[_Crystal] = []
    descent: Descent | None = None
    converged: list[_Crystal] = []  # waits for its last evaluation
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

        for crystal, point in zip(converged, points[len(moving) :], strict=True):
            failure = point.failure(crystal.start, protocol)
            holds = failure is None and point.is_converged(protocol)
            if not holds and failure is None and crystal.n_steps < protocol.max_steps:
                waiting.appendleft(crystal)
                continue
            crystal.energies[-1] = point.energy / len(crystal.start)
            outcome = _relaxation(crystal, point, None if holds else failure or Failure.NOT_CONVERGED)
            if holds and protocol.rattle and crystal.before is None:
                crystal.before, crystal.geometry = outcome, _displaced(outcome.structure, protocol)
                waiting.appendleft(crystal)
                continue
            yield crystal.index, _lower(crystal.before, outcome)
        converged = []
        keep = []
        for position, (crystal, point) in enumerate(zip(moving, points, strict=False)):
            crystal.energies.append(point.energy / len(crystal.start))
            crystal.volumes.append(point.volume / len(crystal.start))
            failure = point.failure(crystal.start, protocol)
            is_last = crystal.n_steps >= protocol.max_steps
            is_converged = failure is None and point.is_converged(protocol)
            keep.append(failure is None and not is_converged and not is_last)
            if failure not in {Failure.NOT_FINITE, Failure.EVALUATION_FAILED} and not keep[-1]:
                crystal.geometry = _geometry(state, position, crystal.start)
            if is_converged:
                converged.append(crystal)
            elif not keep[-1]:
                outcome = _relaxation(crystal, point, failure or Failure.NOT_CONVERGED)
                yield crystal.index, _lower(crystal.before, outcome)
        moving = [crystal for crystal, stays in zip(moving, keep, strict=True) if stays]
        if descent is None or not moving:
            descent = None
            continue
        stay = torch.tensor(keep, device=model.device)
        atoms = stay.repeat_interleave(descent.n_atoms)
        forces, stress = found["forces"][: len(atoms)][atoms], found["stress"][: len(stay)][stay]
        descent = (descent if all(keep) else descent.kept(stay)).moved(forces, stress, cell=protocol.cell)


def _displaced(structure: Structure, protocol: RelaxProtocol) -> Structure:
    """Return a crystal with every atom and the cell moved a little, always in the same way."""
    random = np.random.default_rng(0)
    moves = random.normal(scale=protocol.rattle, size=(len(structure), 3))
    strain = random.normal(scale=protocol.rattle / CELL_LENGTH, size=(3, 3)) * protocol.cell
    lattice = Lattice(structure.lattice.matrix @ (np.eye(3) + 0.5 * (strain + strain.T)))
    sites = structure.frac_coords + moves @ np.linalg.inv(structure.lattice.matrix)
    return Structure(lattice, structure.species, sites)


def _lower(before: Relaxation | None, after: Relaxation) -> Relaxation:
    """Return what a crystal is after it was displaced: the outcome before unless the later one is lower."""
    if before is None:
        return after
    gain = before.energy_per_atom - after.energy_per_atom
    if after.converged and gain > LEAST_GAIN:
        return replace(after, rattle_gain=gain)
    return replace(before, rattle_gain=0.0)


def _entering(waiting: deque[_Crystal], present: Sequence[_Crystal], batch_atoms: int) -> list[_Crystal]:
    """Take from the front of the queue what there is room for, at least one crystal if the batch is empty."""
    room = batch_atoms - sum(len(crystal.start) for crystal in present)
    entering: list[_Crystal] = []
    while waiting and (len(waiting[0].start) <= room or not (present or entering)):
        entering.append(waiting.popleft())
        room -= len(entering[-1].start)
    return entering


def _evaluate(state: Any, model: ModelInterface) -> tuple[dict[str, torch.Tensor], list[_Point]]:
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
    return found, [_Point(*row, was_evaluated=was_evaluated) for row in rows]


def _geometry(state: Any, position: int, start: Structure) -> Structure:
    lattice = Lattice(state.cell[position].T.cpu().numpy())
    coordinates = state.positions[state.system_idx == position].cpu().numpy()
    return Structure(lattice, start.species, coordinates, coords_are_cartesian=True, to_unit_cell=True)


def _relaxation(crystal: _Crystal, point: _Point, failure: Failure | None) -> Relaxation:
    if failure is Failure.EVALUATION_FAILED:
        return Relaxation.without_result(crystal.start, failure)
    return Relaxation(
        structure=crystal.start if failure is Failure.NOT_FINITE else crystal.geometry,
        energy=point.energy,
        fmax=point.fmax,
        smax=point.smax,
        n_steps=crystal.n_steps,
        converged=failure is None,
        failure=failure,
        energies=tuple(crystal.energies),
        volumes=tuple(crystal.volumes),
    )
