"""Which templates can satisfy a target, and how often each is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genmat.errors import CampaignError
from genmat.generation.mixing import N_ATOMIC_NUMBERS
from genmat.reference.entries import ATOMIC_NUMBERS, SYMBOLS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from pymatgen.core.composition import Composition

    from genmat.campaign.target import Target
    from genmat.generation.library import Template, TemplateLibrary

KEPT = 3.0
"""Log-odds with which an element stands for itself, that of the best replacements (Si and Ge)."""


@dataclass(frozen=True, slots=True)
class Chemistry:
    """The chemistry of a target in atomic numbers.

    Parameters
    ----------
    allowed
        What may occur, ascending.
    required
        What must occur, ascending; all of them if the chemical system or the composition is given.
    amounts
        Reduced amount of each element if the composition is given, else empty.
    """

    allowed: tuple[int, ...]
    required: tuple[int, ...]
    amounts: dict[int, int]

    @classmethod
    def from_target(cls, target: Target, *, known: frozenset[int]) -> Chemistry:
        """Return the chemistry of ``target`` as far as elements are ``known`` (atomic numbers).

        Raises
        ------
        CampaignError
            If a required element is not known, or none that is allowed.
        """
        chemistry = target.chemistry
        symbols = chemistry.required if chemistry.fixed is None else chemistry.fixed
        allowed = {ATOMIC_NUMBERS[symbol] for symbol in chemistry.allowed} & known
        required = {ATOMIC_NUMBERS[symbol] for symbol in symbols}
        if required - known or not allowed:
            missing = ", ".join(SYMBOLS[z] for z in sorted(required - known)) or "any of the allowed elements"
            msg = f"target.chemistry: no template of the reference holds {missing}; take elements of known crystals"
            raise CampaignError(msg)
        return cls(tuple(sorted(allowed)), tuple(sorted(required)), _reduced_amounts(chemistry.composition))


@dataclass(frozen=True, slots=True, eq=False)
class TemplatePool:
    """Templates that can satisfy a target.

    Parameters
    ----------
    templates
        In the order of the library.
    cumulative
        Cumulative probability of each, the last is 1, shape (n,).
    chemistry
        What they are decorated with.
    """

    templates: tuple[Template, ...]
    cumulative: NDArray[np.float64]
    chemistry: Chemistry

    def pick(self, uniform: float) -> Template:
        """Return the template that a uniform random number in [0, 1) selects."""
        position = int(np.searchsorted(self.cumulative, uniform, side="right"))
        return self.templates[min(position, len(self.templates) - 1)]


def template_pool(
    library: TemplateLibrary,
    target: Target,
    *,
    max_energy_above_hull: float,
    prototype_exponent: float,
    temperature: float,
    element_weights: NDArray[np.float64],
    prototype_weights: NDArray[np.float64],
) -> TemplatePool:
    """Return the templates that can satisfy ``target``, with their probabilities.

    A template t of a prototype with n feasible members is drawn with probability

        p_t ∝ n^(γ − 1) · exp(f_t / T + w_t),   f_t = Σ_r x_r max_e (s_e,r + w_e)                             (1)

    where f_t says how well the allowed elements e can stand for those in its roles r (atomic fractions x_r, log-odds
    s, learnt log-weights w). γ = 1 draws every template alike, so that a few prototypes drown all others; γ = 0 draws
    every prototype alike.

    Parameters
    ----------
    library
        All templates.
    target
        Chemistry, symmetry and size are hard constraints.
    max_energy_above_hull
        Of a template, eV/atom.
    prototype_exponent
        γ.
    temperature
        T, in units of log-odds.
    element_weights
        w_e by atomic number, shape (119,).
    prototype_weights
        w_t by prototype, shape (n_prototypes,).

    Raises
    ------
    CampaignError
        If no template is left; the message names the constraint that took the last.
    """
    chemistry = Chemistry.from_target(target, known=library.elements)
    templates = _feasible(library, target, chemistry, max_energy_above_hull)
    fit = _fit(library.similarity, chemistry, element_weights)
    prototypes = np.asarray([t.prototype for t in templates], dtype=np.intp)
    log_p = (prototype_exponent - 1.0) * np.log(np.bincount(prototypes)[prototypes]) + prototype_weights[prototypes]
    log_p += np.asarray([_mean_fit(t, fit) for t in templates]) / temperature
    # The sum runs in one fixed order, and rounding takes away what is left of differences between machines.
    cumulative = np.cumsum(np.exp(np.round(log_p - log_p.max(), 9)))
    return TemplatePool(templates, cumulative / cumulative[-1], chemistry)


def decorated_amounts(template: Template, chemistry: Chemistry) -> tuple[int, ...] | None:
    """Return the reduced amount of each role if the composition is given and the template has its formula type."""
    divisor = math.gcd(*template.counts)
    reduced = tuple(count // divisor for count in template.counts)
    return reduced if sorted(reduced) == sorted(chemistry.amounts.values()) else None


def _feasible(
    library: TemplateLibrary, target: Target, chemistry: Chemistry, max_energy_above_hull: float
) -> tuple[Template, ...]:
    """Return what passes every constraint, one after the other."""
    left: Sequence[Template] = library.templates
    for reason, is_allowed in _constraints(target, chemistry, max_energy_above_hull):
        passed = [t for t in left if is_allowed(t)]
        if not passed:
            before = "templates" if len(left) == len(library) else "templates that pass the other constraints"
            msg = f"target: {reason} among the {len(left)} {before}; widen that constraint or an earlier one"
            raise CampaignError(msg)
        left = passed
    return tuple(left)


def _constraints(
    target: Target, chemistry: Chemistry, max_energy_above_hull: float
) -> list[tuple[str, Callable[[Template], bool]]]:
    """Return what a template must fulfil, each with the words for none that does."""
    numbers = target.symmetry.allowed
    n_elements = _element_counts(target, chemistry)
    found: list[tuple[str, Callable[[Template], bool]]] = [
        (
            f"no template within {max_energy_above_hull:g} eV/atom of the hull (max_template_energy_above_hull)",
            lambda t: t.energy_above_hull <= max_energy_above_hull,
        ),
        (f"{_symmetry_text(target)}: no template with such a space group", lambda t: t.number in numbers),
        (f"n_atoms {target.n_atoms}: no template of that size", lambda t: t.n_atoms in target.n_atoms),
        (
            f"{_elements_text(target)}: no template with {n_elements.start} to {n_elements.stop - 1} elements",
            lambda t: len(t.elements) in n_elements,
        ),
    ]
    if chemistry.amounts:
        formula = target.chemistry.composition
        anonymous = _anonymous_formula(tuple(chemistry.amounts.values()))
        found.append(
            (
                f"composition {formula}: no template with the anonymous formula {anonymous}",
                lambda t: decorated_amounts(t, chemistry) is not None,
            )
        )
    return found


def _element_counts(target: Target, chemistry: Chemistry) -> range:
    """Return the numbers of elements that a template may have; single elements only if nothing else is allowed."""
    if target.chemistry.fixed is not None:
        return range(len(chemistry.required), len(chemistry.required) + 1)
    given = target.chemistry.n_elements
    most = min(len(chemistry.allowed), given.max or len(chemistry.allowed))
    least = max(given.min, len(chemistry.required), min(2, most))
    return range(least, most + 1)


def _fit(
    similarity: NDArray[np.float64], chemistry: Chemistry, element_weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return max_e (s_et + w_e) over the allowed elements e for each element t, shape (119,)."""
    odds = similarity + KEPT * np.eye(N_ATOMIC_NUMBERS) + element_weights[None, :]
    best: NDArray[np.float64] = odds[:, list(chemistry.allowed)].max(axis=1)
    return best


def _mean_fit(template: Template, fit: NDArray[np.float64]) -> float:
    return sum(n * float(fit[z]) for z, n in zip(template.elements, template.counts, strict=True)) / template.n_atoms


def _reduced_amounts(formula: str | None) -> dict[int, int]:
    if formula is None:
        return {}
    from pymatgen.core.composition import Composition as ParsedComposition

    composition: Composition = ParsedComposition(formula)
    amounts = {element.Z: round(amount) for element, amount in composition.items()}
    divisor = math.gcd(*amounts.values())
    return {z: amount // divisor for z, amount in sorted(amounts.items())}


def _anonymous_formula(amounts: tuple[int, ...]) -> str:
    """Return such as ``AB3C7`` for the amounts 1, 3 and 7."""
    return "".join(f"{chr(ord('A') + i)}{n if n > 1 else ''}" for i, n in enumerate(sorted(amounts)))


def _symmetry_text(target: Target) -> str:
    symmetry = target.symmetry
    if symmetry.space_groups is not None:
        return f"space_groups {', '.join(map(str, symmetry.space_groups))}"
    if symmetry.crystal_systems is not None:
        return f"crystal_systems {', '.join(symmetry.crystal_systems)}"
    return "symmetry any"


def _elements_text(target: Target) -> str:
    chemistry = target.chemistry
    if chemistry.composition is not None:
        return f"composition {chemistry.composition}"
    if chemistry.chemical_system is not None:
        return f"chemical_system {chemistry.chemical_system}"
    return f"n_elements {chemistry.n_elements} of {len(chemistry.allowed)} allowed, {len(chemistry.required)} required"
