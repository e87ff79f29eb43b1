"""What a campaign is after, and whether a candidate is it."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Self

from pydantic import Field, field_validator, model_validator

from genmat.campaign.base import CampaignModel, CountRange
from genmat.campaign.chemistry import Chemistry
from genmat.campaign.properties import Direction, PropertyName, PropertyTarget, Violation
from genmat.campaign.symmetry import Symmetry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pymatgen.core.composition import Composition

DEFAULT_PROPERTIES = (PropertyTarget(name=PropertyName.ENERGY_ABOVE_HULL, direction=Direction.MINIMIZE),)


class Target(CampaignModel):
    """Properties, chemistry, symmetry and size that a candidate must have after relaxation."""

    properties: tuple[PropertyTarget, ...] = Field(
        default=DEFAULT_PROPERTIES,
        min_length=1,
        description="Properties with range or direction and weight, each once; default: minimize energy_above_hull.",
    )
    chemistry: Chemistry = Field(default=Chemistry(), description="Elements and compositions.")
    symmetry: Symmetry = Field(default=Symmetry(), description="Space groups or crystal systems.")
    n_atoms: CountRange = Field(
        default=CountRange(min=1, max=20), description="Number of atoms in the primitive cell of a candidate."
    )

    @field_validator("properties", mode="after")
    @classmethod
    def _name_each_once(cls, properties: tuple[PropertyTarget, ...]) -> tuple[PropertyTarget, ...]:
        names = [item.name for item in properties]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            times = names.count(twice[0])
            msg = f"{twice[0]} is given {times} times; give min, max and direction of a property in one entry"
            raise ValueError(msg)
        return tuple(sorted(properties, key=lambda item: item.name))

    @model_validator(mode="after")
    def _composition_fits_cell(self) -> Self:
        size = self.chemistry.formula_size
        if size is None:
            return self
        most = self.n_atoms.max
        least_units = -(-self.n_atoms.min // size)
        if most is not None and least_units * size > most:
            msg = (
                f"composition {self.chemistry.composition} has {size} atoms in a formula unit, "
                f"but n_atoms is {self.n_atoms}: no multiple of {size} lies there"
            )
            raise ValueError(msg)
        return self

    @cached_property
    def needed_properties(self) -> frozenset[PropertyName]:
        """Properties whose values :meth:`check_values` and :meth:`merit` use."""
        return frozenset(item.name for item in self.properties)

    def allows_elements(self, symbols: Iterable[str]) -> bool:
        """Return whether a candidate may consist of exactly these elements."""
        return self.chemistry.allows_elements(symbols)

    def allows_composition(self, composition: Composition) -> bool:
        """Return whether a candidate may have this composition, whatever the number of formula units."""
        return self.chemistry.allows_composition(composition)

    def allows_space_group(self, number: int) -> bool:
        """Return whether a candidate may have the space group ``number``."""
        return number in self.symmetry.allowed

    def allows_n_atoms(self, n_atoms: int) -> bool:
        """Return whether the primitive cell of a candidate may hold ``n_atoms`` atoms."""
        return n_atoms in self.n_atoms

    def check_values(self, values: Mapping[PropertyName, float]) -> list[Violation]:
        """Return the properties outside their ranges; empty means on target.

        Parameters
        ----------
        values
            Values of at least the properties with a range, each in the property's unit. One that is missing or NaN
            counts as a violation: nothing is on target by not having been computed.
        """
        found = []
        for item in self.properties:
            value = values.get(item.name)
            if item.has_range and (value is None or not item.is_met_by(value)):
                shown = None if value is None or math.isnan(value) else value
                found.append(Violation(item.name, shown, item.min, item.max, item.unit))
        return found

    def merit(self, values: Mapping[PropertyName, float]) -> float:
        """Return the weighted mean of the properties' merits, between 0 and 1, for ranking.

        Σ wᵢ mᵢ / Σ wᵢ with mᵢ from :meth:`genmat.campaign.properties.PropertyTarget.merit`; a missing value has
        merit 0.
        """
        total = sum(item.weight for item in self.properties)
        return sum(item.weight * item.merit(values.get(item.name, float("nan"))) for item in self.properties) / total
