"""Batches of tokens on a device, and the validity masks that training and sampling share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from genmat.models.foundation.tokens import N_LETTERS, STOP, TokenTable, wyckoff_arrays
from genmat.representation.descriptors import N_ATOMIC_NUMBERS, element_descriptors

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Tables(nn.Module):
    """Constant tables that follow the model to its device; not part of a checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        arrays = wyckoff_arrays()
        self.n_positions, self.n_site_symmetries = arrays.n_positions, arrays.n_site_symmetries
        for name in ("index", "dof", "atoms", "site_symmetry", "free_shape"):
            self.register_buffer(name, torch.from_numpy(np.array(getattr(arrays, name))), persistent=False)
        descriptors = torch.from_numpy(np.array(element_descriptors(), dtype=np.float32))
        self.register_buffer("descriptors", descriptors, persistent=False)
        self.index: Tensor
        self.dof: Tensor
        self.atoms: Tensor
        self.site_symmetry: Tensor
        self.free_shape: Tensor
        self.descriptors: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """The tokens of B crystals, padded to N orbits.

    Parameters
    ----------
    numbers
        Space groups, shape (B,).
    ranks
        Ranks of the letters, shape (B, N); 0 where padded, see ``present``.
    elements
        Atomic numbers, shape (B, N); 0 pads.
    present
        Where there is an orbit, shape (B, N), bool.
    free
        Free coordinates, shape (B, N, 3).
    shapes
        Lattices, shape (B, 6).
    environments
        Shape (B, N, N_ENVIRONMENT).
    has_geometry
        Whether free coordinates, lattice and environments are known, shape (B,), bool.
    """

    numbers: Tensor
    ranks: Tensor
    elements: Tensor
    present: Tensor
    free: Tensor
    shapes: Tensor
    environments: Tensor
    has_geometry: Tensor

    @classmethod
    def from_table(
        cls, table: TokenTable, *, device: torch.device | str = "cpu", has_geometry: NDArray[np.bool_] | bool = True
    ) -> Batch:
        """Return a table as tensors, padded to its longest crystal."""
        n = max(1, int(table.n_orbits.max(initial=1)))
        ranks = torch.from_numpy(table.ranks[:, :n].astype(np.int64))
        known = np.broadcast_to(np.asarray(has_geometry, dtype=np.bool_), (len(table),)).copy()
        return cls(
            numbers=torch.from_numpy(table.numbers.astype(np.int64)).to(device),
            ranks=ranks.clamp_min(0).to(device),
            elements=torch.from_numpy(table.elements[:, :n].astype(np.int64)).to(device),
            present=(ranks >= 0).to(device),
            free=torch.from_numpy(np.ascontiguousarray(table.free[:, :n])).to(device),
            shapes=torch.from_numpy(np.array(table.shapes)).to(device),
            environments=torch.from_numpy(table.environments[:, :n].astype(np.float32)).to(device),
            has_geometry=torch.from_numpy(known).to(device),
        )


def order_mask(tables: Tables, numbers: Tensor, ranks: Tensor, *, has_orbit: Tensor) -> Tensor:
    """Return which letters may follow, shape (..., 28); the last is the end of the gene.

    A letter follows one before it in the alphabet, or itself if its position has free coordinates. The first orbit may
    have any letter; a gene has at least one orbit.

    Parameters
    ----------
    tables
        Wyckoff tables.
    numbers
        Space groups, shape (...).
    ranks
        Rank of the last letter, shape (...).
    has_orbit
        Whether there is a last letter, shape (...), bool.
    """
    letters = torch.arange(N_LETTERS, device=ranks.device)
    exists = tables.index[numbers] > 0  # (..., 27)
    is_free = tables.dof[numbers] > 0
    last = ranks[..., None]
    follows = (letters > last) | ((letters == last) & is_free) | ~has_orbit[..., None]
    return torch.cat([exists & follows, has_orbit[..., None]], dim=-1)


def element_mask(ranks: Tensor, last_ranks: Tensor, last_elements: Tensor, *, has_orbit: Tensor) -> Tensor:
    """Return which elements may stand on a letter, shape (..., 119): not one before the last on the same letter."""
    numbers = torch.arange(N_ATOMIC_NUMBERS, device=ranks.device)
    least = torch.where(has_orbit & (ranks == last_ranks), last_elements, torch.ones_like(last_elements))
    return (numbers >= least[..., None]) & (numbers > 0)


__all__ = ["STOP", "Batch", "Tables", "element_mask", "order_mask"]
