"""Properties that engines compute from first principles, by whom, and which targets they answer."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from genmat.campaign.properties import PropertyName
from genmat.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class ComputedProperty(StrEnum):
    """Calculations that follow a confirmed validation, the cheapest first."""

    BAND_GAP = "band_gap"
    DIELECTRIC = "dielectric"
    BAND_GAP_HSE = "band_gap_hse"
    ELASTIC = "elastic"
    PHONON = "phonon"


OFFERED: dict[str, tuple[ComputedProperty, ...]] = {
    "gpaw": (),
    "vasp": tuple(ComputedProperty),
    # Bands at a fixed density and density-functional perturbation theory know no meta-GGA.
    "vasp-r2scan": (ComputedProperty.BAND_GAP_HSE,),
}
"""What each engine computes besides energy, geometry and the gap on its mesh of k-points."""

ANSWERS: dict[ComputedProperty, dict[PropertyName, str]] = {
    ComputedProperty.BAND_GAP: {PropertyName.BAND_GAP: "band_gap"},
    ComputedProperty.DIELECTRIC: {},
    ComputedProperty.BAND_GAP_HSE: {PropertyName.BAND_GAP: "band_gap"},
    ComputedProperty.ELASTIC: {
        PropertyName.BULK_MODULUS: "bulk_modulus_vrh",
        PropertyName.SHEAR_MODULUS: "shear_modulus_vrh",
        PropertyName.DEBYE_TEMPERATURE: "debye_temperature",
    },
    ComputedProperty.PHONON: {},
}
"""Which value of a calculation says what a property of the target is."""

_NEVER_BY_ITSELF = frozenset({ComputedProperty.BAND_GAP_HSE})
"""Costly ones with a cheaper one for the same target."""


def for_target(needed: Collection[PropertyName], *, engine: str) -> tuple[ComputedProperty, ...]:
    """Return the calculations of an engine that answer properties of a target."""
    return tuple(
        name for name in OFFERED[engine] if name not in _NEVER_BY_ITSELF and not ANSWERS[name].keys().isdisjoint(needed)
    )


def check_computed(asked: Sequence[ComputedProperty], *, engine: str) -> None:
    """Check that an engine computes what is asked for, each once.

    Raises
    ------
    ValueError
        If it does not, or something is asked for twice.
    """
    if twice := sorted({name for name in asked if asked.count(name) > 1}):
        msg = f"properties name {twice[0].value} {asked.count(twice[0])} times; once is enough"
        raise ValueError(msg)
    if absent := [name.value for name in asked if name not in OFFERED[engine]]:
        can = ", ".join(name.value for name in OFFERED[engine]) or "only energy, geometry and the gap on its mesh"
        others = [other for other, names in OFFERED.items() if set(asked) <= set(names)]
        msg = f"{engine} does not compute {', '.join(absent)}; it computes {can}"
        raise ValueError(msg + (f". Engines that do: {', '.join(others)}" if others else ""))


def parse_computed(text: str, *, engine: str) -> tuple[ComputedProperty, ...]:
    """Return the calculations that a list such as ``band_gap_hse,elastic`` names, the cheapest first.

    Raises
    ------
    InputError
        If a name is unknown, or the engine does not compute what is asked for.
    """
    names = [name.strip() for name in text.split(",")]
    known = [name.value for name in ComputedProperty]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or f" Properties are: {', '.join(known)}"
            msg = f"unknown property {name!r}.{hint}"
            raise InputError(msg)
    asked = [ComputedProperty(name) for name in names]
    try:
        check_computed(asked, engine=engine)
    except ValueError as err:
        raise InputError(str(err)) from err
    return tuple(name for name in ComputedProperty if name in asked)
