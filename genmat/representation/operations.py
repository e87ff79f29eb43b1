"""Symmetry operations found within a tolerance, and the crystal nearby that has them exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import spglib
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Symmetry:
    """The operations of a crystal: x to W x + t in fractional coordinates, and which site each of them makes of a site.

    Parameters
    ----------
    rotations, translations
        Shape (operations, 3, 3) and (operations, 3).
    images
        Site that each site is taken to, shape (operations, sites).
    """

    rotations: NDArray[np.floating] | NDArray[np.integer]
    translations: NDArray[np.float64]
    images: NDArray[np.intp]

    @classmethod
    def of(cls, structure: Structure, *, symprec: float) -> Symmetry | None:
        """Return what is found within a distance (Å); ``None`` if that is the identity alone."""
        numbers = np.array(structure.atomic_numbers)
        cell = (structure.lattice.matrix, structure.frac_coords, numbers)
        try:
            found = spglib.get_symmetry(cell, symprec=symprec)  # type: ignore[arg-type]  # arrays do
        except spglib.SpglibError:
            return None
        if found is None or len(found["rotations"]) == 1:
            return None
        return cls.from_operations(structure, found["rotations"], found["translations"])

    @classmethod
    def from_operations(
        cls,
        structure: Structure,
        rotations: NDArray[np.floating] | NDArray[np.integer],
        translations: NDArray[np.float64],
    ) -> Symmetry | None:
        """Return operations that hold about a crystal nearly; ``None`` if one takes two sites to the same."""
        x, numbers = structure.frac_coords, np.array(structure.atomic_numbers)
        images = []
        for rotation, translation in zip(rotations, translations, strict=True):
            away = (x @ rotation.T + translation)[:, None] - x
            away -= np.round(away)
            distances = np.linalg.norm(away @ structure.lattice.matrix, axis=2)
            images.append(np.where(numbers[:, None] == numbers, distances, np.inf).argmin(axis=1))
            if len(np.unique(images[-1])) < len(x):
                return None
        return cls(rotations, translations, np.array(images))

    def applied(self, structure: Structure, *, cell: bool, origin: bool = False) -> Structure:
        """Return the nearest crystal that has this symmetry exactly; order of sites and setting of the cell stay.

        Parameters
        ----------
        structure
            Crystal near it.
        cell
            Whether the cell may change too.
        origin
            Whether the operations hold about the origin of the cell, else about wherever the crystal has moved to.

        Notes
        -----
        Positions are the mean over the images of each atom, the metric G is the mean of Wᵀ G W over the rotations W.
        """
        lattice, x = structure.lattice.matrix, structure.frac_coords
        total = np.zeros_like(x)
        for rotation, translation, image in zip(self.rotations, self.translations, self.images, strict=True):
            away = x @ rotation.T + translation - x[image]
            away -= np.round(away)
            total[image] += x[image] + (away if origin else away - away.mean(axis=0))
        metric = np.mean([w.T @ lattice @ lattice.T @ w for w in self.rotations], axis=0)
        return Structure(
            Lattice(_of_metric(metric, near=lattice)) if cell else structure.lattice,
            structure.species,
            total / len(self.rotations),
        )


def _of_metric(metric: NDArray[np.float64], *, near: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the basis with a metric tensor that a pure strain of another basis gives."""
    inverse = np.linalg.inv(near)
    values, vectors = np.linalg.eigh(inverse @ metric @ inverse.T)
    basis: NDArray[np.float64] = near @ (vectors * np.sqrt(values)) @ vectors.T
    return basis
