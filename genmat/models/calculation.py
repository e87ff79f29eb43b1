"""Energies, forces and stresses at given geometries, ions relaxed in given cells, and short molecular dynamics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch_sim as ts
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from torch_sim.integrators.npt import npt_crescale_init, npt_crescale_isotropic_step
from torch_sim.integrators.nvt import nvt_langevin_init, nvt_langevin_step
from torch_sim.units import MetalUnits

from genmat.models.protocol import RelaxProtocol
from genmat.models.relaxation import EV_PER_CUBIC_ANGSTROM_IN_GPA, relax

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch_sim.models.interface import ModelInterface

BATCH_ATOMS = 256
"""Atoms that are evaluated together."""

EVERY = 10
"""Steps of molecular dynamics between two kept geometries."""


@dataclass(frozen=True, slots=True, eq=False)
class Calculated:
    """A crystal evaluated at its own geometry.

    Parameters
    ----------
    energy
        eV per cell.
    forces
        eV/Å, shape (n, 3).
    stress
        GPa, positive under tension, shape (3, 3).
    """

    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]


def calculate(structures: Sequence[Structure], *, model: ModelInterface) -> list[Calculated]:
    """Return energy, forces and stress of each crystal at its own geometry."""
    found: list[Calculated] = []
    batch: list[Structure] = []
    for structure in structures:
        if batch and sum(map(len, batch)) + len(structure) > BATCH_ATOMS:
            found += _evaluate(batch, model)
            batch = []
        batch.append(structure)
    return [*found, *_evaluate(batch, model)] if batch else found


def _evaluate(structures: list[Structure], model: ModelInterface) -> list[Calculated]:
    output: Any = model(ts.initialize_state(structures, model.device, model.dtype))
    ends = np.cumsum([len(structure) for structure in structures])[:-1]
    forces = np.split(output["forces"].detach().cpu().numpy().astype(np.float64), ends)
    stresses = output["stress"].detach().cpu().numpy().astype(np.float64) * EV_PER_CUBIC_ANGSTROM_IN_GPA
    energies = output["energy"].tolist()
    return [Calculated(*numbers) for numbers in zip(energies, forces, stresses, strict=True)]


def relax_ions(
    structures: Sequence[Structure], *, model: ModelInterface, fmax: float, max_steps: int = 200
) -> list[Structure | None]:
    """Return the crystals with their ions relaxed in the cells they have; ``None`` for one that does not converge.

    Parameters
    ----------
    structures
        Ordered crystals.
    model
        Potential.
    fmax
        Largest force that is left, eV/Å.
    max_steps
        Steps before one is given up.
    """
    protocol = RelaxProtocol(fmax=fmax, max_steps=max_steps, cell=False)
    elements = frozenset(number for structure in structures for number in structure.atomic_numbers)
    outcomes = dict(relax(structures, model=model, protocol=protocol, atomic_numbers=elements))
    return [outcomes[place].structure if outcomes[place].failure is None else None for place in range(len(structures))]


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """Molecular dynamics of one supercell.

    Parameters
    ----------
    start
        Supercell at the beginning.
    fractions
        Unwrapped fractional coordinates of the kept geometries, shape (k, n, 3).
    cells
        Their cells, rows a, b, c, Å, shape (k, 3, 3).
    temperatures
        Kinetic temperatures, K, shape (k,).
    """

    start: Structure
    fractions: NDArray[np.float64]
    cells: NDArray[np.float64]
    temperatures: NDArray[np.float64]


def molecular_dynamics(
    structure: Structure,
    *,
    model: ModelInterface,
    temperature: float,
    n_steps: int,
    timestep: float = 2.0,
    pressure: float | None = None,
    seed: int = 0,
) -> Trajectory:
    """Return the motion of a supercell at a temperature.

    Parameters
    ----------
    structure
        Supercell.
    model
        Potential.
    temperature
        K.
    n_steps
        Steps.
    timestep
        fs.
    pressure
        GPa, held by a stochastic barostat that scales the cell isotropically; ``None`` for a fixed cell.
    seed
        Of velocities and noise.
    """
    units = MetalUnits
    step = torch.as_tensor(timestep * 1e-3 * float(units.time), dtype=model.dtype, device=model.device)
    thermal = torch.as_tensor(temperature * float(units.temperature), dtype=model.dtype, device=model.device)
    state: Any = ts.initialize_state([structure], model.device, model.dtype)
    state.rng = seed
    if pressure is None:
        state = nvt_langevin_init(state, model, kT=thermal)
    else:
        state = npt_crescale_init(state, model, kT=thermal, dt=step)
    target = torch.as_tensor(
        0.0 if pressure is None else pressure / EV_PER_CUBIC_ANGSTROM_IN_GPA, dtype=model.dtype, device=model.device
    )
    positions, cells, temperatures = [], [], []
    for number in range(n_steps):
        if pressure is None:
            state = nvt_langevin_step(state, model, dt=step, kT=thermal)
        else:
            state = npt_crescale_isotropic_step(state, model, dt=step, kT=thermal, external_pressure=target)
        if number % EVERY == EVERY - 1:
            cell = state.cell[0].T.detach().cpu().numpy().astype(np.float64)
            cells.append(cell)
            positions.append(state.positions.detach().cpu().numpy().astype(np.float64) @ np.linalg.inv(cell))
            kinetic = float((state.momenta**2 / state.masses[:, None]).sum()) / 2.0
            temperatures.append(2.0 * kinetic / (3.0 * len(structure) * float(units.temperature)))
    start = Structure(Lattice(structure.lattice.matrix), structure.species, structure.frac_coords)
    return Trajectory(start, _unwrapped(np.array(positions)), np.array(cells), np.array(temperatures))


def _unwrapped(fractions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return coordinates without jumps by whole cells from one geometry to the next."""
    jumps = np.round(np.diff(fractions, axis=0))
    fractions[1:] -= np.cumsum(jumps, axis=0)
    return fractions
