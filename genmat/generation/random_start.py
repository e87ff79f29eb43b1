"""Random geometry for a gene: what is left where no known crystal has it.

A cell of the volume wanted and of random shape is drawn, then free coordinates orbit after orbit, positions with few
free coordinates first. Of some random places an orbit takes the first where its atoms keep their distance from each
other and from those placed before; if there is none, the next cell is drawn. Distances are taken from one atom of the
orbit: symmetry gives the others the same.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from genmat.errors import RepresentationError
from genmat.generation.starts import check_occupations
from genmat.representation.contacts import MIN_DISTANCE, covalent_radius, distances_ok
from genmat.representation.crystal import Crystal, Orbit
from genmat.representation.lattice import (
    LatticeParameters,
    conventional_volume,
    free_lattice_parameters,
    lattice_matrix,
    lattice_parameters,
    volume_factor,
)
from genmat.representation.wyckoff import space_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genmat.representation.gene import Occupation
    from genmat.representation.wyckoff import SpaceGroup, WyckoffPosition

    FloatArray = NDArray[np.float64]

LENGTH_SPREAD = 0.45
"""Standard deviation of the logarithm of each free cell edge, before the volume is imposed."""

ANGLES = {"alpha": (65.0, 115.0), "beta": (90.0, 125.0), "gamma": (65.0, 115.0)}
"""Range of each free angle, degrees; a triclinic beta is as alpha."""

PLACES = 32
"""Random places that an orbit tries in one cell."""

MIN_VOLUME_FACTOR = 0.25
"""Smallest volume of a triclinic cell over the product of its edges: flatter ones have a better description."""


def random_start(
    number: int,
    occupations: Sequence[Occupation],
    *,
    rng: np.random.Generator,
    volume_per_atom: float,
    min_distance_ratio: float = 0.6,
    tries: int = 50,
) -> Crystal | None:
    """Return a random geometry whose atoms keep their distance.

    Parameters
    ----------
    number
        Space group.
    occupations
        Element and Wyckoff letter of each orbit; the crystal has these letters.
    rng
        Random numbers.
    volume_per_atom
        Å³/atom, of the result.
    min_distance_ratio
        Smallest distance of two atoms over the sum of their covalent radii (dimensionless).
    tries
        Cells that are drawn.

    Returns
    -------
    Crystal | None
        x; ``None`` if no cell could hold the atoms.

    Raises
    ------
    RepresentationError
        If the elements cannot stand on these letters, or the volume is not positive and finite.
    """
    check_occupations(number, occupations)
    if not (math.isfinite(volume_per_atom) and volume_per_atom > 0.0):
        msg = f"volume {volume_per_atom} Å³/atom must be positive and finite"
        raise RepresentationError(msg)
    group = space_group(number)
    order = sorted(range(len(occupations)), key=lambda i: group.positions[occupations[i][1]].dof)
    volume = volume_per_atom * sum(group.positions[letter].multiplicity for _, letter in occupations)
    for _ in range(tries):
        lattice = random_lattice(number, volume, rng=rng)
        cell = _Cell(lattice_matrix(lattice), group, min_distance_ratio)
        placed: dict[int, Orbit] = {}
        for i in order:
            orbit = cell.place(*occupations[i], rng=rng)
            if orbit is None:
                break
            placed[i] = orbit
        if len(placed) == len(order):
            crystal = Crystal(number, tuple(placed[i] for i in range(len(order))), lattice)
            if distances_ok(crystal, min_ratio=min_distance_ratio):
                return crystal
    return None


def random_lattice(number: int, volume: float, *, rng: np.random.Generator) -> LatticeParameters:
    """Return a random conventional cell of a crystal system.

    Parameters
    ----------
    number
        Space group.
    volume
        Of the conventional cell, Å³.
    rng
        Random numbers.
    """
    names = free_lattice_parameters(number)
    while True:
        free = []
        for name in names:
            if name in ANGLES:
                low, high = ANGLES["alpha" if "alpha" in names else name]
                free.append(float(rng.uniform(low, high)))
            else:
                free.append(math.exp(LENGTH_SPREAD * float(rng.standard_normal())))
        a, b, c, alpha, beta, gamma = lattice_parameters(number, tuple(free))
        if volume_factor((a, b, c, alpha, beta, gamma)) < MIN_VOLUME_FACTOR**2:
            continue
        scale = math.cbrt(volume / conventional_volume((a, b, c, alpha, beta, gamma)))
        return (a * scale, b * scale, c * scale, alpha, beta, gamma)


class _Cell:
    """A conventional cell that is filled orbit by orbit.

    Distances are those of the nearest image by fractional coordinates: in a skew cell some are too long, which the
    exact test of the finished crystal finds.
    """

    def __init__(self, matrix: FloatArray, group: SpaceGroup, min_ratio: float) -> None:
        self.matrix = matrix
        self.group = group
        self.min_ratio = min_ratio
        self.shortest_edge = float(np.linalg.norm(matrix, axis=1).min())
        self.points: list[FloatArray] = []
        self.radii: list[FloatArray] = []

    def place(self, element: str, letter: str, *, rng: np.random.Generator) -> Orbit | None:
        """Return an orbit that fits between those placed before, and keep it; ``None`` if no place was found."""
        position = self.group.positions[letter]
        radius = covalent_radius(element)
        if self.shortest_edge < max(MIN_DISTANCE, self.min_ratio * 2.0 * radius):
            return None
        free = rng.random((PLACES if position.dof else 1, position.dof))
        images = _images(position, free)  # (places, multiplicity, 3)
        first = images[:, :1]
        good = self._keeps_distance(first - images[:, 1:], np.full(images.shape[1] - 1, radius), radius)
        if self.points:
            others = np.concatenate(self.points)[None]
            good &= self._keeps_distance(first - others, np.concatenate(self.radii), radius)
        if not good.any():
            return None
        chosen = int(good.argmax())
        self.points.append(images[chosen])
        self.radii.append(np.full(images.shape[1], radius))
        return Orbit(element, letter, tuple(free[chosen].tolist()))

    def _keeps_distance(self, difference: FloatArray, radii: FloatArray, radius: float) -> NDArray[np.bool_]:
        """Return for which places all distances are long enough.

        Parameters
        ----------
        difference
            Of fractional coordinates, shape (places, m, 3).
        radii
            Of the other atoms, Å, shape (m,).
        radius
            Of the atom, Å.
        """
        distances = np.linalg.norm((difference - np.rint(difference)) @ self.matrix, axis=2)
        allowed = np.maximum(self.min_ratio * (radii + radius), MIN_DISTANCE)
        result: NDArray[np.bool_] = (distances >= allowed).all(axis=1)
        return result


def _images(position: WyckoffPosition, free: FloatArray) -> FloatArray:
    """Return all atoms of an orbit for some free coordinates, fractional, shape (places, multiplicity, 3)."""
    moved = np.einsum("mij,pj->pmi", position.rotations[:, :, list(position.free_axes)], free)
    result: FloatArray = position.translations[None] + moved
    return result
