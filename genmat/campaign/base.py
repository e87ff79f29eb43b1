"""What every part of a campaign is made of: strict immutable models, numbers and ranges."""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator

Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
"""A finite number; neither text nor a truth value is taken for one."""

Count = Annotated[int, Strict(), Field(ge=1)]
"""A whole number of at least 1."""


class CampaignModel(BaseModel):
    """A mapping of a campaign file: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def check_order(minimum: float | None, maximum: float | None) -> None:
    """Raise if the lower end of a range lies above the upper one.

    Raises
    ------
    ValueError
        If ``minimum > maximum``.
    """
    if minimum is not None and maximum is not None and minimum > maximum:
        msg = f"min {minimum:g} is above max {maximum:g}: no value can lie between them"
        raise ValueError(msg)


def is_within(value: float, minimum: float | None, maximum: float | None) -> bool:
    """Return whether ``value`` lies in the closed range; an absent end is open, NaN lies in no range."""
    return not math.isnan(value) and (minimum is None or value >= minimum) and (maximum is None or value <= maximum)


def range_text(minimum: float | None, maximum: float | None) -> str:
    """Return ``"1 to 4"``, ``"at least 1"``, ``"at most 4"`` or ``"any"``."""
    if minimum is not None and maximum is not None:
        return f"{minimum:g} to {maximum:g}"
    if minimum is not None:
        return f"at least {minimum:g}"
    return f"at most {maximum:g}" if maximum is not None else "any"


class CountRange(CampaignModel):
    """A closed range of whole numbers."""

    min: Count = Field(default=1, description="Smallest allowed number.")
    max: Count | None = Field(default=None, description="Largest allowed number; null for no limit.")

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        check_order(self.min, self.max)
        return self

    def __contains__(self, value: int) -> bool:
        """Return whether ``value`` lies in the range, ends included."""
        return is_within(value, self.min, self.max)

    def __str__(self) -> str:
        """Return the range in words."""
        return range_text(self.min, self.max)


class NumberRange(CampaignModel):
    """A closed range of finite numbers."""

    min: Number = Field(description="Smallest allowed value.")
    max: Number = Field(description="Largest allowed value.")

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        check_order(self.min, self.max)
        return self

    def __contains__(self, value: float) -> bool:
        """Return whether ``value`` lies in the range, ends included."""
        return is_within(value, self.min, self.max)

    def __str__(self) -> str:
        """Return the range in words."""
        return range_text(self.min, self.max)
