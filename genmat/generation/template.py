"""Template-based exploration: known prototypes with other elements on their sites.

A draw makes ``oversample`` options. Each takes a template (:mod:`genmat.generation.constraints`), gives its roles to
elements that the target allows and that can stand for those there (:mod:`genmat.generation.decoration`), and must
balance its charges if it is ionic (:mod:`genmat.generation.charges`). Of the options, one is kept with probability ∝
exp(score / T) (:mod:`genmat.generation.score`); it is scaled to the volume that its composition should have
(:mod:`genmat.generation.volume`). A target that fixes the elements leaves few options: these are enumerated
(:mod:`genmat.generation.exhaustive`) and drawn without repetition.

No energy is computed. Replacing elements one to one keeps the space group, so symmetry and size of the template are
those of the proposal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from genmat.generation.constraints import TemplatePool, template_pool
from genmat.generation.decoration import Decorator, is_balanced
from genmat.generation.draw import NEUTRAL, Draw, random_stream
from genmat.generation.exhaustive import Catalogue, can_enumerate, catalogue, gumbel
from genmat.generation.library import TemplateLibrary, template_library
from genmat.generation.options import Option, Scorer, is_known
from genmat.generation.parameters import TemplateParameters
from genmat.ids import canonical_json, stable_id
from genmat.representation.conversion import to_structure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np

    from genmat.campaign.target import Target
    from genmat.generation.draw import DrawContext, ProposalWeights
    from genmat.reference.table import Reference
    from genmat.representation.crystal import Crystal

ATTEMPTS_PER_OPTION = 20
"""Decorations that are tried for each option wanted."""

RANKING = -1
"""Index of the random stream that orders enumerated options; draws have indices from 0."""

_BLOCK = 512
"""Random numbers that are drawn at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """What all draws of one target and one set of weights share; a catalogue where options can be enumerated."""

    pool: TemplatePool
    decorator: Decorator
    scorer: Scorer
    catalogue: Catalogue | None


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

    def provenance(self, target: Target) -> dict[str, Any]:  # noqa: ARG002 - the interface's
        """Return nothing: there are no weights, and templates know no range."""
        return {}

    def draw(self, indices: Sequence[int], *, context: DrawContext) -> list[Draw]:
        """Return the draws of ``indices``, in their order.

        Raises
        ------
        CampaignError
            If no template can satisfy the target.
        """
        prepared = self._prepare(context.target, context.weights)
        if prepared.catalogue is not None:
            return self._take(indices, prepared.catalogue, context)
        configuration_id = self.configuration_id
        return [
            self._draw(i, prepared, _uniforms(random_stream(context, configuration_id=configuration_id, index=i)))
            for i in indices
        ]

    def _prepare(self, target: Target, weights: ProposalWeights) -> _Prepared:
        """Return what the draws of a target and some weights share; the latest is kept."""
        key = canonical_json([target.model_dump(mode="json"), weights.to_dict()])
        found = self._prepared.get(key)
        if found is None:
            found = self._prepare_anew(target, weights)
            self._prepared.clear()
            self._prepared[key] = found
        return found

    def _prepare_anew(self, target: Target, weights: ProposalWeights) -> _Prepared:
        settings, library = self.settings, self.library
        scorer = Scorer.from_target(library, target, weights)
        pool = template_pool(
            library,
            target,
            max_energy_above_hull=settings.max_template_energy_above_hull,
            prototype_exponent=settings.prototype_exponent,
            temperature=settings.substitution_temperature,
            element_weights=scorer.element_weights,
            prototype_weights=scorer.prototype_weights,
        )
        decorator = Decorator.from_similarity(
            library.similarity,
            pool.chemistry,
            temperature=settings.substitution_temperature,
            element_weights=scorer.element_weights,
        )
        listed = None
        if can_enumerate(pool):
            listed = catalogue(pool, scorer, charge_balanced=settings.charge_balanced, avoid_known=settings.avoid_known)
        return _Prepared(pool, decorator, scorer, listed)

    def _take(self, indices: Sequence[int], listed: Catalogue, context: DrawContext) -> list[Draw]:
        """Return the options at ``indices`` of the round's ranking."""
        stream = random_stream(context, configuration_id=self.configuration_id, index=RANKING)
        order = listed.ranked(temperature=self.settings.selection_temperature, uniforms=_uniforms(stream))
        exhausted = f"the target leaves {len(order)} options, all of which were drawn"
        return [
            self._proposal(i, order[i], order[i].crystal(self.library)) if i < len(order) else Draw.failed(i, exhausted)
            for i in indices
        ]

    def _draw(self, index: int, prepared: _Prepared, uniforms: Iterator[float]) -> Draw:
        """Return one random draw."""
        options = self._options(prepared, uniforms)
        if not options:
            tried = ATTEMPTS_PER_OPTION * self.settings.oversample
            return Draw.failed(
                index, f"none of {tried} decorations has different elements, balanced charges and is no template"
            )
        temperature = self.settings.selection_temperature
        keys = [option.score + temperature * gumbel(next(uniforms)) for option in options]
        for i in sorted(range(len(options)), key=lambda i: (-keys[i], i)):
            crystal = options[i].crystal(self.library)
            if not (self.settings.avoid_known and is_known(crystal, self.library.reference)):
                return self._proposal(index, options[i], crystal)
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
            found[template.position, elements] = prepared.scorer.option(template, elements)
            if len(found) == self.settings.oversample:
                break
        return list(found.values())

    def _proposal(self, index: int, option: Option, crystal: Crystal) -> Draw:
        """Return the draw that keeps ``option``."""
        return Draw(index, crystal, to_structure(crystal), round(option.score, 6), option.origin(crystal), None)


def _uniforms(rng: np.random.Generator) -> Iterator[float]:
    """Yield random numbers in [0, 1)."""
    while True:
        yield from rng.random(_BLOCK).tolist()
