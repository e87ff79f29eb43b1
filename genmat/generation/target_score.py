"""How likely a proposal is on target before any energy: properties that follow from composition and volume.

The volume of a proposal is a prediction with a known error, so a range of volume per atom or density has a
probability. Nothing here is a constraint: whether a relaxed candidate is on target is decided after relaxation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from genmat.campaign.properties import PropertyName
from genmat.reference.entries import SYMBOLS
from genmat.representation.descriptors import GRAMS_PER_CUBIC_CENTIMETRE

if TYPE_CHECKING:
    from genmat.campaign.target import Target
    from genmat.generation.mixing import Amounts

VOLUME_ERROR = 0.06
"""Relative standard error of the predicted volume; relaxation changes that of a proposal by 5 % on average."""

LEAST_PROBABILITY = 1e-4
"""A proposal that looks hopeless keeps this probability: the prediction may be wrong."""


@dataclass(frozen=True, slots=True)
class TargetScore:
    """Ranges of the properties that volume and composition decide.

    Parameters
    ----------
    volume
        Allowed volume per atom, Å³/atom; an open end is infinite.
    density
        Allowed density, g/cm³; an open end is infinite.
    """

    volume: tuple[float, float] | None
    density: tuple[float, float] | None

    @classmethod
    def from_target(cls, target: Target) -> TargetScore:
        """Return the ranges that ``target`` asks for."""
        ranges = {
            item.name: (-math.inf if item.min is None else item.min, math.inf if item.max is None else item.max)
            for item in target.properties
            if item.has_range
        }
        return cls(ranges.get(PropertyName.VOLUME_PER_ATOM), ranges.get(PropertyName.DENSITY))

    def log_probability(self, amounts: Amounts, volume_per_atom: float) -> float:
        """Return the log-probability that the relaxed proposal lies in the ranges.

        Parameters
        ----------
        amounts
            Atomic numbers and amounts.
        volume_per_atom
            Predicted, Å³/atom.
        """
        result = 0.0
        if self.volume is not None:
            result += _log_probability(volume_per_atom, self.volume)
        if self.density is not None:
            mass = sum(_mass(z) * n for z, n in amounts) / sum(n for _, n in amounts)
            result += _log_probability(GRAMS_PER_CUBIC_CENTIMETRE * mass / volume_per_atom, self.density)
        return result


def _log_probability(value: float, allowed: tuple[float, float]) -> float:
    """Return ln P that a quantity with relative error ``VOLUME_ERROR`` (normal) lies in a range."""
    width = VOLUME_ERROR * value * math.sqrt(2.0)
    least, most = (math.erf((end - value) / width) for end in allowed)
    return math.log(max(0.5 * (most - least), LEAST_PROBABILITY))


@lru_cache(maxsize=128)
def _mass(z: int) -> float:
    """Return the mass of an atom in atomic mass units."""
    from pymatgen.core.periodic_table import Element

    return float(Element(SYMBOLS[z]).atomic_mass)
