"""Neighbour lists of a batch on a CPU, with the signature of torch-sim's own."""

from __future__ import annotations

import numpy as np
import torch
from matscipy.neighbours import neighbour_list

Tensor = torch.Tensor


def cpu_neighbours(
    positions: Tensor,
    cell: Tensor,
    pbc: Tensor,
    cutoff: float | Tensor,
    system_idx: Tensor,
    self_interaction: bool = False,  # noqa: FBT001, FBT002
) -> tuple[Tensor, Tensor, Tensor]:
    """Return all pairs of atoms within a cutoff, both directions, found in C one system after another.

    Parameters
    ----------
    positions
        Cartesian coordinates, shape (N, 3), Å.
    cell
        Lattice vectors as rows, shape (S, 3, 3) or (3, 3), Å.
    pbc
        Periodic axes, shape (S, 3) or (3,).
    cutoff
        Longest distance, Å.
    system_idx
        System of each atom, shape (N,), ascending.
    self_interaction
        Whether an atom is its own neighbour at distance zero.

    Returns
    -------
    tuple
        Pairs (2, P), system of each pair (P,), lattice translations of the second atom (P, 3).
    """
    n_systems = int(system_idx[-1]) + 1
    cells = cell.reshape(-1, 3, 3).expand(n_systems, 3, 3).detach().double().numpy()
    periodic = pbc.reshape(-1, 3).expand(n_systems, 3).numpy()
    coordinates = positions.detach().double().numpy()
    starts = np.concatenate([[0], np.cumsum(torch.bincount(system_idx, minlength=n_systems).numpy())])
    pairs, shifts, systems = [], [], []
    for system in range(n_systems):
        begin, end = starts[system], starts[system + 1]
        first, second, shift = neighbour_list(
            "ijS", cutoff=float(cutoff), positions=coordinates[begin:end], cell=cells[system], pbc=periodic[system]
        )
        pairs.append(np.stack([first, second]).astype(np.int64) + begin)
        shifts.append(shift)
        systems.append(np.full(len(first), system, dtype=np.int64))
        if self_interaction:
            atoms = np.arange(begin, end, dtype=np.int64)
            pairs.append(np.stack([atoms, atoms]))
            shifts.append(np.zeros((end - begin, 3), dtype=shift.dtype))
            systems.append(np.full(end - begin, system, dtype=np.int64))
    return (
        torch.from_numpy(np.concatenate(pairs, axis=1)),
        torch.from_numpy(np.concatenate(systems)),
        torch.from_numpy(np.concatenate(shifts)).to(positions.dtype),
    )
