"""Minimisation of many crystals at once, each with a memory of its own: L-BFGS near a minimum, FIRE where it wanders.

A crystal of n atoms has n + 3 rows of coordinates, Å: its atoms in the undeformed cell, then n L with L the logarithm
of its deformation F (as in ASE's ``FrechetCellFilter``). A column of the cell is F h₀, an atom sits at F x. Whatever a
crystal remembers belongs to its rows, so that crystals join and leave between evaluations and none sees another.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import torch
import torch_sim as ts

Tensor = torch.Tensor

STIFFNESS = 50.0
"""Diagonal of the initial Hessian of L-BFGS, eV/Å²."""
LONGEST_STEP = 0.1
"""Of a row in a step of L-BFGS, Å."""
MEMORY = 20
"""Steps that L-BFGS remembers."""
LBFGS_STEPS = 50
"""Steps of L-BFGS before FIRE takes over: near a minimum L-BFGS needs half of FIRE's steps, but far from one it can
wander (measured in ``benchmarks/bench_relaxation.py``)."""

# FIRE, Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006), with ASE's parameters.
FIRE_TIME_STEP = 0.1
FIRE_LONGEST_TIME_STEP = 1.0
FIRE_PATIENCE = 5
FIRE_FASTER, FIRE_SLOWER = 1.1, 0.5
FIRE_MIXING, FIRE_LESS_MIXING = 0.1, 0.99
FIRE_LONGEST_STEP = 0.2
"""Norm over all rows of a crystal, Å."""

_ATOM, _ROW, _SYSTEM = ({"of": name} for name in ("atom", "row", "system"))


@dataclass(frozen=True, slots=True)
class Descent:
    """Crystals that are being minimised: S systems of N atoms and R = N + 3 S rows altogether.

    Parameters
    ----------
    numbers, masses
        Atomic numbers and masses (u), shape (N,).
    n_atoms
        Atoms of each crystal, shape (S,).
    reference
        Undeformed cells with columns a, b, c, Å, shape (S, 3, 3).
    is_cell
        Which rows are deformations, shape (R,).
    x, force
        Coordinates and the negative gradient of the energy there (eV/Å), shape (R, 3).
    steps, changes
        Last steps and changes of the gradient along them, newest last, zero where there was none, shape
        (R, ``MEMORY``, 3).
    velocity
        Of FIRE, shape (R, 3).
    time_step, mixing, n_downhill
        State of FIRE, shape (S,).
    n_steps
        Steps taken, shape (S,).
    """

    numbers: Tensor = field(metadata=_ATOM)
    masses: Tensor = field(metadata=_ATOM)
    n_atoms: Tensor = field(metadata=_SYSTEM)
    reference: Tensor = field(metadata=_SYSTEM)
    is_cell: Tensor = field(metadata=_ROW)
    x: Tensor = field(metadata=_ROW)
    force: Tensor = field(metadata=_ROW)
    steps: Tensor = field(metadata=_ROW)
    changes: Tensor = field(metadata=_ROW)
    velocity: Tensor = field(metadata=_ROW)
    time_step: Tensor = field(metadata=_SYSTEM)
    mixing: Tensor = field(metadata=_SYSTEM)
    n_downhill: Tensor = field(metadata=_SYSTEM)
    n_steps: Tensor = field(metadata=_SYSTEM)

    @classmethod
    def from_state(cls, state: ts.SimState) -> Descent:
        """Return crystals at their start; ``force`` is unknown until the first :meth:`moved`."""
        cell, system = state.cell.double(), state.system_idx
        n_atoms = torch.bincount(system, minlength=state.n_systems)
        ends = torch.cumsum(n_atoms + 3, 0)
        is_cell = torch.zeros(int(ends[-1]), dtype=torch.bool, device=cell.device)
        is_cell[(ends[:, None] - torch.arange(1, 4, device=cell.device)).flatten()] = True
        x = torch.zeros((len(is_cell), 3), dtype=torch.float64, device=cell.device)
        x[~is_cell] = state.positions.double()
        memory = x.new_zeros((len(x), MEMORY, 3))
        zeros = torch.zeros_like(n_atoms)
        return cls(
            numbers=state.atomic_numbers,
            masses=state.masses,
            n_atoms=n_atoms,
            reference=cell,
            is_cell=is_cell,
            x=x,
            force=torch.zeros_like(x),
            steps=memory,
            changes=memory,
            velocity=torch.zeros_like(x),
            time_step=cell.new_full((len(cell),), FIRE_TIME_STEP),
            mixing=cell.new_full((len(cell),), FIRE_MIXING),
            n_downhill=zeros,
            n_steps=zeros,
        )

    @property
    def system_of_row(self) -> Tensor:
        """System of each row, shape (R,)."""
        return torch.repeat_interleave(self.n_atoms + 3)

    def joined(self, other: Descent) -> Descent:
        """Return these crystals and, behind them, others."""
        return Descent(*(torch.cat([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)))

    def kept(self, keep: Tensor) -> Descent:
        """Return the crystals of a mask of shape (S,)."""
        index = {
            "system": keep,
            "atom": keep.repeat_interleave(self.n_atoms),
            "row": keep.repeat_interleave(self.n_atoms + 3),
        }
        return Descent(*(getattr(self, f.name)[index[f.metadata["of"]]] for f in fields(self)))

    def deformation(self) -> Tensor:
        """Return log F, shape (S, 3, 3)."""
        return self.x[self.is_cell].view(-1, 3, 3) / self.n_atoms[:, None, None]

    def state(self, dtype: torch.dtype) -> ts.SimState:
        """Return where the crystals are, for a model."""
        gradient = torch.matrix_exp(self.deformation())
        system = torch.repeat_interleave(self.n_atoms)
        positions = torch.einsum("nij,nj->ni", gradient[system], self.x[~self.is_cell])
        return ts.SimState(
            positions=positions.to(dtype),
            masses=self.masses,
            cell=(gradient @ self.reference).to(dtype),
            pbc=True,
            atomic_numbers=self.numbers,
            system_idx=system,
        )

    def moved(self, forces: Tensor, stress: Tensor, *, cell: bool) -> Descent:
        """Return the crystals after one step.

        Parameters
        ----------
        forces
            At :meth:`state`, eV/Å, shape (N, 3).
        stress
            There, eV/Å³, shape (S, 3, 3).
        cell
            Whether cells move.
        """
        force = self._generalised(forces.double(), stress.double(), cell=cell)
        system = self.system_of_row
        is_new = (self.n_steps == 0)[system]
        changes = self.changes.clone()
        changes[:, -1] = torch.where(is_new[:, None], 0.0, self.force - force)
        is_near = self.n_steps < LBFGS_STEPS
        step = _lbfgs_step(self.steps, changes, force, system, len(self.n_atoms), int(self.n_steps.max()))
        velocity, fire = self.velocity, (self.time_step, self.mixing, self.n_downhill)
        if not bool(is_near.all()):
            far, *fire_now = _fire_velocity(self, force, system)
            velocity = torch.where(is_near[system][:, None], velocity, far)
            time_step, mixing, n_downhill = (torch.where(is_near, a, b) for a, b in zip(fire, fire_now, strict=True))
            step = torch.where(is_near[system][:, None], step, _fire_step(velocity, time_step, system))
        else:
            time_step, mixing, n_downhill = fire
        return Descent(
            numbers=self.numbers,
            masses=self.masses,
            n_atoms=self.n_atoms,
            reference=self.reference,
            is_cell=self.is_cell,
            x=self.x + step,
            force=force,
            steps=torch.cat([self.steps[:, 1:], step[:, None]], dim=1),
            changes=torch.cat([changes[:, 1:], torch.zeros_like(step)[:, None]], dim=1),
            velocity=velocity,
            time_step=time_step,
            mixing=mixing,
            n_downhill=n_downhill,
            n_steps=self.n_steps + 1,
        )

    def _generalised(self, forces: Tensor, stress: Tensor, *, cell: bool) -> Tensor:
        """Return the negative gradient in the coordinates of this class, shape (R, 3)."""
        log = self.deformation()
        gradient = torch.matrix_exp(log)
        found = torch.zeros_like(self.x)
        system = torch.repeat_interleave(self.n_atoms)
        found[~self.is_cell] = torch.einsum("nj,nji->ni", forces, gradient[system])  # Fᵀ f
        if not cell:
            return found
        volume = torch.linalg.det(gradient @ self.reference).abs()
        # dE/dF = V σ F⁻ᵀ at fixed x; its image under the adjoint of exp's derivative at L is that derivative at Lᵀ.
        along = -volume[:, None, None] * stress @ torch.matrix_exp(-log).transpose(1, 2)
        block = log.new_zeros((len(log), 6, 6))
        block[:, :3, :3] = block[:, 3:, 3:] = log.transpose(1, 2)
        block[:, :3, 3:] = along
        derivative = torch.matrix_exp(block)[:, :3, 3:]  # Van Loan, IEEE Trans. Autom. Control 23, 395 (1978)
        found[self.is_cell] = (derivative / self.n_atoms[:, None, None]).reshape(-1, 3)
        return found


def _sums(rows: Tensor, system: Tensor, n_systems: int) -> Tensor:
    """Return the sum over the rows of each system."""
    total: Tensor = rows.new_zeros((n_systems, *rows.shape[1:]))
    total.index_add_(0, system, rows)
    return total


def _lbfgs_step(steps: Tensor, changes: Tensor, force: Tensor, system: Tensor, n_systems: int, depth: int) -> Tensor:
    """Return the step of the two-loop recursion (Nocedal & Wright, algorithm 7.4), shape (R, 3).

    ``changes`` are those of the gradient. A step along which the energy curves down is left out.
    """
    curvature = _sums((steps * changes).sum(dim=2), system, n_systems)  # (S, MEMORY)
    inverse = torch.where(curvature > 1e-12, 1.0 / curvature.clamp(min=1e-12), 0.0)
    newest_first = range(MEMORY - 1, max(MEMORY - 1 - depth, -1), -1)
    direction, weights = -force, {}
    for k in newest_first:
        weights[k] = inverse[:, k] * _sums((steps[:, k] * direction).sum(dim=1), system, n_systems)
        direction = direction - weights[k][system, None] * changes[:, k]
    direction = direction / STIFFNESS
    for k in reversed(newest_first):
        back = inverse[:, k] * _sums((changes[:, k] * direction).sum(dim=1), system, n_systems)
        direction = direction + (weights[k] - back)[system, None] * steps[:, k]
    length = direction.norm(dim=1)
    longest = length.new_zeros(n_systems).scatter_reduce_(0, system, length, "amax")
    shrunk: Tensor = -direction * (LONGEST_STEP / longest.clamp(min=LONGEST_STEP))[system, None]
    return shrunk


def _fire_velocity(descent: Descent, force: Tensor, system: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return FIRE's next velocity, time step, mixing and number of steps downhill."""
    n_systems = len(descent.n_atoms)
    velocity = descent.velocity
    power, speed, pull = (
        _sums((a * b).sum(dim=1), system, n_systems)
        for a, b in ((force, velocity), (velocity, velocity), (force, force))
    )
    is_downhill = (power > 0) | (speed == 0)
    is_patient = is_downhill & (descent.n_downhill > FIRE_PATIENCE)
    ratio = descent.mixing * torch.sqrt(speed / pull.clamp(min=1e-30))
    mixed = (1 - descent.mixing)[system, None] * velocity + ratio[system, None] * force
    time_step = torch.where(
        is_patient, (descent.time_step * FIRE_FASTER).clamp(max=FIRE_LONGEST_TIME_STEP), descent.time_step
    )
    time_step = torch.where(is_downhill, time_step, descent.time_step * FIRE_SLOWER)
    mixing = torch.where(is_patient, descent.mixing * FIRE_LESS_MIXING, descent.mixing)
    mixing = torch.where(is_downhill, mixing, FIRE_MIXING)
    n_downhill = torch.where(is_downhill, descent.n_downhill + 1, 0)
    velocity = torch.where(is_downhill[system][:, None], mixed, 0.0) + time_step[system, None] * force
    return velocity, time_step, mixing, n_downhill


def _fire_step(velocity: Tensor, time_step: Tensor, system: Tensor) -> Tensor:
    step = velocity * time_step[system, None]
    length = torch.sqrt(_sums((step**2).sum(dim=1), system, len(time_step)))
    return step * (FIRE_LONGEST_STEP / length.clamp(min=FIRE_LONGEST_STEP))[system, None]
