"""Charge neutrality of a composition, through SMACT.

Davies et al., JOSS 4, 1361 (2019), https://doi.org/10.21105/joss.01361. A composition is charge-balanced if each
element can be given an oxidation state such that the charges add up to zero and every cation is less electronegative
than every anion (Pauling test). The oxidation states are those that at least
``CONSENSUS`` entries of the ICSD (2024) hold, SMACT's default. Three kinds of real crystals have no such assignment:

- elements, and alloys of metals: exempt, as in SMACT;
- intermetallics, metals with B, Si, As or Te (LaRu2Si2, Er5Si3): exempt here;
- mixed valence (Fe3O4, U3O8): elements that SMACT lists as such may take several states of one sign.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymatgen.core.composition import Composition

OXIDATION_STATES = "icsd24"
"""Set of oxidation states, in SMACT's words."""

CONSENSUS = 3
"""Entries of the ICSD that must hold an oxidation state."""

METALLOIDS = frozenset({"B", "Si", "As", "Te"})
"""Elements that SMACT does not count as metals, and that form metallic compounds with metals."""

MISSING_METALS = frozenset({"Pm"})
"""Metals that SMACT's list of metals leaves out."""


class ChargeBalance(StrEnum):
    """Why a composition passes the charge test, or that it does not."""

    ELEMENT = "element"
    ALLOY = "alloy"
    INTERMETALLIC = "intermetallic"
    NEUTRAL = "neutral"
    MIXED_VALENCE = "mixed_valence"
    UNBALANCED = "unbalanced"


@dataclass(frozen=True, slots=True)
class _States:
    """What the test knows of one element: oxidation states of each sign and the Pauling electronegativity."""

    positive: tuple[int, ...]
    negative: tuple[int, ...]
    electronegativity: float


@lru_cache(maxsize=1)
def charge_test_name() -> str:
    """Return the name of the test with its version, for verdicts and provenance."""
    from importlib.metadata import version

    return f"smact-{version('smact')}/{OXIDATION_STATES}/consensus-{CONSENSUS}/pauling"


def charge_balance(composition: Composition) -> ChargeBalance:
    """Return how a composition balances its charges.

    Parameters
    ----------
    composition
        Elements with whole amounts; only their ratio matters.
    """
    amounts = {symbol: round(amount) for symbol, amount in composition.get_el_amt_dict().items()}
    divisor = math.gcd(*amounts.values())
    return _charge_balance(tuple(sorted((symbol, amount // divisor) for symbol, amount in amounts.items())))


@lru_cache(maxsize=65536)
def _charge_balance(amounts: tuple[tuple[str, int], ...]) -> ChargeBalance:
    from pymatgen.core.composition import Composition
    from smact import metals
    from smact.screening import smact_validity

    symbols = {symbol for symbol, _ in amounts}
    if len(symbols) == 1:
        return ChargeBalance.ELEMENT
    metallic = {*metals, *MISSING_METALS}
    if symbols <= metallic:
        return ChargeBalance.ALLOY
    if symbols & metallic and symbols <= metallic | METALLOIDS:
        return ChargeBalance.INTERMETALLIC
    if smact_validity(Composition(dict(amounts)), include_alloys=False):
        return ChargeBalance.NEUTRAL
    return ChargeBalance.MIXED_VALENCE if _balances_with_mixed_valence(amounts) else ChargeBalance.UNBALANCED


def _balances_with_mixed_valence(amounts: tuple[tuple[str, int], ...]) -> bool:
    """Say whether charges add up to zero when mixed-valence elements may take several states of one sign."""
    from smact.screening import MIXED_VALENCE_ELEMENTS

    table = _oxidation_states()
    if not any(symbol in MIXED_VALENCE_ELEMENTS for symbol, _ in amounts) or any(s not in table for s, _ in amounts):
        return False
    options = []
    for symbol, amount in amounts:
        states = table[symbol]
        mixed = symbol in MIXED_VALENCE_ELEMENTS
        signs = [(1, states.positive), (-1, states.negative)]
        options.append([(sign, states, _charges(given, amount, mixed=mixed)) for sign, given in signs if given])
    for choice in product(*options):
        cations = [states.electronegativity for sign, states, _ in choice if sign > 0]
        anions = [states.electronegativity for sign, states, _ in choice if sign < 0]
        # An unknown electronegativity is NaN and fails no comparison, as in SMACT.
        if not cations or not anions or max(cations) >= min(anions):
            continue
        totals = {0}
        for _, _, charges in choice:
            totals = {total + charge for total in totals for charge in charges}
        if 0 in totals:
            return True
    return False


def _charges(states: tuple[int, ...], amount: int, *, mixed: bool) -> set[int]:
    """Return the total charges that ``amount`` atoms can have, all in one state or (``mixed``) in several."""
    if not mixed:
        return {amount * state for state in states}
    totals = {0}
    for _ in range(amount):
        totals = {total + state for total in totals for state in states}
    return totals


@lru_cache(maxsize=1)
def _oxidation_states() -> dict[str, _States]:
    from smact import Element
    from smact.utils.oxidation import ICSD24OxStatesFilter

    frame = ICSD24OxStatesFilter().filter(consensus=CONSENSUS, include_zero=False, commonality="low")
    table = {}
    for symbol, text in zip(frame["element"], frame["oxidation_state"], strict=True):
        states = sorted(int(state) for state in str(text).split())
        electronegativity = Element(symbol).pauling_eneg
        table[str(symbol)] = _States(
            tuple(state for state in states if state > 0),
            tuple(state for state in states if state < 0),
            math.nan if electronegativity is None else float(electronegativity),
        )
    return table
