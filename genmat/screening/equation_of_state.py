"""Bulk modulus from energies at several volumes: third-order Birch-Murnaghan equation of state.

With x = V^(-2/3) the equation of Birch (Phys. Rev. 71, 809 (1947), https://doi.org/10.1103/PhysRev.71.809) is a cubic,

    E(V) = c0 + c1 x + c2 x² + c3 x³,                                         (1)

so that the fit is linear and needs no starting values. At the minimum x0, V0 = x0^(-3/2) and, with E'' = d²E/dx²,

    B0 = (4/9) E''(x0) V0^(-7/3),      B0' = 4 + (2/3) x0 E'''(x0) / E''(x0).   (2)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core.structure import Structure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

EV_PER_CUBIC_ANGSTROM = 160.2176634
"""GPa in 1 eV/Å^3 (exact in the SI of 2019)."""

MIN_POINTS = 5
"""Four coefficients and one point more to judge the fit."""

MAX_RELATIVE_RESIDUAL = 0.05
"""Largest root mean square residual of a good fit, relative to the span of the energies."""

VOLUME_SCALES = (0.94, 0.96, 0.98, 1.0, 1.02, 1.04, 1.06)
"""Volumes, relative to the relaxed one, at which energies are computed."""


@dataclass(frozen=True, slots=True)
class EquationOfState:
    """A Birch-Murnaghan equation of state.

    Parameters
    ----------
    volume
        Equilibrium volume V0, Å^3 of the cell that was fitted.
    energy
        Energy E0 at V0, eV.
    bulk_modulus
        B0, GPa.
    pressure_derivative
        B0', dimensionless; 3 to 6 for most crystals.
    residual
        Root mean square of the fit's residuals, eV.
    """

    volume: float
    energy: float
    bulk_modulus: float
    pressure_derivative: float
    residual: float


@dataclass(frozen=True, slots=True)
class FitFailure:
    """Why points have no equation of state."""

    reason: str


def fit_birch_murnaghan(volumes: ArrayLike, energies: ArrayLike) -> EquationOfState | FitFailure:
    """Fit a third-order Birch-Murnaghan equation of state.

    Parameters
    ----------
    volumes
        Volumes, Å^3, shape (n,), n at least ``MIN_POINTS`` and in any order.
    energies
        Energies at ``volumes``, eV, shape (n,).

    Returns
    -------
    EquationOfState | FitFailure
        The fit, or in one line why the points have none: too few, not finite, no minimum between the outer ones, a
        scatter of more than ``MAX_RELATIVE_RESIDUAL`` of their span.
    """
    v, e = np.asarray(volumes, dtype=np.float64), np.asarray(energies, dtype=np.float64)
    if v.shape != e.shape or v.ndim != 1 or len(np.unique(v)) < MIN_POINTS:
        return FitFailure(f"{v.size} volumes and {e.size} energies, expected at least {MIN_POINTS} distinct pairs")
    if not (np.isfinite(v).all() and np.isfinite(e).all()) or v.min() <= 0.0:
        return FitFailure("a volume or an energy is not finite, or a volume is not positive")
    scale = float(np.median(v))
    y: NDArray[np.float64] = (v / scale) ** (-2.0 / 3.0) - 1.0
    curve = np.polynomial.Polynomial.fit(y, e, 3).convert()
    minimum = _cubic_minimum(*curve.convert().coef) if len(curve.coef) == 4 else None
    if minimum is None or not float(y.min()) <= minimum <= float(y.max()):
        return FitFailure(f"no energy minimum between {v.min():.4g} and {v.max():.4g} Å^3")
    residual = float(np.sqrt(np.mean((curve(y) - e) ** 2)))
    span = float(np.ptp(e))
    if residual > MAX_RELATIVE_RESIDUAL * span:
        return FitFailure(f"energies scatter by {residual:.2g} eV about the fit, their span is {span:.2g} eV")
    x0 = 1.0 + minimum
    curvature, third = float(curve.deriv(2)(minimum)), float(curve.deriv(3)(minimum))
    # x is (V / scale)^(-2/3), therefore V0^(-7/3) of equation (2) becomes (V0 / scale)^(-7/3) / scale.
    reduced = x0**-1.5
    return EquationOfState(
        volume=scale * reduced,
        energy=float(curve(minimum)),
        bulk_modulus=4.0 / 9.0 * curvature * reduced ** (-7.0 / 3.0) / scale * EV_PER_CUBIC_ANGSTROM,
        pressure_derivative=4.0 + 2.0 / 3.0 * x0 * third / curvature,
        residual=residual,
    )


def _cubic_minimum(_: float, c1: float, c2: float, c3: float) -> float | None:
    """Return where c1 y + c2 y² + c3 y³ has its minimum, in a form that is stable for small c3; ``None`` if nowhere."""
    discriminant = 4.0 * c2 * c2 - 12.0 * c1 * c3
    if discriminant <= 0.0:
        return None
    curvature = math.sqrt(discriminant)
    if c2 > 0.0:
        return -2.0 * c1 / (2.0 * c2 + curvature)
    return None if c3 == 0.0 else (curvature - 2.0 * c2) / (6.0 * c3)


def scaled_structures(structure: Structure, *, scales: Sequence[float] = VOLUME_SCALES) -> list[Structure]:
    """Return a crystal at several volumes, fractional coordinates kept.

    Parameters
    ----------
    structure
        Relaxed crystal.
    scales
        Volumes relative to that of ``structure``.
    """
    return [
        Structure(structure.lattice.scale(structure.volume * scale), structure.species, structure.frac_coords)
        for scale in scales
    ]
