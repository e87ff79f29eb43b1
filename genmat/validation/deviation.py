"""Deviations: what first principles say about the geometry and the energy of a potential."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pymatgen.core.structure import Structure

    from genmat.validation.engine import Frame

BOND_FACTOR = 1.25
"""Two atoms are bonded if closer than this times the sum of their covalent radii (dimensionless)."""
LONGEST_BOND = 4.0
"""Cut-off of the neighbour search, Å."""


LEAST_FORCE_CHANGE = 0.05
"""Change of a force on the way of a relaxation from which its slope is told, eV/Å."""
LEAST_STRESS_CHANGE = 0.3
"""The same of a stress, GPa."""


@dataclass(frozen=True, slots=True)
class GeometryDeviation:
    """How a relaxed crystal differs from the one that it started as.

    Parameters
    ----------
    rmsd
        Root mean square displacement of the atoms, Å, in the mean cell and without their common drift.
    volume_change
        V/V0 - 1 (dimensionless).
    longest_axis_change
        Largest |l/l0 - 1| of the three cell lengths (dimensionless).
    bonds_changed
        Share of sites whose number of bonded neighbours differs.
    """

    rmsd: float
    volume_change: float
    longest_axis_change: float
    bonds_changed: float


def geometry_deviation(start: Structure, relaxed: Structure) -> GeometryDeviation:
    """Return how a relaxation changed a crystal; sites must be in one order.

    Raises
    ------
    ValueError
        If the sites do not correspond.
    """
    import numpy as np

    if [site.specie for site in start] != [site.specie for site in relaxed]:
        msg = f"sites of {start.formula} and {relaxed.formula} do not correspond"
        raise ValueError(msg)
    shift = relaxed.frac_coords - start.frac_coords
    shift -= shift[0]  # a common drift of half a cell must not be rounded up for some atoms and down for others
    shift -= np.round(shift)
    shift -= shift.mean(axis=0)
    cell = (start.lattice.matrix + relaxed.lattice.matrix) / 2
    rmsd = math.sqrt(float(((shift @ cell) ** 2).sum(axis=1).mean()))
    lengths = np.asarray(relaxed.lattice.abc) / np.asarray(start.lattice.abc)
    before, after = _coordination(start), _coordination(relaxed)
    changed = sum(left != right for left, right in zip(before, after, strict=True)) / len(before)
    return GeometryDeviation(rmsd, relaxed.volume / start.volume - 1.0, float(np.abs(lengths - 1.0).max()), changed)


@dataclass(frozen=True, slots=True)
class ForceDeviation:
    """How forces and stresses of a potential differ from those of first principles at the same geometries.

    Parameters
    ----------
    force_mae, stress_mae
        Mean absolute difference of the components, eV/Å and GPa, where first principles relaxed to.
    force_slope, stress_slope
        Softening: how much a component changes on the way of the relaxation by the potential, over how much it does by
        first principles (dimensionless, 1 is right, less is too soft); ``None`` where it hardly changes.
    """

    force_mae: float
    stress_mae: float
    force_slope: float | None
    stress_slope: float | None


def force_deviation(exact: Sequence[Frame], potential: Sequence[Frame]) -> ForceDeviation:
    """Return the deviation of a potential along a relaxation.

    With the change ΔF from the first to the last geometry of first principles (e) and of the potential (p),

        slope = Σ ΔF_p ΔF_e / Σ ΔF_e²

    over the components: changes, so that a constant shift between the minima of the two plays no part.

    Parameters
    ----------
    exact, potential
        First and last geometry by each, in one order.
    """
    import numpy as np

    return ForceDeviation(
        float(np.abs(potential[-1].forces - exact[-1].forces).mean()),
        float(np.abs(potential[-1].stress - exact[-1].stress).mean()),
        _slope([frame.forces for frame in exact], [frame.forces for frame in potential], LEAST_FORCE_CHANGE),
        _slope([frame.stress for frame in exact], [frame.stress for frame in potential], LEAST_STRESS_CHANGE),
    )


def _slope(exact: Sequence[NDArray[Any]], potential: Sequence[NDArray[Any]], least: float) -> float | None:
    import numpy as np

    change = exact[-1] - exact[0]
    if np.abs(change).max() < least:
        return None
    return float(((potential[-1] - potential[0]) * change).sum() / (change**2).sum())


def _coordination(structure: Structure) -> list[int]:
    from ase.data import atomic_numbers, covalent_radii

    radii = [float(covalent_radii[atomic_numbers[site.specie.symbol]]) for site in structure]
    first, second, _, distances = structure.get_neighbor_list(LONGEST_BOND)
    counts = [0] * len(structure)
    for i, j, distance in zip(first, second, distances, strict=True):
        counts[int(i)] += distance < BOND_FACTOR * (radii[int(i)] + radii[int(j)])
    return counts
