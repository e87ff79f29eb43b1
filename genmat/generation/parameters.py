"""Parameters of generators: numbers in ranges, switches, names; checked and told in one line."""

from __future__ import annotations

import math
from dataclasses import Field, asdict, dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Self

from genmat.errors import CampaignError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping


def number(default: float, least: float, most: float) -> Any:
    """Return the field of a number with its default and the smallest and largest value that it may have."""
    return field(default=default, metadata={"range": (least, most)})


class GeneratorParameters:
    """Base of the parameters of a generator, a frozen dataclass whose numbers are fields made by :func:`number`.

    Raises
    ------
    CampaignError
        If a value is of another type or out of range.
    """

    __slots__ = ()
    generator: ClassVar[str]
    """Name of the generator, for messages."""

    def __post_init__(self) -> None:
        """Check types and ranges; a whole number where a real one is meant becomes one: 1 and 1.0 are one thing."""
        for item in fields(self):  # type: ignore[arg-type]  # every child is a dataclass
            object.__setattr__(self, item.name, _checked(item, getattr(self, item.name)))

    def to_dict(self) -> dict[str, Any]:
        """Return every parameter with its value."""
        return {name: str(value) if isinstance(value, StrEnum) else value for name, value in asdict(self).items()}  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return the parameters that a campaign gives; what it leaves out has its default.

        Raises
        ------
        CampaignError
            If a name is unknown or a value is wrong.
        """
        known = [item.name for item in fields(cls)]  # type: ignore[arg-type]
        for name in value:
            if name not in known:
                msg = (
                    f"generate: the {cls.generator} generator has no parameter {name!r}, it has {', '.join(known)}."
                    f"{did_you_mean(name, known)}"
                )
                raise CampaignError(msg)
        return cls(**value)


def _checked(item: Field[Any], value: object) -> object:
    """Return a value as the type of its field."""
    hint = ""
    if "range" in item.metadata:
        least, most = item.metadata["range"]
        whole = isinstance(item.default, int)
        is_number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if is_number and math.isfinite(value) and least <= value <= most:  # type: ignore[arg-type]
            return value if whole else float(value)  # type: ignore[arg-type]
        if is_number and not whole:
            value = float(value)  # type: ignore[arg-type]
        expected = f"a {'whole ' if whole else ''}number from {least:g} to {most:g}"
    elif isinstance(item.default, bool):
        if isinstance(value, bool):
            return value
        expected = "true or false"
    elif isinstance(item.default, StrEnum):
        known = [str(kind) for kind in type(item.default)]
        if value in known:
            return type(item.default)(str(value))
        expected = f"{' or '.join(known)}."
        hint = did_you_mean(str(value), known)
    else:
        if isinstance(value, str | None):
            return value
        expected = "text or null"
    msg = f"generate: parameter {item.name} is {value!r}, expected {expected}{hint}"
    raise CampaignError(msg)


@dataclass(frozen=True, slots=True)
class TemplateParameters(GeneratorParameters):
    """How the template generator proposes.

    Parameters
    ----------
    oversample
        Options that each draw proposes, of which it keeps one by score.
    avoid_known
        Whether crystals of the reference (equal formula and gene) are passed over.
    charge_balanced
        Whether ionic options must have a charge-neutral assignment of oxidation states.
    substitution_temperature
        Units of log-odds: low replaces elements by their nearest relatives, high by anything.
    selection_temperature
        Units of log-odds: 0 keeps the best-scored option, high keeps any; what lies between keeps draws diverse.
    prototype_exponent
        Probability of a prototype goes with (its number of templates) to this power.
    max_template_energy_above_hull
        eV/atom: no template lies higher above the reference's hull.
    """

    generator: ClassVar[str] = "template"

    oversample: int = number(8, 1, 1000)
    avoid_known: bool = True
    charge_balanced: bool = True
    substitution_temperature: float = number(1.0, 0.05, 20.0)
    selection_temperature: float = number(0.5, 0.0, 20.0)
    prototype_exponent: float = number(0.5, 0.0, 1.0)
    max_template_energy_above_hull: float = number(0.1, 0.0, 1.0)


class StartKind(StrEnum):
    """Where the geometry of a gene comes from."""

    TEMPLATE = "template"
    """From a known crystal with the same anonymous gene, decoded where there is none."""
    DECODED = "decoded"
    """From the decoder."""


@dataclass(frozen=True, slots=True)
class FoundationParameters(GeneratorParameters):
    """How the foundation model proposes.

    Parameters
    ----------
    oversample
        Genes that each draw proposes, of which it keeps one by score.
    avoid_known
        Whether genes of the reference (equal formula and gene) are passed over.
    charge_balanced
        Whether ionic genes must have a charge-neutral assignment of oxidation states.
    selection_temperature
        Nats: 0 keeps the best-scored gene, high keeps any.
    noise_level
        t at which the flow ends and the decoder takes over.
    guidance
        Strength of the condition in the flow.
    temperature
        Of space groups, letters and elements.
    geometry_temperature
        Of decoded lattices and coordinates.
    energy_above_hull
        eV/atom: upper end of the distance to the hull that the flow is asked for.
    start
        Where geometries come from.
    template
        Anonymous gene, such as ``221:A.a,B.b,C.c``, that every draw has; null for any.
    models
        Folder of trained models; null for those that genmat ships.
    """

    generator: ClassVar[str] = "foundation"

    oversample: int = number(8, 1, 1000)
    avoid_known: bool = True
    charge_balanced: bool = True
    selection_temperature: float = number(0.2, 0.0, 20.0)
    noise_level: float = number(0.7, 0.0, 1.0)
    guidance: float = number(1.5, 0.0, 20.0)
    temperature: float = number(0.8, 0.0, 5.0)
    geometry_temperature: float = number(0.3, 0.0, 5.0)
    energy_above_hull: float = number(0.025, 0.0, 1.0)
    start: StartKind = StartKind.TEMPLATE
    template: str | None = None
    models: str | None = None
