"""Properties that a campaign may aim at, their units, and how a value is judged.

The merit of a value lies in [0, 1] and only orders candidates; whether one is on target is decided by its range alone:

- *direction* (given, or implied by a range with one end: towards the inside): a logistic curve
  m = 1 / (1 + exp(±(v - v₀) / s)), + for minimize, - for maximize. v₀ is the end of the range that the direction runs
  away from (``max`` for minimize, ``min`` for maximize), else the other end, else the property's ``midpoint``; s is its
  ``scale``.
- *two-sided range* without direction: a Lorentzian about the middle, m = 1 / (1 + ((v - c) / h)²) with centre c and
  half width h (at least 10⁻³ s): 1 in the middle, 1/2 at either end.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from genmat.campaign.base import CampaignModel, Number, check_order, is_within, range_text


class PropertyName(StrEnum):
    """Properties that the structure, the potential or a head of the foundation model gives."""

    ENERGY_ABOVE_HULL = "energy_above_hull"
    VOLUME_PER_ATOM = "volume_per_atom"
    DENSITY = "density"
    FORMATION_ENERGY_PER_ATOM = "formation_energy_per_atom"
    BULK_MODULUS = "bulk_modulus"
    BAND_GAP = "band_gap"
    SHEAR_MODULUS = "shear_modulus"
    DEBYE_TEMPERATURE = "debye_temperature"
    THERMAL_CONDUCTIVITY = "thermal_conductivity"
    THERMAL_EXPANSION = "thermal_expansion"


class Direction(StrEnum):
    """Which way a property should go."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"


@dataclass(frozen=True, slots=True)
class PropertyKind:
    """What is known about a property before any candidate.

    Parameters
    ----------
    unit
        The one unit in which genmat holds the property.
    scale
        Difference that matters, in ``unit``; width of the merit curve.
    midpoint
        Value of merit 1/2 where no range is given, in ``unit``.
    description
        What the number means.
    is_predicted
        Whether a head of the foundation model gives it, from the relaxed crystal, with an interval.
    """

    unit: str
    scale: float
    midpoint: float
    description: str
    is_predicted: bool = False


PROPERTY_KINDS = {
    PropertyName.ENERGY_ABOVE_HULL: PropertyKind(
        "eV/atom", 0.025, 0.0, "distance to the convex hull of the screening potential"
    ),
    PropertyName.VOLUME_PER_ATOM: PropertyKind("Å^3/atom", 2.0, 15.0, "cell volume over number of atoms"),
    PropertyName.DENSITY: PropertyKind("g/cm^3", 1.0, 5.0, "mass density"),
    PropertyName.FORMATION_ENERGY_PER_ATOM: PropertyKind(
        "eV/atom", 0.25, -1.0, "energy relative to the elements, in the screening potential"
    ),
    PropertyName.BULK_MODULUS: PropertyKind("GPa", 25.0, 100.0, "from a Birch-Murnaghan equation of state"),
    PropertyName.BAND_GAP: PropertyKind("eV", 0.5, 1.5, "predicted by the foundation model, PBE", is_predicted=True),
    PropertyName.SHEAR_MODULUS: PropertyKind("GPa", 20.0, 60.0, "predicted by the foundation model", is_predicted=True),
    PropertyName.DEBYE_TEMPERATURE: PropertyKind(
        "K", 75.0, 350.0, "predicted by the foundation model", is_predicted=True
    ),
    PropertyName.THERMAL_CONDUCTIVITY: PropertyKind(
        "W/mK", 5.0, 5.0, "of the lattice at 300 K, predicted by the foundation model", is_predicted=True
    ),
    PropertyName.THERMAL_EXPANSION: PropertyKind(
        "1/K", 1e-5, 3e-5, "at 300 K, predicted by the foundation model", is_predicted=True
    ),
}
"""Unit, scale and meaning of every property."""

_MIN_RELATIVE_HALF_WIDTH = 1e-3
_MAX_EXPONENT = 500.0


def _plain_unit(unit: str) -> str:
    """Return a unit without the spelling variants of one meaning (Å³, Å^3, A3, angstrom^3)."""
    text = unicodedata.normalize("NFKC", unit).replace("^", "").replace(" ", "").replace("**", "")
    return text.replace("Å", "A").replace("angstrom", "A").replace("Angstrom", "A")


class PropertyTarget(CampaignModel):
    """What one property of a relaxed candidate should be."""

    name: PropertyName = Field(
        description="; ".join(
            f"{name.value} ({kind.unit}): {kind.description}" for name, kind in PROPERTY_KINDS.items()
        )
    )
    unit: str = Field(
        default="",
        description="Unit of min and max, the property's own, such as eV/atom or GPa; may be left out.",
    )
    min: Number | None = Field(default=None, description="Smallest value on target, in the property's unit.")
    max: Number | None = Field(default=None, description="Largest value on target, in the property's unit.")
    direction: Direction | None = Field(
        default=None, description="Which way is better, for ranking; a range with one end implies it."
    )
    weight: Number = Field(default=1.0, gt=0, le=1000, description="Weight in the ranking (dimensionless).")

    @model_validator(mode="before")
    @classmethod
    def _fill_unit(cls, data: object) -> object:
        if not isinstance(data, dict) or not isinstance(data.get("name"), str) or data["name"] not in set(PropertyName):
            return data
        right = PROPERTY_KINDS[PropertyName(data["name"])].unit
        given = data.get("unit")
        if given is None or given == "":
            return {**data, "unit": right}
        if isinstance(given, str) and _plain_unit(given) == _plain_unit(right):
            return {**data, "unit": right}
        msg = f"unit {given!r} is wrong for {data['name']}; expected {right!r}"
        raise ValueError(msg)

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        check_order(self.min, self.max)
        if self.min is None and self.max is None and self.direction is None:
            msg = f"{self.name} has neither min, max nor direction; give at least one (direction: minimize or maximize)"
            raise ValueError(msg)
        return self

    @property
    def kind(self) -> PropertyKind:
        """Unit, scale and meaning of the property."""
        return PROPERTY_KINDS[self.name]

    @property
    def has_range(self) -> bool:
        """Whether a value can be off target; a direction alone only ranks."""
        return self.min is not None or self.max is not None

    def is_met_by(self, value: float) -> bool:
        """Return whether ``value`` (the property's unit) lies in the range; NaN never does."""
        return is_within(value, self.min, self.max)

    def merit(self, value: float) -> float:
        """Return how good ``value`` is, between 0 and 1; the formula stands at the module's top.

        Parameters
        ----------
        value
            Value in the property's unit; anything but a finite number has merit 0.
        """
        if not math.isfinite(value):
            return 0.0
        scale = self.kind.scale
        if self.direction is None and self.min is not None and self.max is not None:
            centre = 0.5 * (self.min + self.max)
            half_width = max(0.5 * (self.max - self.min), _MIN_RELATIVE_HALF_WIDTH * scale)
            distance = (value - centre) / half_width
            return 1.0 / (1.0 + distance * distance)
        minimize = self.direction is Direction.MINIMIZE or (self.direction is None and self.max is not None)
        near, far = (self.max, self.min) if minimize else (self.min, self.max)
        midpoint = next(end for end in (near, far, self.kind.midpoint) if end is not None)
        exponent = (value - midpoint) / scale * (1.0 if minimize else -1.0)
        return 1.0 / (1.0 + math.exp(min(exponent, _MAX_EXPONENT)))

    def __str__(self) -> str:
        """Return the request in words, such as ``density at most 6 g/cm^3, minimize``."""
        parts = [f"{range_text(self.min, self.max)} {self.unit}"] if self.has_range else []
        parts += [self.direction.value] if self.direction is not None else []
        return f"{self.name} {', '.join(parts)}"


@dataclass(frozen=True, slots=True)
class Violation:
    """A property of a candidate outside its range.

    Parameters
    ----------
    name
        The property.
    value
        Its value in ``unit``; ``None`` if there is none.
    minimum, maximum
        The range asked for, in ``unit``.
    unit
        Unit of all three.
    """

    name: PropertyName
    value: float | None
    minimum: float | None
    maximum: float | None
    unit: str

    def __str__(self) -> str:
        """Return the violation in words, such as ``density 7.1 g/cm^3 (asked: at most 6)``."""
        got = "has no value" if self.value is None else f"{self.value:.4g} {self.unit}"
        return f"{self.name} {got} (asked: {range_text(self.minimum, self.maximum)})"
