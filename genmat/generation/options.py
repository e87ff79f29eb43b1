"""Options: decorated templates with a predicted volume and a score."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from genmat.generation.mixing import N_ATOMIC_NUMBERS
from genmat.generation.prototypes import prototype_key
from genmat.generation.score import stability_score
from genmat.generation.target_score import TargetScore
from genmat.reference.entries import ATOMIC_NUMBERS, SYMBOLS
from genmat.representation.gene import anonymous_gene, gene, parse_gene

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genmat.campaign.target import Target
    from genmat.generation.draw import ProposalWeights
    from genmat.generation.library import Template, TemplateLibrary
    from genmat.reference.table import Reference
    from genmat.representation.crystal import Crystal


@dataclass(frozen=True, slots=True)
class Option:
    """A decorated template that a draw may keep.

    Parameters
    ----------
    template
        The template.
    elements
        Atomic number for each of its roles.
    volume_per_atom
        Predicted, Å³/atom.
    base_score
        Predicted log-odds that it is stable and on target.
    score
        The same with the learnt weights added.
    """

    template: Template
    elements: tuple[int, ...]
    volume_per_atom: float
    base_score: float
    score: float

    @property
    def substitution(self) -> dict[str, str]:
        """Old and new symbol of each role that changes."""
        pairs = zip(self.template.elements, self.elements, strict=True)
        return {SYMBOLS[old]: SYMBOLS[new] for old, new in pairs if old != new}

    def crystal(self, library: TemplateLibrary) -> Crystal:
        """Return x, at the predicted volume."""
        factor = self.volume_per_atom / self.template.volume_per_atom
        return library.crystal(self.template).replace_elements(self.substitution).scale_volume(factor)

    def origin(self, crystal: Crystal) -> dict[str, Any]:
        """Return where the option, whose x is ``crystal``, comes from, for the record."""
        return {
            "template": self.template.material_id,
            "anonymous_gene": anonymous_gene(crystal),
            "substitution": self.substitution,
            "volume_factor": round(self.volume_per_atom / self.template.volume_per_atom, 6),
            "template_energy_above_hull": round(self.template.energy_above_hull, 6),
            "base_score": round(self.base_score, 6),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Scorer:
    """Scores decorated templates for one target and what was learnt so far.

    Parameters
    ----------
    library
        What the templates teach.
    target_score
        Properties that composition and volume decide.
    element_weights
        Learnt log-weight by atomic number, shape (119,).
    prototype_weights
        Learnt log-weight by prototype, shape (n_prototypes,).
    """

    library: TemplateLibrary
    target_score: TargetScore
    element_weights: NDArray[np.float64]
    prototype_weights: NDArray[np.float64]

    @classmethod
    def from_target(cls, library: TemplateLibrary, target: Target, weights: ProposalWeights) -> Scorer:
        """Return the scorer of a target and learnt weights; names that no template bears are ignored."""
        elements = np.zeros(N_ATOMIC_NUMBERS)
        for symbol, weight in weights.elements.items():
            if symbol in ATOMIC_NUMBERS:
                elements[ATOMIC_NUMBERS[symbol]] = weight
        prototypes = np.zeros(len(library.prototypes))
        for text, weight in weights.templates.items():
            prototype = library.prototypes.get(prototype_key(*parse_gene(text)))
            if prototype is not None:
                prototypes[prototype] = weight
        return cls(library, TargetScore.from_target(target), elements, prototypes)

    def option(self, template: Template, elements: tuple[int, ...]) -> Option:
        """Return the scored option of ``template`` with ``elements`` (atomic numbers) on its roles."""
        new = tuple(zip(elements, template.counts, strict=True))
        old = tuple(zip(template.elements, template.counts, strict=True))
        volume = self.library.volume.decorated(template.volume_per_atom, old, new)
        base = stability_score(self.library, template, elements) + self.target_score.log_probability(new, volume)
        learnt = sum(float(self.element_weights[z]) for z in elements)
        learnt += float(self.prototype_weights[template.prototype])
        return Option(template, elements, volume, base, base + learnt)


def is_known(crystal: Crystal, reference: Reference) -> bool:
    """Return whether ``reference`` holds a crystal of the formula and gene of ``crystal``."""
    genes = known_genes(reference).get(crystal.composition.reduced_formula)
    return genes is not None and gene(crystal) in genes


@lru_cache(maxsize=2)
def known_genes(reference: Reference) -> dict[str, set[str]]:
    """Return the genes of all known crystals by reduced formula."""
    found: dict[str, set[str]] = {}
    for formula, text in zip(reference.formulas, reference.genes, strict=True):
        found.setdefault(formula, set()).add(text)
    return found
