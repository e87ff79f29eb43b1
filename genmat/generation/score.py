"""Log-odds that a decorated template is stable, from features that cost microseconds.

    score = c_0 + Σ_k c_k f_k                                                               (1)

The features f are below. The coefficients c are those of a logistic regression.
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
    template_energy_above_hull
        eV/atom.
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
    template_energy_above_hull: float
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
        template_energy_above_hull=template.energy_above_hull,
        ionic=float(is_ionic([SYMBOLS[z] for z in elements])),
    )


INTERCEPT = 2.055
"""c_0 of equation (1)."""

COEFFICIENTS = Features(
    similarity=0.245,
    least_similarity=0.384,
    changed=-0.836,
    roles_changed=-0.294,
    unseen=-0.268,
    size_mismatch=-0.907,
    electronegativity_change=-0.204,
    compatibility=0.348,
    least_compatibility=0.257,
    template_energy_above_hull=-3.966,
    ionic=-0.195,
)
"""c of equation (1), each per unit of its feature."""


def stability_score(library: TemplateLibrary, template: Template, elements: Sequence[int]) -> float:
    """Return the log-odds that a decorated template is stable, equation (1)."""
    found = astuple(features(library, template, elements))
    return INTERCEPT + float(sum(c * f for c, f in zip(astuple(COEFFICIENTS), found, strict=True)))
