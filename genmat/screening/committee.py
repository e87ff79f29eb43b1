"""A committee of potentials: several opinions on one geometry, and how far they lie apart.

Each member evaluates the candidate and the phases that it competes with at the same geometries, so that a distance to
the hull is a difference within one potential. Members on other energy scales (r²SCAN beside PBE) are refused: a spread
between functionals is no uncertainty of either. The spread tells where potentials of one training set disagree; what
all of them learnt wrongly it cannot show.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from genmat.errors import EnergyScaleError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from genmat.energy import EnergyScale


@dataclass(frozen=True, slots=True, eq=False)
class Opinion:
    """What one potential says about a crystal at a given geometry.

    Parameters
    ----------
    energy_per_atom
        eV/atom.
    energy_above_hull
        Distance to the competing phases by the same potential, eV/atom.
    forces
        eV/Å, shape (n, 3).
    """

    energy_per_atom: float
    energy_above_hull: float
    forces: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spread:
    """How far opinions lie apart.

    Parameters
    ----------
    energy
        Largest less smallest energy, eV/atom.
    energy_above_hull
        Largest less smallest distance to the hull, eV/atom.
    force
        Largest over the atoms of the root mean square distance of the force vectors from their mean, eV/Å.
    straddles
        Whether one member puts the crystal within the tolerance and another beyond it.
    """

    energy: float
    energy_above_hull: float
    force: float
    straddles: bool


def check_committee(scales: Mapping[str, EnergyScale]) -> None:
    """Raise unless all members' energies mean the same but for who computed them.

    Parameters
    ----------
    scales
        Energy scale of each member by name, the campaign's potential first.

    Raises
    ------
    EnergyScaleError
        If functional, Hubbard U, pseudopotentials or correction differ.
    """
    (first, scale), *others = scales.items()
    for name, other in others:
        if replace(other, engine=scale.engine) != scale:
            msg = (
                f"committee of {first} ({scale}) and {name} ({other}): expected one functional, Hubbard U and "
                "correction, for a spread between scales says nothing about either"
            )
            raise EnergyScaleError(msg)


def energy_above_phases(energy_per_atom: float, phases: Sequence[tuple[float, float]]) -> float:
    """Return the distance of a crystal to a mixture of phases, eV/atom.

    Parameters
    ----------
    energy_per_atom
        Of the crystal, eV/atom.
    phases
        Share of the atoms and energy (eV/atom, of the same potential) of each phase.
    """
    return energy_per_atom - sum(share * energy for share, energy in phases)


def spread(opinions: Sequence[Opinion], *, tolerance: float) -> Spread:
    """Return how far opinions lie apart; ``tolerance`` (eV/atom) is the distance that counts as stable."""
    distances = [opinion.energy_above_hull for opinion in opinions]
    forces = np.stack([opinion.forces for opinion in opinions])  # (members, n, 3)
    deviations = np.sqrt(((forces - forces.mean(axis=0)) ** 2).sum(axis=2).mean(axis=0))  # (n,)
    return Spread(
        energy=float(np.ptp([opinion.energy_per_atom for opinion in opinions])),
        energy_above_hull=float(np.ptp(distances)),
        force=float(deviations.max()),
        straddles=min(distances) <= tolerance < max(distances),
    )
