"""Charge balance of a composition by enumeration of oxidation states, in microseconds.

A composition is balanced if every element can take one of its oxidation states (those that the ICSD holds, with those
in common use added; pymatgen's tables) such that the charges add up to zero and every cation is less electronegative
than every anion (Pauling's rule). The rule leaves few cases: the elements sorted by electronegativity split into
cations below and anions above one cut.

Chemistry without a typical non-metal is not ionic, and nothing is asked of it: elements, alloys, and the
intermetallics that metals form with each other and with B, Si, As and Te.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from pymatgen.core.periodic_table import Element

if TYPE_CHECKING:
    from collections.abc import Iterable

NON_METALS = frozenset({"H", "C", "N", "O", "F", "P", "S", "Cl", "Se", "Br", "I", "He", "Ne", "Ar", "Kr", "Xe"})
"""Elements that make a compound ionic."""

METALLOIDS = frozenset({"B", "Si", "As", "Te"})
"""Elements that form intermetallics with metals; without a metal their compounds are ionic."""

MIXED_VALENCE = frozenset({"V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Nb", "Mo", "Pr", "Eu", "Tb", "W", "Re", "Pb", "U"})
"""Metals whose atoms take two neighbouring oxidation states in known compounds, such as Fe3O4 and U3O8."""


def is_ionic(symbols: Iterable[str]) -> bool:
    """Return whether a compound of these elements must balance its charges."""
    found = frozenset(symbols)
    return len(found) > 1 and (bool(found & NON_METALS) or found <= METALLOIDS)


@lru_cache(maxsize=128)
def oxidation_states(symbol: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the positive and the negative oxidation states of an element, each ascending."""
    element = Element(symbol)
    states = {int(state) for state in (*element.icsd_oxidation_states, *element.common_oxidation_states)}
    return tuple(sorted(s for s in states if s > 0)), tuple(sorted(s for s in states if s < 0))


@lru_cache(maxsize=128)
def electronegativity(symbol: str) -> float:
    """Return the Pauling electronegativity of an element (dimensionless); inert gases count as the largest."""
    value = Element(symbol).data.get("X")
    return float(value) if isinstance(value, int | float) else 4.0


@lru_cache(maxsize=65536)
def is_charge_balanced(amounts: tuple[tuple[str, int], ...]) -> bool:
    """Return whether oxidation states exist whose charges add up to zero.

    Parameters
    ----------
    amounts
        Distinct symbols with the number of atoms of each, in any order. Atoms of one element share a state, except
        those of ``MIXED_VALENCE``, which may take two neighbouring ones.

    Notes
    -----
    Cost: a few µs for up to five elements; results are cached.
    """
    ordered = sorted(amounts, key=lambda item: electronegativity(item[0]))
    for cut in range(1, len(ordered)):
        if electronegativity(ordered[cut - 1][0]) >= electronegativity(ordered[cut][0]):
            continue
        totals = {0}
        for position, (symbol, amount) in enumerate(ordered):
            charges = _charges(symbol, amount, positive=position < cut)
            totals = {total + charge for total in totals for charge in charges}
            if not totals:
                break
        if 0 in totals:
            return True
    return False


@lru_cache(maxsize=4096)
def _charges(symbol: str, amount: int, *, positive: bool) -> frozenset[int]:
    """Return the total charges that ``amount`` atoms of an element can have."""
    states = oxidation_states(symbol)[0 if positive else 1]
    charges = {amount * state for state in states}
    if positive and symbol in MIXED_VALENCE:
        for low, high in pairwise(states):
            charges.update(low * (amount - n) + high * n for n in range(amount + 1))
    return frozenset(charges)
