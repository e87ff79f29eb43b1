"""Fingerprints of known crystals: average minimum distances of all atoms and of each element, as small integers.

AMD_k (Widdowson et al., MATCH 87, 529 (2022), doi:10.46793/match.87-3.529W) is the distance of an atom to its k-th
nearest neighbour, averaged over the atoms of the cell. It changes continuously when atoms move and does not depend on
the choice of cell, but it is blind to the elements: two orderings of one lattice share it. The fingerprint therefore
holds

- AMD_1 to AMD_16 of all atoms, and
- AMD_1 to AMD_8 of the atoms of each element among themselves, for the first four elements in alphabetical order,

divided by the cube root of the volume per atom, so that one crystal relaxed with two methods keeps its fingerprint even
where the methods disagree about the volume. Fingerprints are compared between crystals of one reduced formula only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genmat.representation.fingerprint import neighbour_distances

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from pymatgen.core.structure import Structure

N_ALL = 16
"""Neighbours of the part that is blind to elements."""

N_ELEMENT = 8
"""Neighbours of the part of one element."""

MAX_ELEMENTS = 4
"""Elements that have a part; of the parts of a crystal with fewer, the last ones are zero."""

SIZE = N_ALL + MAX_ELEMENTS * N_ELEMENT
"""Number of values."""

RESOLUTION = 1e-4
"""Unit of a stored value (dimensionless)."""

_LARGEST = int(np.iinfo(np.uint16).max)

type Fingerprint = NDArray[np.uint16]
"""Shape (``SIZE``,)."""


def fingerprint(structure: Structure, *, compiled: bool = False) -> Fingerprint:
    """Return the fingerprint of an ordered crystal, in units of ``RESOLUTION``; any cell gives the same.

    Parameters
    ----------
    structure
        Any cell.
    compiled
        Whether compiled code finds the neighbours, which pays for thousands of crystals.
    """
    mean = _compiled_mean() if compiled else _mean
    matrix, coordinates = structure.lattice.matrix, structure.frac_coords
    symbols = np.asarray([next(iter(site.species)).symbol for site in structure.sites])
    values = np.zeros(SIZE)
    values[:N_ALL] = mean(matrix, coordinates, N_ALL)
    for part, symbol in enumerate(sorted(set(symbols.tolist()))[:MAX_ELEMENTS]):
        start = N_ALL + part * N_ELEMENT
        values[start : start + N_ELEMENT] = mean(matrix, coordinates[symbols == symbol], N_ELEMENT)
    length = (structure.volume / len(structure)) ** (1.0 / 3.0)
    stored: Fingerprint = np.rint(np.clip(values / length / RESOLUTION, 0.0, _LARGEST)).astype(np.uint16)
    return stored


def _mean(lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    return neighbour_distances(lattice, frac_coords, k=k).mean(axis=0)


def _compiled_mean() -> Callable[[NDArray[np.float64], NDArray[np.float64], int], NDArray[np.float64]]:
    from genmat.representation.distances import mean_distances

    return mean_distances


def fingerprint_difference(left: NDArray[np.uint16], right: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Return the root mean square difference of fingerprints of one formula.

    Parameters
    ----------
    left, right
        Shape (..., ``SIZE``); leading axes broadcast.

    Returns
    -------
    NDArray
        Dimensionless, in units of the cube root of the volume per atom; the mean is over the values in use.
    """
    used = np.maximum((np.asarray(right) > 0).sum(axis=-1), 1)
    squares = (left.astype(np.float64) - right.astype(np.float64)) ** 2
    return np.asarray(RESOLUTION * np.sqrt(squares.sum(axis=-1) / used), dtype=np.float64)
