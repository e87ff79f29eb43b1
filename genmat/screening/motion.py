"""Whether a crystal keeps its structure at a temperature, from a short trajectory.

An atom has left its site if its mean position in the second half of the trajectory lies further from where it began
than ``MAX_SHIFT`` of the shortest distance of two atoms; the crystal has molten (Lindemann) if the root mean square
displacement from the mean positions exceeds ``LINDEMANN`` of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.core.structure import Structure

MAX_SHIFT = 0.35
"""Over the shortest distance (dimensionless); a hundred femtoseconds at 300 K average thermal motion to 0.25."""

LINDEMANN = 0.2
"""Over the shortest distance (dimensionless); crystals melt at about 0.1 to 0.15 of it."""


@dataclass(frozen=True, slots=True)
class Motion:
    """How far atoms moved.

    Parameters
    ----------
    shift
        Largest distance of a mean position from its site, over the shortest distance of two atoms (dimensionless).
    lindemann
        Root mean square displacement from the mean positions, same scale.
    mean_temperature
        K, second half.
    volume_change
        Mean volume of the second half over that of the start, minus 1.
    """

    shift: float
    lindemann: float
    mean_temperature: float
    volume_change: float

    @property
    def keeps_structure(self) -> bool:
        """Whether every atom stayed at its site."""
        return self.shift <= MAX_SHIFT and self.lindemann <= LINDEMANN


def analyse_motion(
    start: Structure,
    fractions: NDArray[np.float64],
    cells: NDArray[np.float64],
    temperatures: NDArray[np.float64],
) -> Motion:
    """Return how far atoms moved in a trajectory.

    Parameters
    ----------
    start
        Supercell at the beginning.
    fractions
        Unwrapped fractional coordinates, shape (k, n, 3).
    cells
        Rows a, b, c, Å, shape (k, 3, 3).
    temperatures
        K, shape (k,).

    Notes
    -----
    The centre of mass drifts under a thermostat that acts on each atom; the mean displacement of all atoms is left out.
    """
    half = len(fractions) // 2
    moved = fractions[half:] - start.frac_coords
    moved -= np.round(moved[:1])
    moved -= moved.mean(axis=1, keepdims=True)
    cell = cells[half:].mean(axis=0)
    mean = moved.mean(axis=0)
    distances = start.distance_matrix
    images = start.lattice.abc
    nearest = float(min(distances[distances > 1e-3].min(initial=np.inf), *images))
    shift = float(np.linalg.norm(mean @ cell, axis=1).max())
    spread = float(np.sqrt((((moved - mean) @ cell) ** 2).sum(axis=2).mean()))
    volume = float(np.abs(np.linalg.det(cells[half:])).mean())
    return Motion(
        shift / nearest, spread / nearest, float(temperatures[half:].mean()), volume / float(start.volume) - 1.0
    )
