"""Crystal graphs of CHGNet for a whole batch of crystals, built with NumPy.

An *undirected* bond joins two atoms (or an atom and its own periodic image) within the atom-graph cutoff; its two
*directed* edges are stored in two blocks of equal order, so that a bond's features reach both by broadcasting. An angle
is an ordered pair of distinct directed edges of one centre, both shorter than the bond-graph cutoff
(Deng et al. 2023, doi:10.1038/s42256-023-00716-3, Methods, "CHGNet architecture").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matscipy.neighbours import neighbour_list

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CrystalGraph:
    """Topology of a batch of crystals; indices run over the atoms, bonds and edges of the whole batch.

    Parameters
    ----------
    first, second
        Atoms that each undirected bond joins, shape (n_bonds,).
    shift
        Lattice translation of ``second``, shape (n_bonds, 3).
    short
        Bonds within the bond-graph cutoff, shape (n_short,).
    angle_centre
        Atom at the apex of each angle, shape (n_angles,).
    angle_left, angle_right
        Directed short edges of each angle, shape (n_angles,): ``e`` is the edge that leaves ``first[short[e]]`` for
        ``e < n_short``, and the edge that leaves ``second[short[e - n_short]]`` otherwise.
    """

    first: IntArray
    second: IntArray
    shift: FloatArray
    short: IntArray
    angle_centre: IntArray
    angle_left: IntArray
    angle_right: IntArray


def bonds_of_crystal(
    cell: FloatArray, positions: FloatArray, *, cutoff: float
) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
    """Return the undirected bonds of one crystal, each once.

    Parameters
    ----------
    cell
        Lattice vectors as rows, shape (3, 3), Å.
    positions
        Cartesian coordinates, shape (n_atoms, 3), Å; they need not lie inside the cell.
    cutoff
        Longest bond, Å.

    Returns
    -------
    tuple
        First atoms, second atoms, lattice translations of the second (n_bonds, 3), lengths (Å).
    """
    first, second, shift, length = neighbour_list(
        "ijSd", cutoff=cutoff, positions=positions, cell=cell, pbc=np.array([True, True, True])
    )
    # Of the two directions of a bond keep the one that ends at the later atom; among the images of one atom, keep the
    # translation whose first non-zero component is positive.
    x, y, z = shift.T
    positive = (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))
    keep = (first < second) | ((first == second) & positive)
    return first[keep].astype(np.int64), second[keep].astype(np.int64), shift[keep].astype(float), length[keep]


def angles_of_edges(centre: IntArray) -> tuple[IntArray, IntArray]:
    """Return every ordered pair of distinct edges that leave one atom.

    Parameters
    ----------
    centre
        Atom that each directed edge leaves, shape (n_edges,).

    Returns
    -------
    tuple
        Left and right edge of each pair, shape (n_pairs,) each.
    """
    order = np.argsort(centre, kind="stable")
    sorted_centre = centre[order]
    starts = np.flatnonzero(np.r_[True, sorted_centre[1:] != sorted_centre[:-1]]) if len(order) else order
    sizes = np.diff(np.r_[starts, len(order)])
    size_of_edge = np.repeat(sizes, sizes)
    left = np.repeat(np.arange(len(order)), size_of_edge)
    block_start = np.repeat(starts, sizes)
    offset = np.arange(len(left)) - np.repeat(np.cumsum(size_of_edge) - size_of_edge, size_of_edge)
    right = block_start[left] + offset
    distinct = left != right
    return order[left[distinct]], order[right[distinct]]


def build_graph(
    cells: FloatArray, positions: FloatArray, starts: IntArray, *, atom_cutoff: float, bond_cutoff: float
) -> CrystalGraph:
    """Return the graph of a batch.

    Parameters
    ----------
    cells
        Lattice vectors as rows, shape (n_systems, 3, 3), Å.
    positions
        Cartesian coordinates of all atoms, shape (n_atoms, 3), Å, system after system.
    starts
        First atom of each system and the total, shape (n_systems + 1,).
    atom_cutoff, bond_cutoff
        Longest bond of the atom graph and of the bond graph, Å.
    """
    parts = []
    for system, cell in enumerate(cells):
        begin, end = starts[system], starts[system + 1]
        first, second, shift, length = bonds_of_crystal(cell, positions[begin:end], cutoff=atom_cutoff)
        parts.append((first + begin, second + begin, shift, length))
    first, second, shift, length = (np.concatenate(column) for column in zip(*parts, strict=True))
    short = np.flatnonzero(length < bond_cutoff)
    centre = np.concatenate([first[short], second[short]])
    left, right = angles_of_edges(centre)
    return CrystalGraph(
        first=first,
        second=second,
        shift=shift,
        short=short,
        angle_centre=centre[left],
        angle_left=left,
        angle_right=right,
    )
