"""Curvature: second derivatives of the energy by a potential, with which a relaxation by first principles starts.

A quasi-Newton step is as good as the Hessian that it starts with. One number for all directions is far too stiff for
cells and sliding layers and too soft for short bonds; a potential tells them apart in a second. It changes how many
steps a relaxation takes, not what it converges to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core.structure import Structure
from scipy.linalg import expm

from genmat.screening.equation_of_state import EV_PER_CUBIC_ANGSTROM

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from genmat.models.calculation import Calculated

STEP = 0.01
"""Length of the finite differences, Å."""
LEAST = 0.3
"""Smallest curvature, eV/Å²: flat and unstable directions are taken as this stiff."""
ELSEWHERE = 70.0
"""Curvature of what the symmetry forbids, of translations and of rotations, eV/Å²: gradients vanish there."""
SYMPREC = 1e-4
"""Tolerance of the symmetry, Å; the crystal is expected to have it exactly."""


def curvature(
    structure: Structure, calculate: Callable[[Sequence[Structure]], Sequence[Calculated]]
) -> NDArray[np.float64]:
    """Return the Hessian of a crystal in its symmetric directions, each no flatter than ``LEAST``.

    Coordinates are those of ASE's ``FrechetCellFilter``: the positions x₀ in the cell at the start, and the logarithm M
    of the cell's deformation times the number n of atoms, x = exp(M/n) x₀. With forces F and stress σ, at small M,

        ∂E/∂x₀ = −F exp(M/n),    ∂E/∂M = V σ / n

    Central differences are taken along an orthonormal basis B of what every operation of the space group keeps. With
    their matrix h, of which every eigenvalue λ becomes max(|λ|, ``LEAST``),

        H = B h Bᵀ + ``ELSEWHERE`` (1 − B Bᵀ)

    Parameters
    ----------
    structure
        Ordered crystal.
    calculate
        Forces and stresses (GPa) at given geometries.

    Returns
    -------
    NDArray
        eV/Å², shape (3n + 9, 3n + 9).

    Raises
    ------
    ValueError
        If forces or stresses are not finite.
    """
    n = len(structure)
    basis = symmetric_directions(structure)
    steps = [sign * STEP * direction.reshape(n + 3, 3) for direction in basis.T for sign in (1.0, -1.0)]
    displaced = [_displaced(structure, step) for step in steps]
    found = zip(displaced, calculate(displaced), steps, strict=True)
    gradients = np.array([_gradient(*each) for each in found]).reshape(-1, 2, 3 * n + 9)
    matrix = (gradients[:, 0] - gradients[:, 1]) @ basis / (2.0 * STEP)
    if not np.isfinite(matrix).all():
        msg = "forces or stresses of the potential are not finite"
        raise ValueError(msg)
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    stiff = np.maximum(np.abs(values), LEAST)
    inside: NDArray[np.float64] = basis @ (vectors * (stiff - ELSEWHERE)) @ vectors.T @ basis.T
    return inside + ELSEWHERE * np.eye(3 * n + 9)


def symmetric_directions(structure: Structure) -> NDArray[np.float64]:
    """Return the displacements and strains that keep a space group, without drift and rotation: orthonormal columns.

    They are what the mean over the operations leaves as it is; with W, in Cartesian axes Q, that takes site i to p(i),

        u'_p(i) = Q u_i,    M' = Q M Qᵀ
    """
    from genmat.representation.operations import Symmetry

    n = len(structure)
    lattice = structure.lattice.matrix.T
    mean = np.eye(3 * n + 9)
    if (symmetry := Symmetry.of(structure, symprec=SYMPREC)) is not None:
        mean = np.zeros_like(mean)
        for rotation, images in zip(symmetry.rotations, symmetry.images, strict=True):
            q = lattice @ rotation @ np.linalg.inv(lattice)
            for i, image in enumerate(images):
                mean[3 * image : 3 * image + 3, 3 * i : 3 * i + 3] += q
            mean[3 * n :, 3 * n :] += np.kron(q, q)
        mean /= len(symmetry.rotations)
    drift = np.zeros_like(mean)
    drift[: 3 * n, : 3 * n] = np.kron(np.full((n, n), 1.0 / n), np.eye(3))
    transposed = np.eye(9).reshape(3, 3, 9).swapaxes(0, 1).reshape(9, 9)
    drift[3 * n :, 3 * n :] = (np.eye(9) - transposed) / 2.0
    kept = (np.eye(3 * n + 9) - drift) @ mean
    values, vectors = np.linalg.eigh((kept + kept.T) / 2.0)
    return vectors[:, values > 0.5]  # eigenvalues of a projection: 0 or 1


def _displaced(structure: Structure, step: NDArray[np.float64]) -> Structure:
    n = len(structure)
    deformation = expm(step[n:] / n)
    positions = (structure.cart_coords + step[:n]) @ deformation.T
    return Structure(structure.lattice.matrix @ deformation.T, structure.species, positions, coords_are_cartesian=True)


def _gradient(cell: Structure, found: Calculated, step: NDArray[np.float64]) -> NDArray[np.float64]:
    n = len(cell)
    inner = -found.forces @ expm(step[n:] / n)
    outer = cell.volume * found.stress / EV_PER_CUBIC_ANGSTROM / n
    return np.concatenate([inner.ravel(), outer.ravel()])
