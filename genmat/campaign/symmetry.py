"""The symmetry that a campaign asks for: space groups by number or symbol, crystal systems."""

from __future__ import annotations

from enum import StrEnum
from functools import cache, cached_property
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from genmat.campaign.base import CampaignModel
from genmat.errors import did_you_mean

N_SPACE_GROUPS = 230
N_HALL_NUMBERS = 530


class CrystalSystem(StrEnum):
    """The seven crystal systems (trigonal and hexagonal apart, rhombohedral lattices are trigonal)."""

    TRICLINIC = "triclinic"
    MONOCLINIC = "monoclinic"
    ORTHORHOMBIC = "orthorhombic"
    TETRAGONAL = "tetragonal"
    TRIGONAL = "trigonal"
    HEXAGONAL = "hexagonal"
    CUBIC = "cubic"


SPACE_GROUPS_OF = {
    CrystalSystem.TRICLINIC: range(1, 3),
    CrystalSystem.MONOCLINIC: range(3, 16),
    CrystalSystem.ORTHORHOMBIC: range(16, 75),
    CrystalSystem.TETRAGONAL: range(75, 143),
    CrystalSystem.TRIGONAL: range(143, 168),
    CrystalSystem.HEXAGONAL: range(168, 195),
    CrystalSystem.CUBIC: range(195, 231),
}
"""Numbers of the space groups of each crystal system (International Tables A)."""


def crystal_system(number: int) -> CrystalSystem:
    """Return the crystal system of space group ``number`` (1 to 230)."""
    return next(system for system, numbers in SPACE_GROUPS_OF.items() if number in numbers)


@cache
def _numbers_of_symbols() -> dict[str, int]:
    """Return space group numbers by Hermann-Mauguin symbol, every setting that spglib lists, without _ and blanks."""
    import spglib

    numbers: dict[str, int] = {}
    for hall_number in range(1, N_HALL_NUMBERS + 1):
        kind = spglib.get_spacegroup_type(hall_number)
        if kind is None:
            continue
        for symbol in (kind.international_short, kind.international_full):
            numbers.setdefault(_plain(symbol), kind.number)
    return numbers


def _plain(symbol: str) -> str:
    return symbol.replace("_", "").replace(" ", "")


def check_space_group(value: object) -> int:
    """Return the number of a space group given by number or Hermann-Mauguin symbol.

    Parameters
    ----------
    value
        Number from 1 to 230, or a symbol such as ``Fm-3m``, ``P2_1/c`` or ``P 1 2_1/c 1``.

    Raises
    ------
    ValueError
        If there is no such space group; the nearest symbol is named.
    """
    if isinstance(value, str):
        if value.strip().isdecimal():
            return check_space_group(int(value))
        numbers = _numbers_of_symbols()
        if (number := numbers.get(_plain(value))) is not None:
            return number
        # Of equally near symbols the one of the same length is meant: Fm-3x is Fm-3m, not Fm-3.
        hint = did_you_mean(_plain(value), [symbol for symbol in numbers if len(symbol) == len(_plain(value))])
        msg = f"{value!r} is not a space group; expected a number from 1 to 230 or a symbol such as 'Fm-3m'.{hint}"
        raise ValueError(msg)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= N_SPACE_GROUPS:
        msg = f"{value!r} is not a space group; expected a number from 1 to 230 or a symbol such as 'Fm-3m'"
        raise ValueError(msg)
    return value


type SpaceGroup = Annotated[
    int,
    BeforeValidator(check_space_group),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": N_SPACE_GROUPS}, {"type": "string"}]}),
]
"""Number of a space group, read from a number or a symbol."""


class Symmetry(CampaignModel):
    """Space groups that a relaxed candidate may have; both lists absent allow every one."""

    space_groups: tuple[SpaceGroup, ...] | None = Field(
        default=None,
        min_length=1,
        description="Allowed space groups, each a number from 1 to 230 or a Hermann-Mauguin symbol such as Fm-3m.",
    )
    crystal_systems: tuple[CrystalSystem, ...] | None = Field(
        default=None,
        min_length=1,
        description="Allowed crystal systems; space groups, where given too, must belong to them.",
    )

    @field_validator("space_groups", "crystal_systems", mode="after")
    @classmethod
    def _sort(cls, values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        return None if values is None else tuple(sorted(set(values)))

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        for number in self.space_groups or ():
            if self.crystal_systems is not None and (system := crystal_system(number)) not in self.crystal_systems:
                msg = (
                    f"space group {number} is {system}, but crystal_systems allows only "
                    f"{', '.join(self.crystal_systems)}: add {system!s} there or drop the space group"
                )
                raise ValueError(msg)
        return self

    @cached_property
    def allowed(self) -> frozenset[int]:
        """Numbers of all allowed space groups."""
        if self.space_groups is not None:
            return frozenset(self.space_groups)
        systems = self.crystal_systems or tuple(CrystalSystem)
        return frozenset(number for system in systems for number in SPACE_GROUPS_OF[system])
