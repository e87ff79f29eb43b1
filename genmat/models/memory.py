"""Batches that fit into memory: a limit for each loaded model, lowered where it was too high."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
import torch_sim as ts
from torch_sim.models.interface import ModelInterface

if TYPE_CHECKING:
    from torch_sim.state import SimState

logger = logging.getLogger(__name__)

CPU_ATOMS = 64
"""Atoms of a batch on a CPU: small batches save Python's overhead, large ones leave the cache."""
GPU_ATOMS = 8192
"""Atoms of the first batch on a GPU; what does not fit is halved. A group of the pool is several batches."""

_limits: WeakKeyDictionary[ModelInterface, int] = WeakKeyDictionary()
"""What turned out to fit, atoms; a model is on one device, in one precision."""


def batch_limit(model: ModelInterface) -> int:
    """Return how many atoms are evaluated together on the device of a model."""
    usual = CPU_ATOMS if model.device.type == "cpu" else GPU_ATOMS
    return min(usual, _limits.get(model, usual))


class Fitting(ModelInterface):
    """A model that evaluates a batch in parts where the whole does not fit into memory.

    Parameters
    ----------
    model
        Potential.
    limited_as
        Model whose limit counts, where this one is made of it for one use.

    Notes
    -----
    The limit is kept for later batches of the model. A single crystal that does not fit raises
    ``torch.OutOfMemoryError``.
    """

    def __init__(self, model: ModelInterface, *, limited_as: ModelInterface | None = None) -> None:
        super().__init__()
        self._device, self._dtype = model.device, model.dtype
        self._compute_forces, self._compute_stress = model.compute_forces, model.compute_stress
        self.model = model
        self.limited_as = model if limited_as is None else limited_as

    def forward(self, state: SimState, **_: Any) -> dict[str, torch.Tensor]:
        """Return energy, forces and stress as the model does."""
        limit = _limits.get(self.limited_as)
        if limit is not None and state.n_atoms > limit and state.n_systems > 1:
            return self._in_parts(state, limit)
        try:
            return self._evaluate(state)
        except torch.OutOfMemoryError:
            if state.n_systems == 1:
                raise
        limit = max(1, state.n_atoms // 2)
        _limits[self.limited_as] = limit
        logger.warning("%d atoms do not fit on %s: at most %d from here on", state.n_atoms, self.device, limit)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return self._in_parts(state, limit)

    def _evaluate(self, state: SimState) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = self.model(state)
        return {name: found[name] for name in ("energy", "forces", "stress") if name in found}

    def _in_parts(self, state: SimState, limit: int) -> dict[str, torch.Tensor]:
        bare = bare_state(state)
        parts: list[list[int]] = [[]]
        atoms = 0
        for system, size in enumerate(bare.n_atoms_per_system.tolist()):
            if parts[-1] and atoms + size > limit:
                parts.append([])
                atoms = 0
            parts[-1].append(system)
            atoms += size
        found = [self.forward(bare[part]) for part in parts]
        return {name: torch.cat([result[name] for result in found]) for name in found[0]}


def bare_state(state: Any) -> ts.SimState:
    """Return the crystals of an optimiser's state without its memory."""
    return ts.SimState(
        positions=state.positions,
        masses=state.masses,
        cell=state.cell,
        pbc=state.pbc,
        atomic_numbers=state.atomic_numbers,
        system_idx=state.system_idx,
    )
