"""Parameters of the template generator."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from genmat.errors import CampaignError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class TemplateParameters:
    """How the template generator proposes.

    Parameters
    ----------
    oversample
        Options that each draw proposes, of which it keeps one by score; 1 to 1000.
    avoid_known
        Whether crystals of the reference (equal formula and gene) are passed over.
    charge_balanced
        Whether ionic options must have a charge-neutral assignment of oxidation states.
    substitution_temperature
        Units of log-odds, 0.05 to 20: low replaces elements by their nearest relatives, high by anything.
    selection_temperature
        Units of log-odds, 0 to 20: 0 keeps the best-scored option, high keeps any; what lies between keeps draws
        diverse.
    prototype_exponent
        0 to 1: probability of a prototype goes with (its number of templates) to this power.
    max_template_energy_above_hull
        eV/atom, 0 to 1: no template lies higher above the reference's hull.

    Raises
    ------
    CampaignError
        If a value is of another type or out of range.
    """

    oversample: int = 8
    avoid_known: bool = True
    charge_balanced: bool = True
    substitution_temperature: float = 1.0
    selection_temperature: float = 0.5
    prototype_exponent: float = 0.5
    max_template_energy_above_hull: float = 0.1

    def __post_init__(self) -> None:
        """Check types and ranges."""
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            whole = name == "oversample"
            is_number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
            if not is_number or not math.isfinite(value) or not least <= value <= most:
                kind = "a whole number" if whole else "a number"
                msg = f"generate: parameter {name} is {value!r}, expected {kind} from {least:g} to {most:g}"
                raise CampaignError(msg)
        for name in ("avoid_known", "charge_balanced"):
            if not isinstance(getattr(self, name), bool):
                msg = f"generate: parameter {name} is {getattr(self, name)!r}, expected true or false"
                raise CampaignError(msg)

    def to_dict(self) -> dict[str, Any]:
        """Return every parameter with its value."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return the parameters that a campaign gives; what it leaves out has its default.

        Raises
        ------
        CampaignError
            If a name is unknown or a value is wrong.
        """
        known = [item.name for item in fields(cls)]
        for name in value:
            if name not in known:
                msg = (
                    f"generate: the template generator has no parameter {name!r}, it has {', '.join(known)}."
                    f"{did_you_mean(name, known)}"
                )
                raise CampaignError(msg)
        given: dict[str, Any] = {n: float(item) if _is_real(n, item) else item for n, item in value.items()}
        return cls(**given)


_RANGES = {
    "oversample": (1, 1000),
    "substitution_temperature": (0.05, 20.0),
    "selection_temperature": (0.0, 20.0),
    "prototype_exponent": (0.0, 1.0),
    "max_template_energy_above_hull": (0.0, 1.0),
}
"""Smallest and largest value of the numbers."""


def _is_real(name: str, value: object) -> bool:
    """Return whether a whole number stands where a real one is meant: 1 and 1.0 are one configuration."""
    return name in _RANGES and name != "oversample" and isinstance(value, int) and not isinstance(value, bool)
