"""Log-odds that a decorated template is stable, from features that cost microseconds.

    score = c_0 + Σ_k c_k f_k                                                               (1)

The features f are below. The coefficients c are those of a ridge-penalised logistic regression on 746 decorated
templates that were relaxed with CHGNet 0.3.0: stable means within 0.08 eV/atom of the reference's hull, which 51 %
are. The area under the curve is 0.80 (five-fold cross-validation). ``benchmarks/fit_stability_score.py`` repeats the
fit.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from genmat.generation.charges import electronegativity, is_ionic
from genmat.reference.entries import SYMBOLS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genmat.generation.library import Template, TemplateLibrary


@dataclass(frozen=True, slots=True)
class Features:
    """What is known about a decorated template before any energy; x are the atomic fractions of the roles.

    Parameters
    ----------
    similarity
        Σ x s with the log-odds s that the new element can stand for the old one, 0 where it stays.
    least_similarity
        Smallest s of all roles that change.
    changed
        Share of the atoms that change their element.
    roles_changed
        Number of roles that change.
    unseen
        Share of the roles whose new element no crystal of the prototype has there.
    size_mismatch
        Standard deviation over the atoms of ln(v_new / v_old) with the elements' volumes v: uneven growth strains a
        structure.
    electronegativity_change
        Root mean square of the change of electronegativity over the atoms.
    compatibility
        Mean log-odds that two of the elements occur in one compound, weighted with x_i x_j.
    least_compatibility
        Smallest of them.
    ionic
        1 for a compound with a typical non-metal, else 0.
    """

    similarity: float
    least_similarity: float
    changed: float
    roles_changed: float
    unseen: float
    size_mismatch: float
    electronegativity_change: float
    compatibility: float
    least_compatibility: float
    ionic: float


def features(library: TemplateLibrary, template: Template, elements: Sequence[int]) -> Features:
    """Return the features of ``template`` with ``elements`` (atomic numbers, one a role) on its roles."""
    n_roles, n_atoms = len(elements), template.n_atoms
    fractions = [count / n_atoms for count in template.counts]
    pairs = list(zip(template.elements, elements, strict=True))
    odds = [float(library.similarity[old, new]) if old != new else 0.0 for old, new in pairs]
    growth = [math.log(library.volume.element_volume(new) / library.volume.element_volume(old)) for old, new in pairs]
    mean = sum(x * g for x, g in zip(fractions, growth, strict=True))
    shifts = [electronegativity(SYMBOLS[new]) - electronegativity(SYMBOLS[old]) for old, new in pairs]
    together, weight, least = 0.0, 0.0, 0.0
    for i in range(n_roles):
        for j in range(i):
            value, product = float(library.compatibility[elements[i], elements[j]]), fractions[i] * fractions[j]
            together += product * value
            weight += product
            least = value if weight == product else min(least, value)
    return Features(
        similarity=sum(x * s for x, s in zip(fractions, odds, strict=True)),
        least_similarity=min(odds),
        changed=sum(x for x, (old, new) in zip(fractions, pairs, strict=True) if old != new),
        roles_changed=float(sum(old != new for old, new in pairs)),
        unseen=sum((template.prototype, role, z) not in library.known_roles for role, z in enumerate(elements))
        / n_roles,
        size_mismatch=math.sqrt(sum(x * (g - mean) ** 2 for x, g in zip(fractions, growth, strict=True))),
        electronegativity_change=math.sqrt(sum(x * s**2 for x, s in zip(fractions, shifts, strict=True))),
        compatibility=together / weight if weight else 0.0,
        least_compatibility=least,
        ionic=float(is_ionic([SYMBOLS[z] for z in elements])),
    )


INTERCEPT = 1.897
"""c_0 of equation (1)."""

COEFFICIENTS = Features(
    similarity=0.280,
    least_similarity=0.158,
    changed=-0.514,
    roles_changed=-0.340,
    unseen=-0.325,
    size_mismatch=-1.597,
    electronegativity_change=-0.257,
    compatibility=0.459,
    least_compatibility=0.266,
    ionic=-0.159,
)
"""c of equation (1), each per unit of its feature."""


def stability_score(library: TemplateLibrary, template: Template, elements: Sequence[int]) -> float:
    """Return the log-odds that a decorated template is stable, equation (1)."""
    found = astuple(features(library, template, elements))
    return INTERCEPT + float(sum(c * f for c, f in zip(astuple(COEFFICIENTS), found, strict=True)))
