"""Decorating a template: which elements its roles are given to."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from genmat.generation.charges import is_charge_balanced, is_ionic
from genmat.generation.constraints import KEPT, Chemistry, decorated_amounts
from genmat.generation.mixing import N_ATOMIC_NUMBERS
from genmat.reference.entries import SYMBOLS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from genmat.generation.library import Template

MAX_REDRAWS = 20
"""Draws of an element that is not yet on another role; then the decoration is given up."""


@dataclass(frozen=True, slots=True, eq=False)
class Decorator:
    """Draws elements for the roles of templates.

    Parameters
    ----------
    chemistry
        Allowed and required elements, amounts.
    odds
        exp((s_et + w_e) / T) that element e stands for element t, shape (119, 119), rows t; zero where e is not
        allowed.
    """

    chemistry: Chemistry
    odds: NDArray[np.float64]
    _cumulative: dict[int, tuple[list[float], tuple[int, ...]]] = field(default_factory=dict)

    @classmethod
    def from_similarity(
        cls,
        similarity: NDArray[np.float64],
        chemistry: Chemistry,
        *,
        temperature: float,
        element_weights: NDArray[np.float64],
    ) -> Decorator:
        """Return the decorator of a chemistry.

        Parameters
        ----------
        similarity
            Log-odds s that one element can stand for another, shape (119, 119).
        chemistry
            Elements that may and must occur.
        temperature
            T, in units of log-odds: high is adventurous.
        element_weights
            Learnt log-weights w by atomic number, shape (119,).
        """
        allowed = np.zeros(N_ATOMIC_NUMBERS)
        allowed[list(chemistry.allowed)] = 1.0
        logits = (similarity + KEPT * np.eye(N_ATOMIC_NUMBERS) + element_weights[None, :]) / temperature
        return cls(chemistry, np.exp(np.round(logits, 9)) * allowed[None, :])

    def decorate(self, template: Template, uniforms: Iterator[float]) -> tuple[int, ...] | None:
        """Return an element for each role, all different, or ``None`` where the draw came to nothing.

        Required elements (all, where the chemical system or the composition is given) first take a role each, drawn
        by how well they can stand for its element; the roles left draw from the allowed elements. If the composition
        is given, an element takes only roles of its amount.

        Parameters
        ----------
        template
            What to decorate.
        uniforms
            Random numbers in [0, 1).
        """
        chosen: list[int] = [0] * len(template.elements)
        amounts = decorated_amounts(template, self.chemistry) if self.chemistry.amounts else None
        for z in _shuffled(self.chemistry.required, uniforms):
            wanted = self.chemistry.amounts.get(z)
            roles = [
                role
                for role, other in enumerate(chosen)
                if not other and (wanted is None or amounts is None or amounts[role] == wanted)
            ]
            odds = [float(self.odds[template.elements[role], z]) for role in roles]
            picked = _pick(odds, next(uniforms))
            if picked is None:
                return None
            chosen[roles[picked]] = z
        for role, other in enumerate(chosen):
            if not other:
                z = self._draw(template.elements[role], chosen, uniforms)
                if z == 0:
                    return None
                chosen[role] = z
        return tuple(chosen)

    def _draw(self, old: int, taken: Sequence[int], uniforms: Iterator[float]) -> int:
        """Return an allowed element in place of ``old`` that is not among ``taken``; 0 if none came."""
        cumulative, zs = self._row(old)
        for _ in range(MAX_REDRAWS):
            z = zs[min(bisect_right(cumulative, next(uniforms) * cumulative[-1]), len(zs) - 1)]
            if z not in taken:
                return z
        return 0

    def _row(self, old: int) -> tuple[list[float], tuple[int, ...]]:
        """Return the cumulative odds of the allowed elements in place of ``old``."""
        row = self._cumulative.get(old)
        if row is None:
            zs = self.chemistry.allowed
            row = self._cumulative[old] = (np.cumsum(self.odds[old, list(zs)]).tolist(), zs)
        return row


def is_balanced(elements: Sequence[int], counts: Sequence[int]) -> bool:
    """Return whether a decoration is no ionic compound, or one whose charges balance."""
    symbols = [SYMBOLS[z] for z in elements]
    return not is_ionic(symbols) or is_charge_balanced(tuple(sorted(zip(symbols, counts, strict=True))))


def _shuffled(values: Sequence[int], uniforms: Iterator[float]) -> list[int]:
    """Return ``values`` in random order."""
    return [value for _, value in sorted((next(uniforms), value) for value in values)]


def _pick(odds: Sequence[float], uniform: float) -> int | None:
    """Return a position with probability proportional to its odds; ``None`` if all are zero."""
    total = sum(odds)
    if not total > 0.0:
        return None
    limit = uniform * total
    for position, value in enumerate(odds):
        limit -= value
        if limit < 0.0:
            return position
    return len(odds) - 1
