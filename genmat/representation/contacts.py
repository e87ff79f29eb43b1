"""Contacts: the two atoms of a crystal that are closest for their size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.optimization.neighbors import find_points_in_spheres

from genmat.representation.conversion import to_arrays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pymatgen.core.structure import Structure

    from genmat.representation.crystal import Crystal

    FloatArray = NDArray[np.float64]

MIN_DISTANCE = 0.5
"""Two atoms are never closer (Å), whatever their radii; the shortest bond there is, in H2, has 0.74 Å."""

UNKNOWN_RADIUS = 1.7
"""Covalent radius (Å) of elements beyond curium, about that of the heaviest tabulated ones."""

COINCIDENT = 1e-8
"""Distance (Å) below which a point of the neighbour search is the atom itself."""


@dataclass(frozen=True, slots=True)
class Contact:
    """The pair of atoms that is closest for its size.

    Parameters
    ----------
    elements
        The two elements.
    distance
        Their distance, Å.
    ratio
        ``distance`` over the sum of their covalent radii.
    """

    elements: tuple[str, str]
    distance: float
    ratio: float


def covalent_radius(symbol: str) -> float:
    """Return the covalent radius of an element, Å (Cordero et al., Dalton Trans. 2832, 2008, doi:10.1039/b801115j)."""
    return _covalent_radii().get(symbol, UNKNOWN_RADIUS)


def closest_contact(structure: Structure, *, cutoff: float) -> Contact | None:
    """Return the pair of atoms with the smallest distance relative to their radii.

    Parameters
    ----------
    structure
        Ordered crystal; periodic images count, those of an atom itself included.
    cutoff
        Only pairs closer than ``cutoff`` times the sum of their radii are looked for (dimensionless).

    Returns
    -------
    Contact | None
        The pair; ``None`` if there is none within ``cutoff``.
    """
    symbols = [site.specie.symbol for site in structure]
    return closest_contact_of_arrays(structure.lattice.matrix, symbols, structure.frac_coords, cutoff=cutoff)


def closest_contact_of_arrays(
    lattice: FloatArray, symbols: Sequence[str], frac_coords: FloatArray, *, cutoff: float
) -> Contact | None:
    """Return what :func:`closest_contact` returns, for a crystal given as arrays.

    Parameters
    ----------
    lattice
        Rows a, b, c in Å, shape (3, 3).
    symbols
        Element of each atom.
    frac_coords
        Fractional coordinates, shape (n, 3).
    cutoff
        As for :func:`closest_contact`.
    """
    radii = np.asarray([covalent_radius(symbol) for symbol in symbols])
    cell = np.ascontiguousarray(lattice, dtype=np.float64)
    cartesian = np.ascontiguousarray((frac_coords % 1.0) @ cell)
    first, second, images, distances = find_points_in_spheres(
        cartesian,
        cartesian,
        r=max(MIN_DISTANCE, 2.0 * cutoff * float(radii.max())),
        pbc=np.ones(3, dtype=np.int64),
        lattice=cell,
        tol=COINCIDENT,
    )
    other = (first != second) | (images != 0).any(axis=1)
    if not other.any():
        return None
    first, second, distances = first[other], second[other], distances[other]
    ratios = distances / (radii[first] + radii[second])
    nearest = int(np.argmin(ratios))
    if ratios[nearest] >= cutoff and distances.min() >= MIN_DISTANCE:
        return None
    pair = sorted((symbols[first[nearest]], symbols[second[nearest]]))
    return Contact((pair[0], pair[1]), float(distances[nearest]), float(ratios[nearest]))


def distances_ok(crystal: Crystal, *, min_ratio: float) -> bool:
    """Return whether no two atoms of ``crystal`` are too close; a fraction of a millisecond for 20 atoms.

    Parameters
    ----------
    crystal
        x.
    min_ratio
        Smallest allowed distance of two atoms over the sum of their covalent radii (dimensionless); whatever it is,
        no two atoms may be closer than :data:`MIN_DISTANCE`.
    """
    return closest_contact_of_arrays(*to_arrays(crystal), cutoff=min_ratio) is None


@cache
def _covalent_radii() -> dict[str, float]:
    from pymatgen.analysis.molecule_structure_comparator import CovalentRadius

    return {str(symbol): float(radius) for symbol, radius in CovalentRadius.radius.items()}
