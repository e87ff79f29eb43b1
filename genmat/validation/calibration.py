"""Calibration: what first principles said about a potential's distances to the hull, put to use for the next ones.

A residual is r = E(engine) - E(potential), both in eV/atom above their own hull. Residuals calibrate the scale of the
engine that they come from and no other; deviations of the geometry lie on no scale and serve all. Only candidates that
the potential let pass are computed, so that residuals say nothing about what it rejected: a tolerance that they suggest
can be narrowed with more right than widened.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from genmat.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genmat.energy import EnergyScale
    from genmat.validation.summary import Deviation

FEWEST = 3
"""Residuals below which nothing is shifted: the median of two is either."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Residuals of one scale.

    Parameters
    ----------
    scale
        Of the engine.
    residuals
        eV/atom, ascending.
    """

    scale: EnergyScale
    residuals: tuple[float, ...]

    @property
    def shift(self) -> float:
        """Median residual, to the meV, eV/atom; 0 with fewer than :data:`FEWEST`."""
        # Rounded so that machines whose arithmetic differs choose the same candidates.
        return round(median(self.residuals), 3) if len(self.residuals) >= FEWEST else 0.0

    def tolerance(self, confirmed: float, *, coverage: float = 0.9) -> float | None:
        """Return the potential's τ that keeps a share of those that the engine would confirm, eV/atom.

        Split conformal: τ = confirmed - r, with r the k-th smallest of n residuals, k = ⌊(1 - coverage)(n + 1)⌋
        (V. Vovk, A. Gammerman, G. Shafer, Algorithmic Learning in a Random World (2005), chapter 2).

        Parameters
        ----------
        confirmed
            Largest distance that the engine confirms, eV/atom.
        coverage
            Share of them, between 0 and 1.

        Returns
        -------
        float or None
            ``None`` where so few residuals guarantee nothing (with 0.9: fewer than nine).

        Raises
        ------
        InputError
            If ``coverage`` is not between 0 and 1.
        """
        if not 0.0 < coverage < 1.0:
            msg = f"coverage is {coverage:g}, expected a share between 0 and 1"
            raise InputError(msg)
        place = math.floor((1.0 - coverage) * (len(self.residuals) + 1) + 1e-9)
        return confirmed - self.residuals[place - 1] if place >= 1 else None


def calibrate(residuals: Iterable[tuple[float, EnergyScale]], *, scale: EnergyScale) -> Calibration:
    """Return the calibration of a scale: residuals of others, and those that are no number, take no part."""
    return Calibration(scale, tuple(sorted(r for r, of in residuals if of == scale and math.isfinite(r))))


@dataclass(frozen=True, slots=True)
class GeometryBounds:
    """How far a potential's relaxed geometries are off, whatever engine says so.

    Parameters
    ----------
    number
        Candidates that it rests on.
    volume_change
        Bound of the absolute change of the volume (dimensionless).
    rmsd
        Bound of the displacement of the atoms, Å.
    """

    number: int
    volume_change: float | None
    rmsd: float | None


def geometry_bounds(deviations: Iterable[Deviation], *, coverage: float = 0.9) -> GeometryBounds:
    """Return bounds that the next geometry keeps with a probability of at least ``coverage``.

    Split conformal: the k-th smallest of n, k = ⌈coverage (n + 1)⌉; ``None`` where k > n (with 0.9: fewer than nine).
    """
    known = list(deviations)
    volumes = [abs(deviation.volume_change) for deviation in known if deviation.volume_change is not None]
    moved = [deviation.rmsd for deviation in known if deviation.rmsd is not None]
    return GeometryBounds(len(volumes), _upper(volumes, coverage), _upper(moved, coverage))


def _upper(values: list[float], coverage: float) -> float | None:
    place = math.ceil(coverage * (len(values) + 1) - 1e-9)
    return sorted(values)[place - 1] if place <= len(values) else None
