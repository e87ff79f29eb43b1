"""Elastic tensor from stresses of strained cells, and the moduli of a polycrystal.

With Voigt's strains η_j (xx, yy, zz, 2yz, 2xz, 2xy) the tensor is C_ij = ∂σ_i/∂η_j, here the slope over some strains,
the ions relaxed in each cell. Bulk and shear modulus are the means of Voigt's and Reuss's bounds (Hill, Proc. Phys.
Soc. A 65, 349 (1952), https://doi.org/10.1088/0370-1298/65/5/307); a crystal is stable if all eigenvalues of C
are positive (Mouhat, Coudert, Phys. Rev. B 90, 224104 (2014), https://doi.org/10.1103/PhysRevB.90.224104).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core.structure import Structure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Indices of the six components."""

STRAINS = (-0.01, -0.005, 0.005, 0.01)
"""Strains of each component (dimensionless)."""


@dataclass(frozen=True, slots=True, eq=False)
class Elasticity:
    """Elastic properties of a crystal.

    Parameters
    ----------
    tensor
        Voigt's C, GPa, shape (6, 6), in the axes of the cell that was strained.
    bulk_modulus, shear_modulus
        Voigt-Reuss-Hill, GPa.
    smallest_eigenvalue
        Of ``tensor``, GPa; not positive means mechanically unstable.
    """

    tensor: NDArray[np.float64]
    bulk_modulus: float
    shear_modulus: float
    smallest_eigenvalue: float

    @property
    def is_stable(self) -> bool:
        """Whether every strain costs energy."""
        return self.smallest_eigenvalue > 0.0


def strained_structures(structure: Structure, *, strains: Sequence[float] = STRAINS) -> list[Structure]:
    """Return a crystal under each strain of each component, component by component."""
    cells = []
    for row, column in VOIGT:
        for strain in strains:
            deformation = np.eye(3)
            if row == column:
                deformation[row, column] += strain
            else:
                deformation[row, column] += 0.5 * strain
                deformation[column, row] += 0.5 * strain
            matrix = structure.lattice.matrix @ deformation.T
            cells.append(Structure(matrix, structure.species, structure.frac_coords))
    return cells


def fit_elasticity(stresses: NDArray[np.float64], *, strains: Sequence[float] = STRAINS) -> Elasticity:
    """Return the elastic properties that stresses show.

    Parameters
    ----------
    stresses
        Of the cells of :func:`strained_structures`, GPa, positive under tension, shape (6 len(strains), 3, 3).
    strains
        Their strains.
    """
    tensor = np.empty((6, 6))
    for component, some in enumerate(np.split(stresses, 6)):
        voigt = np.array([[stress[index] for index in VOIGT] for stress in some])
        tensor[:, component] = np.polynomial.polynomial.polyfit(strains, voigt, 1)[1]
    tensor = 0.5 * (tensor + tensor.T)
    eigenvalues = np.linalg.eigvalsh(tensor)
    bulk, shear = _voigt(tensor)
    if eigenvalues.min() > 0.0:
        compliance = np.linalg.inv(tensor)
        reuss_bulk = 1.0 / compliance[:3, :3].sum()
        diagonal, mixed = np.trace(compliance[:3, :3]), compliance[0, 1] + compliance[0, 2] + compliance[1, 2]
        reuss_shear = 15.0 / (4.0 * (diagonal - mixed) + 3.0 * np.trace(compliance[3:, 3:]))
        bulk, shear = 0.5 * (bulk + reuss_bulk), 0.5 * (shear + reuss_shear)
    return Elasticity(tensor, float(bulk), float(shear), float(eigenvalues.min()))


def _voigt(tensor: NDArray[np.float64]) -> tuple[float, float]:
    diagonal, mixed = np.trace(tensor[:3, :3]), tensor[0, 1] + tensor[0, 2] + tensor[1, 2]
    return (diagonal + 2.0 * mixed) / 9.0, (diagonal - mixed + 3.0 * np.trace(tensor[3:, 3:])) / 15.0
