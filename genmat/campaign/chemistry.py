"""The chemistry that a campaign asks for."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from genmat.campaign.base import CampaignModel, CountRange
from genmat.campaign.elements import ELEMENTS, ElementSymbol, check_element

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pymatgen.core.composition import Composition

_INTEGER_TOLERANCE = 1e-6


def reduced_amounts(amounts: Mapping[str, float]) -> dict[str, int] | None:
    """Return whole amounts without a common divisor, or ``None`` if an amount is not whole.

    Parameters
    ----------
    amounts
        Number of atoms by element symbol.
    """
    whole = {symbol: round(amount) for symbol, amount in amounts.items()}
    if any(abs(amount - whole[symbol]) > _INTEGER_TOLERANCE for symbol, amount in amounts.items()):
        return None
    divisor = math.gcd(*whole.values())
    return {symbol: amount // divisor for symbol, amount in whole.items()} if divisor else None


def check_chemical_system(value: object) -> str:
    """Return a chemical system as its sorted symbols joined by hyphens, such as ``Fe-Li-O``.

    Raises
    ------
    ValueError
        If it is no text, names an unknown element or names one twice.
    """
    if not isinstance(value, str):
        msg = f"got {value!r}, expected symbols joined by hyphens as text, such as 'Li-Fe-O'"
        raise ValueError(msg)
    symbols = [check_element(symbol.strip()) for symbol in value.split("-")]
    if len(set(symbols)) < len(symbols):
        msg = f"{value!r} names an element twice; expected each symbol once, such as 'Li-Fe-O'"
        raise ValueError(msg)
    return "-".join(sorted(symbols))


def check_formula(value: object) -> str:
    """Return a formula in pymatgen's reduced form, such as ``LiFePO4``.

    Raises
    ------
    ValueError
        If it cannot be read, names an unknown element or has fractional amounts.
    """
    if not isinstance(value, str):
        msg = f"got {value!r}, expected a formula as text, such as 'LiFePO4'"
        raise ValueError(msg)
    from pymatgen.core.composition import Composition

    try:
        composition = Composition(value)
        amounts = composition.get_el_amt_dict()
    except (ValueError, KeyError, TypeError) as err:
        msg = f"{value!r} is not a formula; expected one such as 'LiFePO4' or 'Ca(OH)2'"
        raise ValueError(msg) from err
    for symbol in amounts:
        check_element(symbol)
    if not amounts or reduced_amounts(amounts) is None:
        msg = f"{value!r} is not a formula of whole numbers of atoms; expected one such as 'LiFePO4'"
        raise ValueError(msg)
    return composition.reduced_formula


def _text(symbols: Iterable[str]) -> str:
    return ", ".join(sorted(symbols))


class Chemistry(CampaignModel):
    """Elements and compositions that a candidate may have; everything absent allows everything."""

    elements: tuple[ElementSymbol, ...] | None = Field(
        default=None,
        description="Allowed elements, of which a candidate holds some; null for all 89 that have a reference energy.",
    )
    excluded: tuple[ElementSymbol, ...] = Field(default=(), description="Elements that no candidate may hold.")
    required: tuple[ElementSymbol, ...] = Field(default=(), description="Elements that every candidate must hold.")
    chemical_system: Annotated[str, BeforeValidator(check_chemical_system)] | None = Field(
        default=None, description="Exactly these elements, all of them, joined by hyphens: Li-Fe-O."
    )
    composition: Annotated[str, BeforeValidator(check_formula)] | None = Field(
        default=None, description="Exactly this reduced formula (crystal-structure prediction): LiFePO4."
    )
    n_elements: CountRange = Field(default=CountRange(), description="Number of different elements in a candidate.")

    @field_validator("elements", "excluded", "required", mode="after")
    @classmethod
    def _sort(cls, symbols: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if symbols is None else tuple(sorted(set(symbols)))

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        listed = self._listed
        if not listed:
            given = (
                "elements is an empty list"
                if not self.elements
                else f"excluded takes away all of {_text(self.elements)}"
            )
            msg = f"no element is left: {given}; allow at least one"
            raise ValueError(msg)
        if missing := set(self.required) - listed:
            msg = f"required {_text(missing)} is not allowed; allowed are {self._listed_text}"
            raise ValueError(msg)
        if self.chemical_system is not None:
            self._check_fixed(set(self.chemical_system.split("-")), f"chemical_system {self.chemical_system}")
        if self.composition is not None:
            self._check_fixed(set(self._formula_amounts), f"composition {self.composition}")
            if self.chemical_system not in {None, "-".join(sorted(self._formula_amounts))}:
                system = f"chemical_system {self.chemical_system}"
                msg = f"composition {self.composition} does not hold exactly the elements of {system}"
                raise ValueError(msg)
        if self.n_elements.min > len(listed):
            msg = f"n_elements is {self.n_elements}, but only {len(listed)} elements are allowed: {self._listed_text}"
            raise ValueError(msg)
        if self.n_elements.max is not None and self.n_elements.max < len(self.required):
            needed = f"{len(self.required)} elements are required: {_text(self.required)}"
            msg = f"n_elements is {self.n_elements}, but {needed}"
            raise ValueError(msg)
        return self

    def _check_fixed(self, symbols: set[str], what: str) -> None:
        """Raise if a given set of elements (``what``) contradicts the other keys."""
        if foreign := symbols - self._listed:
            msg = f"{what} holds {_text(foreign)}, which is not allowed; allowed are {self._listed_text}"
            raise ValueError(msg)
        if missing := set(self.required) - symbols:
            msg = f"{what} lacks {_text(missing)}, which is required"
            raise ValueError(msg)
        if len(symbols) not in self.n_elements:
            msg = f"{what} holds {len(symbols)} elements, but n_elements is {self.n_elements}"
            raise ValueError(msg)

    @cached_property
    def _listed(self) -> frozenset[str]:
        return (ELEMENTS if self.elements is None else frozenset(self.elements)) - frozenset(self.excluded)

    @property
    def _listed_text(self) -> str:
        if self.elements is not None:
            return _text(self._listed)
        return f"all except {_text(self.excluded)}" if self.excluded else "all"

    @cached_property
    def _formula_amounts(self) -> dict[str, int]:
        if self.composition is None:
            return {}
        from pymatgen.core.composition import Composition

        return reduced_amounts(Composition(self.composition).get_el_amt_dict()) or {}

    @cached_property
    def fixed(self) -> frozenset[str] | None:
        """Exact set of elements of every candidate, where the target gives it (composition or chemical system)."""
        if self.composition is not None:
            return frozenset(self._formula_amounts)
        return None if self.chemical_system is None else frozenset(self.chemical_system.split("-"))

    @cached_property
    def allowed(self) -> frozenset[str]:
        """Elements that a candidate may hold."""
        return self._listed if self.fixed is None else self.fixed

    @property
    def formula_size(self) -> int | None:
        """Number of atoms in one formula unit of the given composition."""
        return sum(self._formula_amounts.values()) or None

    def allows_elements(self, symbols: Iterable[str]) -> bool:
        """Return whether a candidate may consist of exactly these elements."""
        found = frozenset(symbols)
        if self.fixed is not None:
            return found == self.fixed
        return found <= self.allowed and found.issuperset(self.required) and len(found) in self.n_elements

    def allows_composition(self, composition: Composition) -> bool:
        """Return whether a candidate may have this composition; multiples and oxidation states are ignored."""
        amounts = composition.get_el_amt_dict()
        if not self.allows_elements(amounts):
            return False
        return self.composition is None or reduced_amounts(amounts) == self._formula_amounts
