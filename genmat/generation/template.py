"""Template-based exploration: known prototypes with other elements on their sites.

A draw makes ``oversample`` options. Each takes a template (:mod:`genmat.generation.constraints`), gives its roles to
elements that the target allows and that can stand for those there (:mod:`genmat.generation.decoration`), and must
balance its charges if it is ionic (:mod:`genmat.generation.charges`). Of the options, one is kept with probability ∝
exp(score / T) (:mod:`genmat.generation.score`); it is scaled to the volume that its composition should have
(:mod:`genmat.generation.volume`). No energy is computed. Replacing elements one to one keeps the space group, so
symmetry and size of the template are those of the proposal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from genmat.generation.constraints import TemplatePool, template_pool
from genmat.generation.decoration import Decorator, is_balanced
from genmat.generation.draw import NEUTRAL, Draw, random_stream
from genmat.generation.library import Template, TemplateLibrary, template_library
from genmat.generation.mixing import N_ATOMIC_NUMBERS
from genmat.generation.parameters import TemplateParameters
from genmat.generation.prototypes import prototype_key
from genmat.generation.score import stability_score
from genmat.generation.target_score import TargetScore
from genmat.ids import canonical_json, stable_id
from genmat.reference.entries import ATOMIC_NUMBERS, SYMBOLS
from genmat.representation.conversion import to_structure
from genmat.representation.gene import anonymous_gene, gene, parse_gene

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from genmat.campaign.target import Target
    from genmat.generation.draw import DrawContext, ProposalWeights
    from genmat.reference.table import Reference
    from genmat.representation.crystal import Crystal

ATTEMPTS_PER_OPTION = 20
"""Decorations that are tried for each option wanted."""

_BLOCK = 512
"""Random numbers that are drawn at a time."""


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


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """What all draws of one target and one set of weights share."""

    pool: TemplatePool
    decorator: Decorator
    target_score: TargetScore
    element_weights: NDArray[np.float64]
    prototype_weights: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TemplateGenerator:
    """Proposes decorated templates.

    Parameters
    ----------
    settings
        How to propose.
    library
        Templates, and what they teach.
    """

    name: ClassVar[str] = "template"

    settings: TemplateParameters
    library: TemplateLibrary
    _prepared: dict[str, _Prepared] = field(default_factory=dict)

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any], reference: Reference) -> TemplateGenerator:
        """Return the generator of some parameters (:class:`TemplateParameters`) and known crystals."""
        return cls(TemplateParameters.from_dict(parameters), template_library(reference))

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter with its value."""
        return self.settings.to_dict()

    @property
    def configuration_id(self) -> str:
        """Identity of the generator: name, parameters, reference."""
        return stable_id("generator", self.name, self.parameters, self.library.reference.id)

    def check_target(self, target: Target) -> None:
        """Raise unless some template can satisfy ``target``.

        Raises
        ------
        CampaignError
            If none can; the message names the constraint that leaves nothing.
        """
        self._prepare(target, NEUTRAL)

    def draw(self, indices: Sequence[int], *, context: DrawContext) -> list[Draw]:
        """Return the draws of ``indices``, in their order.

        Raises
        ------
        CampaignError
            If no template can satisfy the target.
        """
        prepared = self._prepare(context.target, context.weights)
        configuration_id = self.configuration_id
        draws = []
        for index in indices:
            rng = random_stream(context, configuration_id=configuration_id, index=index)
            draws.append(self._draw(index, prepared, _uniforms(rng)))
        return draws

    def _prepare(self, target: Target, weights: ProposalWeights) -> _Prepared:
        """Return what the draws of a target and some weights share; the latest is kept."""
        key = canonical_json([target.model_dump(mode="json"), weights.to_dict()])
        found = self._prepared.get(key)
        if found is None:
            settings, library = self.settings, self.library
            elements, prototypes = self._weights(weights)
            pool = template_pool(
                library,
                target,
                max_energy_above_hull=settings.max_template_energy_above_hull,
                prototype_exponent=settings.prototype_exponent,
                temperature=settings.substitution_temperature,
                element_weights=elements,
                prototype_weights=prototypes,
            )
            decorator = Decorator.from_similarity(
                library.similarity,
                pool.chemistry,
                temperature=settings.substitution_temperature,
                element_weights=elements,
            )
            found = _Prepared(pool, decorator, TargetScore.from_target(target), elements, prototypes)
            self._prepared.clear()
            self._prepared[key] = found
        return found

    def _weights(self, weights: ProposalWeights) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the log-weights by atomic number and by prototype; names that no template bears are ignored."""
        elements = np.zeros(N_ATOMIC_NUMBERS)
        for symbol, weight in weights.elements.items():
            if symbol in ATOMIC_NUMBERS:
                elements[ATOMIC_NUMBERS[symbol]] = weight
        prototypes = np.zeros(len(self.library.prototypes))
        for text, weight in weights.templates.items():
            prototype = self.library.prototypes.get(prototype_key(*parse_gene(text)))
            if prototype is not None:
                prototypes[prototype] = weight
        return elements, prototypes

    def _draw(self, index: int, prepared: _Prepared, uniforms: Iterator[float]) -> Draw:
        """Return one draw."""
        options = self._options(prepared, uniforms)
        if not options:
            tried = ATTEMPTS_PER_OPTION * self.settings.oversample
            return Draw.failed(
                index, f"none of {tried} decorations has different elements, balanced charges and is no template"
            )
        for option in self._ordered(options, uniforms):
            crystal = self._crystal(option)
            if not (self.settings.avoid_known and self._is_known(crystal)):
                return Draw(
                    index, crystal, to_structure(crystal), round(option.score, 6), _origin(option, crystal), None
                )
        return Draw.failed(index, f"all {len(options)} options are known crystals")

    def _options(self, prepared: _Prepared, uniforms: Iterator[float]) -> list[Option]:
        """Return up to ``oversample`` different options."""
        found: dict[tuple[int, tuple[int, ...]], Option] = {}
        for _ in range(ATTEMPTS_PER_OPTION * self.settings.oversample):
            template = prepared.pool.pick(next(uniforms))
            elements = prepared.decorator.decorate(template, uniforms)
            if elements is None or elements == template.elements or (template.position, elements) in found:
                continue
            if self.settings.charge_balanced and not is_balanced(elements, template.counts):
                continue
            found[template.position, elements] = self._option(template, elements, prepared)
            if len(found) == self.settings.oversample:
                break
        return list(found.values())

    def _option(self, template: Template, elements: tuple[int, ...], prepared: _Prepared) -> Option:
        """Return a scored option."""
        new = tuple(zip(elements, template.counts, strict=True))
        old = tuple(zip(template.elements, template.counts, strict=True))
        volume = self.library.volume.decorated(template.volume_per_atom, old, new)
        base = stability_score(self.library, template, elements) + prepared.target_score.log_probability(new, volume)
        learnt = sum(float(prepared.element_weights[z]) for z in elements)
        learnt += float(prepared.prototype_weights[template.prototype])
        return Option(template, elements, volume, base, base + learnt)

    def _ordered(self, options: Sequence[Option], uniforms: Iterator[float]) -> list[Option]:
        """Return the options in random order, the first with probability ∝ exp(score / T), and so on (Gumbel)."""
        temperature = self.settings.selection_temperature
        noise = [-math.log(-math.log(max(next(uniforms), 1e-300))) for _ in options]
        keys = [option.score + temperature * g for option, g in zip(options, noise, strict=True)]
        return [options[i] for i in sorted(range(len(options)), key=lambda i: (-keys[i], i))]

    def _crystal(self, option: Option) -> Crystal:
        """Return x of an option, at its predicted volume."""
        template = option.template
        mapping = {SYMBOLS[old]: SYMBOLS[new] for old, new in zip(template.elements, option.elements, strict=True)}
        factor = option.volume_per_atom / template.volume_per_atom
        return self.library.crystal(template).replace_elements(mapping).scale_volume(factor)

    def _is_known(self, crystal: Crystal) -> bool:
        """Return whether the reference holds a crystal of this formula and gene."""
        genes = _known_genes(self.library.reference).get(crystal.composition.reduced_formula)
        return genes is not None and gene(crystal) in genes


@lru_cache(maxsize=2)
def _known_genes(reference: Reference) -> dict[str, set[str]]:
    """Return the genes of all known crystals by reduced formula."""
    found: dict[str, set[str]] = {}
    for formula, text in zip(reference.formulas, reference.genes, strict=True):
        found.setdefault(formula, set()).add(text)
    return found


def _uniforms(rng: np.random.Generator) -> Iterator[float]:
    """Yield random numbers in [0, 1)."""
    while True:
        yield from rng.random(_BLOCK).tolist()


def _origin(option: Option, crystal: Crystal) -> dict[str, Any]:
    """Return where an option comes from, for the record."""
    template = option.template
    return {
        "template": template.material_id,
        "anonymous_gene": anonymous_gene(crystal),
        "substitution": {
            SYMBOLS[old]: SYMBOLS[new]
            for old, new in zip(template.elements, option.elements, strict=True)
            if old != new
        },
        "volume_factor": round(option.volume_per_atom / template.volume_per_atom, 6),
        "template_energy_above_hull": round(template.energy_above_hull, 6),
        "base_score": round(option.base_score, 6),
    }
