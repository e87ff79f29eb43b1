"""Parameters of the generation by the foundation model."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from genmat.errors import CampaignError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping


class StartKind(StrEnum):
    """Where the geometry of a gene comes from."""

    TEMPLATE = "template"
    """From a known crystal with the same anonymous gene, decoded where there is none."""
    DECODED = "decoded"
    """From the decoder."""


@dataclass(frozen=True, slots=True)
class FoundationParameters:
    """How the foundation model proposes.

    Parameters
    ----------
    oversample
        Genes that each draw proposes, of which it keeps one by score; 1 to 1000.
    avoid_known
        Whether genes of the reference (equal formula and gene) are passed over.
    charge_balanced
        Whether ionic genes must have a charge-neutral assignment of oxidation states.
    selection_temperature
        Nats, 0 to 20: 0 keeps the best-scored gene, high keeps any.
    noise_level
        0 to 1: t at which the flow ends and the decoder takes over.
    guidance
        0 to 20: strength of the condition in the flow.
    temperature
        0 to 5: of space groups, letters and elements.
    geometry_temperature
        0 to 5: of decoded lattices and coordinates.
    energy_above_hull
        eV/atom, 0 to 1: upper end of the distance to the hull that the flow is asked for.
    start
        ``template`` or ``decoded``: where geometries come from.
    template
        Anonymous gene, such as ``221:A.a,B.b,C.c``, that every draw has; null for any.
    models
        Folder of trained models; null for those that genmat ships.

    Raises
    ------
    CampaignError
        If a value is of another type or out of range.
    """

    oversample: int = 8
    avoid_known: bool = True
    charge_balanced: bool = True
    selection_temperature: float = 0.2
    noise_level: float = 0.7
    guidance: float = 1.5
    temperature: float = 0.8
    geometry_temperature: float = 0.3
    energy_above_hull: float = 0.025
    start: StartKind = StartKind.TEMPLATE
    template: str | None = None
    models: str | None = None

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
        for name in ("template", "models"):
            if not isinstance(getattr(self, name), str | None):
                msg = f"generate: parameter {name} is {getattr(self, name)!r}, expected text or null"
                raise CampaignError(msg)
        try:
            object.__setattr__(self, "start", StartKind(self.start))
        except ValueError as err:
            known = [str(kind) for kind in StartKind]
            msg = f"generate: parameter start is {self.start!r}, expected {' or '.join(known)}."
            raise CampaignError(msg + did_you_mean(str(self.start), known)) from err

    def to_dict(self) -> dict[str, Any]:
        """Return every parameter with its value."""
        return asdict(self) | {"start": str(self.start)}

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
                    f"generate: the foundation generator has no parameter {name!r}, it has {', '.join(known)}."
                    f"{did_you_mean(name, known)}"
                )
                raise CampaignError(msg)
        given: dict[str, Any] = {n: float(item) if _is_real(n, item) else item for n, item in value.items()}
        return cls(**given)


_RANGES = {
    "oversample": (1, 1000),
    "selection_temperature": (0.0, 20.0),
    "noise_level": (0.0, 1.0),
    "guidance": (0.0, 20.0),
    "temperature": (0.0, 5.0),
    "geometry_temperature": (0.0, 5.0),
    "energy_above_hull": (0.0, 1.0),
}
"""Smallest and largest value of the numbers."""


def _is_real(name: str, value: object) -> bool:
    """Return whether a whole number stands where a real one is meant: 1 and 1.0 are one configuration."""
    return name in _RANGES and name != "oversample" and isinstance(value, int) and not isinstance(value, bool)
