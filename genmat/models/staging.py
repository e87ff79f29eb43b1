"""The stages of a relaxation: what becomes of a crystal after an evaluation.

Forces and stress have the symmetry of the crystal, so that a symmetric proposal stays symmetric and may end on a saddle
point. Displaced, it leaves that; but what comes back to a symmetric minimum stops a little beside it, where no search
with a tight tolerance sees the symmetry.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.models.protocol import Failure, Relaxation, RelaxProtocol
from genmat.representation.operations import Symmetry

if TYPE_CHECKING:
    from collections.abc import Callable

MINIMUM_VOLUME_PER_ATOM = 2.0
"""Å³/atom below which no potential is asked: its neighbour lists would not fit in memory (carbon at 1 TPa has 3.3)."""
SYMMETRIC_STAGE = 4.0
"""How many times ``fmax`` and ``smax`` a crystal may have left when it is displaced."""
SAME_ENERGY = 0.001
"""Energy within which a crystal and the symmetric one beside it are the same, eV/atom."""

CELL_LENGTH = 5.0
"""Length by which a displacement (Å) becomes a strain of the cell."""
SYMPREC = 0.1
"""Distance within which a relaxed crystal may be symmetric, Å; its energy decides whether it is."""


@dataclass(frozen=True, slots=True)
class Point:
    """What the potential says about a geometry: energy (eV), fmax (eV/Å), smax (GPa); its volume (Å³)."""

    energy: float
    fmax: float
    smax: float
    volume: float
    was_evaluated: bool

    def is_converged(self, protocol: RelaxProtocol, *, times: float = 1.0) -> bool:
        """Return whether forces and stress are below so many times what the protocol asks for."""
        return self.fmax < times * protocol.fmax and (not protocol.cell or self.smax < times * protocol.smax)

    def failure(self, start: Structure, protocol: RelaxProtocol) -> Failure | None:
        """Return why a crystal is given up here, or ``None``."""
        if not self.was_evaluated:
            return Failure.EVALUATION_FAILED
        if not np.isfinite([self.energy, self.fmax, self.smax, self.volume]).all():
            return Failure.NOT_FINITE
        ratio = self.volume / start.volume
        if ratio < protocol.min_volume_ratio or self.volume / len(start) < MINIMUM_VOLUME_PER_ATOM:
            return Failure.VOLUME_COLLAPSED
        return Failure.VOLUME_EXPLODED if ratio > protocol.max_volume_ratio else None


class Next(Enum):
    """What becomes of a crystal that has no outcome yet: it moves on, enters anew, or is evaluated where it ended."""

    MOVE = auto()
    ENTER = auto()
    CHECK = auto()


@dataclass(slots=True)
class Crystal:
    """A crystal in flight: ``geometry`` is where it enters, ``energies`` (eV/atom), ``volumes`` (Å³/atom) its path."""

    index: int
    start: Structure
    geometry: Structure
    energies: list[float] = field(default_factory=list)
    volumes: list[float] = field(default_factory=list)
    symmetric_energy: float | None = None
    """When it was displaced, eV/atom."""
    free: tuple[Structure, float] | None = None
    """Geometry and energy (eV/atom) that it converged to, while the symmetric crystal beside it is tried."""
    symmetries: list[Symmetry | None] = field(default_factory=list)
    """What is to be tried, the last one first; ``None`` for what is found where the crystal has converged."""

    @property
    def n_steps(self) -> int:
        """Steps taken."""
        return len(self.energies) - 1

    def stepped(
        self, point: Point, protocol: RelaxProtocol, geometry: Callable[[Structure], Structure]
    ) -> Next | Relaxation:
        """Return what becomes of a crystal that has moved; ``geometry`` makes its crystal out of the batch."""
        self.energies.append(point.energy / len(self.start))
        self.volumes.append(point.volume / len(self.start))
        failure = point.failure(self.start, protocol)
        is_last = self.n_steps >= protocol.max_steps
        waits_for_rattle = protocol.rattle > 0 and self.symmetric_energy is None and not is_last
        times = SYMMETRIC_STAGE if waits_for_rattle else 1.0
        is_converged = failure is None and point.is_converged(protocol, times=times)
        if failure is None and not is_converged and not is_last:
            return Next.MOVE
        if failure not in {Failure.NOT_FINITE, Failure.EVALUATION_FAILED}:
            self.geometry = geometry(self.start)
        if not is_converged:
            if self.free is None:
                return self._outcome(point, failure or Failure.NOT_CONVERGED)
            return self._symmetric(self.free, protocol)
        if waits_for_rattle:
            self.symmetric_energy = self.energies[-1]
            held = Symmetry.of(self.geometry, symprec=SYMPREC)
            self.symmetries = [None] if held is None else [None, held]
            self.geometry = displaced(self.geometry, rattle=protocol.rattle, cell=protocol.cell)
            return Next.ENTER
        return Next.CHECK if self.free else self._symmetric((self.geometry, self.energies[-1]), protocol)

    def checked(self, point: Point, protocol: RelaxProtocol) -> Next | Relaxation:
        """Return what becomes of a crystal that had converged and was evaluated as it would be returned."""
        failure = point.failure(self.start, protocol)
        holds = failure is None and point.is_converged(protocol)
        goes_on = failure is None and not holds and self.n_steps < protocol.max_steps
        energy = point.energy / len(self.start)
        if self.free and (energy > self.free[1] + SAME_ENERGY or not (holds or goes_on)):
            return self._symmetric(self.free, protocol)
        if goes_on:
            return Next.ENTER
        self.energies[-1], self.volumes[-1] = energy, point.volume / len(self.start)
        return self._outcome(point, None if holds else failure or Failure.NOT_CONVERGED)

    def _symmetric(self, free: tuple[Structure, float], protocol: RelaxProtocol) -> Next:
        """Go to the next symmetric crystal beside one that has converged, or to that one where no other is left."""
        self.geometry, self.free = free[0], None
        while self.symmetries and self.free is None:
            symmetry = self.symmetries.pop() or Symmetry.of(free[0], symprec=SYMPREC)
            if symmetry is not None:
                self.geometry, self.free = symmetry.applied(free[0], cell=protocol.cell), free
        return Next.CHECK

    def _outcome(self, point: Point, failure: Failure | None) -> Relaxation:
        if failure is Failure.EVALUATION_FAILED:
            return Relaxation.without_result(self.start, failure)
        return Relaxation(
            structure=self.start if failure is Failure.NOT_FINITE else self.geometry,
            energy=point.energy,
            fmax=point.fmax,
            smax=point.smax,
            n_steps=self.n_steps,
            converged=failure is None,
            failure=failure,
            energies=tuple(self.energies),
            volumes=tuple(self.volumes),
            rattle_gain=None if self.symmetric_energy is None else self.symmetric_energy - self.energies[-1],
        )


def displaced(structure: Structure, *, rattle: float, cell: bool) -> Structure:
    """Return a crystal with every atom and the cell moved a little, always in the same way.

    Parameters
    ----------
    structure
        Crystal.
    rattle
        Standard deviation of each coordinate, Å.
    cell
        Whether the cell is strained too, by ``rattle / CELL_LENGTH``.
    """
    random = np.random.default_rng(0)
    moves = random.normal(scale=rattle, size=(len(structure), 3))
    strain = random.normal(scale=rattle / CELL_LENGTH, size=(3, 3)) * cell
    lattice = Lattice(structure.lattice.matrix @ (np.eye(3) + 0.5 * (strain + strain.T)))
    sites = structure.frac_coords + moves @ np.linalg.inv(structure.lattice.matrix)
    return Structure(lattice, structure.species, sites)
