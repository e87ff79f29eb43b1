"""All options of a target that fixes the elements: drawn without repetition.

A given composition or chemical system leaves so few decorations that random draws would soon repeat each other. All
of them are ranked once per round, best first but for noise (Gumbel's: the first is option k with probability ∝
exp(score_k / T), the second likewise among the rest, and so on), and draw i takes the i-th. Options of one gene
differ by their template alone, that is by coordinates and cell shape: every gene has its turn before any has its
second.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import permutations
from math import factorial, log
from typing import TYPE_CHECKING

from genmat.errors import CampaignError
from genmat.generation.constraints import decorated_amounts
from genmat.generation.decoration import is_balanced
from genmat.generation.options import is_known
from genmat.representation.gene import gene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genmat.generation.constraints import Chemistry, TemplatePool
    from genmat.generation.library import Template
    from genmat.generation.options import Option, Scorer

MAX_DECORATIONS = 200_000
"""Largest number of decorations that is enumerated (1 to 2 s); beyond it draws are random."""


def can_enumerate(pool: TemplatePool) -> bool:
    """Return whether the target of ``pool`` fixes the elements and leaves few enough decorations."""
    chemistry = pool.chemistry
    if chemistry.allowed != chemistry.required:
        return False
    return len(pool.templates) * factorial(len(chemistry.required)) <= MAX_DECORATIONS


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """Every option of a target that fixes the elements.

    Parameters
    ----------
    options
        In the order of the library.
    genes
        Gene of each option.
    """

    options: tuple[Option, ...]
    genes: tuple[str, ...]

    def ranked(self, *, temperature: float, uniforms: Iterator[float]) -> list[Option]:
        """Return the options in the order in which they are drawn.

        Parameters
        ----------
        temperature
            T, units of log-odds: 0 sorts by score.
        uniforms
            Random numbers in [0, 1).
        """
        keys = [option.score + temperature * gumbel(next(uniforms)) for option in self.options]
        best_first = sorted(range(len(keys)), key=lambda i: (-keys[i], i))
        turns: Counter[str] = Counter()
        turn_of = {}
        for i in best_first:
            turn_of[i] = turns[self.genes[i]]
            turns[self.genes[i]] += 1
        return [self.options[i] for i in sorted(best_first, key=lambda i: turn_of[i])]


def catalogue(pool: TemplatePool, scorer: Scorer, *, charge_balanced: bool, avoid_known: bool) -> Catalogue:
    """Return every option of a target that fixes the elements.

    Parameters
    ----------
    pool
        Templates; :func:`can_enumerate` holds.
    scorer
        Scores them.
    charge_balanced
        Whether ionic options must balance their charges.
    avoid_known
        Whether known crystals are left out.

    Raises
    ------
    CampaignError
        If nothing is left; the message says what took the last.
    """
    gene_of: dict[tuple[int, tuple[int, ...]], str | None] = {}
    options, genes = [], []
    n_balanced = 0
    for template in pool.templates:
        for elements in _assignments(template, pool.chemistry):
            if charge_balanced and not is_balanced(elements, template.counts):
                continue
            n_balanced += 1
            option = scorer.option(template, elements)
            decoration = (template.prototype, elements)
            if decoration not in gene_of:
                crystal = option.crystal(scorer.library)
                known = avoid_known and is_known(crystal, scorer.library.reference)
                gene_of[decoration] = None if known else gene(crystal)
            if (text := gene_of[decoration]) is not None:
                options.append(option)
                genes.append(text)
    if not options:
        reason = (
            "every decoration is a known crystal; set generate.parameters.avoid_known to false to propose them again"
            if n_balanced
            else "no decoration balances its charges; set generate.parameters.charge_balanced to false to propose them"
        )
        msg = f"target: of the {len(pool.templates)} templates that satisfy it, {reason}"
        raise CampaignError(msg)
    return Catalogue(tuple(options), tuple(genes))


def gumbel(uniform: float) -> float:
    """Return the Gumbel variate of a uniform one in [0, 1)."""
    return -log(-log(max(uniform, 1e-300)))


def _assignments(template: Template, chemistry: Chemistry) -> Iterator[tuple[int, ...]]:
    """Yield the required elements in every order that gives the roles their amounts."""
    amounts = decorated_amounts(template, chemistry) if chemistry.amounts else None
    for elements in permutations(chemistry.required):
        if amounts is None or all(chemistry.amounts[z] == wanted for z, wanted in zip(elements, amounts, strict=True)):
            yield elements
