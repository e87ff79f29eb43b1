"""Generation by the foundation model: y → z → genes, the best-scored of which get a geometry.

One model serves five tasks, told apart by what the target gives: nothing (*de novo*), a composition (*crystal structure
prediction*), space groups (*metastable*), properties (*inverse*), a Wyckoff template (parameter ``template``). Hard
constraints are masks of the decoder, so every gene fulfils them; properties steer the flow and rank the genes.

A draw proposes ``oversample`` genes. Those that are known, or ionic without balanced charges, are passed over. The
others are scored without any geometry,

    score = ln P(E_hull ≤ τ) + Σ_p ln P(p in its range)                                                     (1)

E_hull being the formation energy that P_i predicts for the bare gene minus that of the hull, each P that of a normal
distribution with the predicted uncertainty. Where the composition is given, the genes differ in structure only, and
how like its elements are to those of a known crystal of the same anonymous gene tells them apart better than any
energy of bare genes: the log-odds that a gene is the true one (:func:`log_odds`) are added. One gene is kept, with
probability ∝ exp(score / T). Its geometry is that of a known crystal with the same anonymous gene
(:mod:`genmat.generation.starts`), or else decoded, or else
random; a gene for which none of them keeps its atoms apart gives way to the next one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from genmat.campaign.properties import PropertyName
from genmat.errors import MissingReferenceError, RepresentationError
from genmat.generation.decoration import is_balanced
from genmat.generation.draw import Draw, random_stream
from genmat.generation.exhaustive import gumbel
from genmat.generation.foundation_target import Asked, ask
from genmat.generation.library import TemplateLibrary, template_library
from genmat.generation.options import known_genes
from genmat.generation.parameters import FoundationParameters, StartKind
from genmat.generation.random_start import random_start
from genmat.generation.starts import MIN_DISTANCE_RATIO, likeness, template_starts
from genmat.ids import canonical_json, stable_id
from genmat.models.foundation.config import INTRINSIC
from genmat.models.protocol import SamplingOptions
from genmat.reference.entries import SYMBOLS
from genmat.representation.contacts import distances_ok
from genmat.representation.conversion import to_structure
from genmat.representation.descriptors import GRAMS_PER_CUBIC_CENTIMETRE
from genmat.representation.gene import anonymous_gene_of_occupations, gene_of_occupations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from genmat.campaign.target import Target
    from genmat.generation.draw import DrawContext, ProposalWeights
    from genmat.models.bundle import ModelBundle
    from genmat.models.foundation.sample import Genes
    from genmat.models.foundation.tokens import TokenTable
    from genmat.reference.hull import Hull
    from genmat.reference.table import Reference
    from genmat.representation.crystal import Crystal
    from genmat.representation.gene import Occupation

FLOOR = 1e-4
"""Smallest probability of equation (1): a prediction may be wrong."""
LIKENESS_WEIGHT, NOT_LIKE = 1.6, -5.9
"""Log-odds that a gene is the true one of its composition, per likeness, and where no known crystal has the anonymous
gene. Fitted by conditional maximum likelihood to the genes sampled for 160 crystals of the validation split, of which
the true one was sampled for 120 and came first for 101 (benchmarks/bench_csp.py)."""
HULL_ERROR = 0.04
"""eV/atom added in quadrature to the predicted uncertainty of the formation energy."""
STABLE = 0.08
"""τ of equation (1), eV/atom."""
GENES_PLACED = 3
"""Genes of a draw, best first, that are tried until one gets a geometry."""
GEOMETRY_TRIES = 4
"""Geometries that are decoded for a gene until one has no atoms on top of each other."""
GROUP = 10
"""Draws that are computed together: draw i always with those of equal i // GROUP, whichever of them are wanted."""


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """A gene that a draw may keep.

    Parameters
    ----------
    row
        Row of the decoded genes.
    gene, anonymous_gene
        Canonical texts.
    energy_above_hull, uncertainty
        Predicted for the bare gene, eV/atom.
    score
        Equation (1), learnt weights added.
    """

    row: int
    gene: str
    anonymous_gene: str
    energy_above_hull: float
    uncertainty: float
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class FoundationGenerator:
    """Proposes what the foundation model imagines.

    Parameters
    ----------
    settings
        How to propose.
    bundle
        The three stages.
    library
        Known crystals: hull, genes, geometries.
    """

    name: ClassVar[str] = "foundation"

    settings: FoundationParameters
    bundle: ModelBundle
    library: TemplateLibrary
    _prepared: dict[str, Asked] = field(default_factory=dict)
    _hull: list[Hull] = field(default_factory=list)

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any], reference: Reference) -> FoundationGenerator:
        """Return the generator of some parameters (:class:`FoundationParameters`) and known crystals."""
        from genmat.models.bundle import load_bundle

        settings = FoundationParameters.from_dict(parameters)
        bundle = load_bundle(None if settings.models is None else Path(settings.models))
        return cls(settings, bundle, template_library(reference))

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter with its value."""
        return self.settings.to_dict()

    @property
    def configuration_id(self) -> str:
        """Identity of the generator: name, parameters, weights, reference."""
        return stable_id(
            "generator", self.name, self.parameters, dict(sorted(self.bundle.sha256.items())), self.library.reference.id
        )

    def check_target(self, target: Target) -> None:
        """Raise unless the model can propose something that satisfies ``target``.

        Raises
        ------
        CampaignError
            If no gene can; the message names the constraint that leaves nothing.
        """
        self._prepare(target)

    def warnings(self, target: Target) -> tuple[str, ...]:
        """Return what the target asks for beyond what the model was trained on, a line each."""
        return self._prepare(target).warnings

    def provenance(self, target: Target) -> dict[str, Any]:
        """Return the SHA-256 of each file of the model, and what the target asks for beyond its training."""
        return {"models": dict(sorted(self.bundle.sha256.items())), "warnings": list(self.warnings(target))}

    def draw(self, indices: Sequence[int], *, context: DrawContext) -> list[Draw]:
        """Return the draws of ``indices``, in their order.

        The networks see :data:`GROUP` draws at a time, always the same ones: sums of floats depend on the size of a
        batch, a draw must not.

        Raises
        ------
        CampaignError
            If no gene can satisfy the target.
        """
        asked = self._prepare(context.target)
        found: dict[int, Draw] = {}
        for group in sorted({index // GROUP for index in indices}):
            members = range(group * GROUP, (group + 1) * GROUP)
            found |= {draw.index: draw for draw in self._draw_group(members, asked, context)}
        return [found[index] for index in indices]

    def _draw_group(self, indices: Sequence[int], asked: Asked, context: DrawContext) -> list[Draw]:
        n_options = self.settings.oversample
        configuration_id = self.configuration_id
        streams = [random_stream(context, configuration_id=configuration_id, index=index) for index in indices]
        parts = [part for stream in streams for part in stream.spawn(n_options)]
        genes = self.bundle.propose_genes(
            asked.condition, constraints=asked.constraints, streams=parts, options=self._sampling
        )
        options = self.score(genes, target=context.target, weights=context.weights)
        waiting = {
            index: self._ordered([o for o in options[i * n_options : (i + 1) * n_options] if o is not None], stream)
            for i, (index, stream) in enumerate(zip(indices, streams, strict=True))
        }
        none = f"none of {n_options} proposed genes is new and charge-balanced"
        draws = {index: Draw.failed(index, none) for index in indices}
        for _ in range(GENES_PLACED):
            tried = {index: queue.pop(0) for index, queue in waiting.items() if queue}
            rows = [option.row for option in tried.values()]
            placed = self.place(genes.tokens[np.asarray(rows, dtype=np.intp)], streams=[parts[row] for row in rows])
            for (index, option), found in zip(tried.items(), placed, strict=True):
                draws[index] = self._proposal(index, option, *found)
            waiting = {index: waiting[index] for index in tried if draws[index].crystal is None}
        return list(draws.values())

    def score(self, genes: Genes, *, target: Target, weights: ProposalWeights) -> list[Option | None]:
        """Return each gene as an option; ``None`` where it failed, is known, or its charges do not balance."""
        tokens = genes.tokens
        found: list[Option | None] = [None] * len(tokens)
        named = {row: self._sift(tokens, row) for row in np.flatnonzero(~genes.failed).tolist()}
        usable = np.asarray([row for row, names in named.items() if names is not None], dtype=np.intp)
        if len(usable) == 0:
            return found
        latents = self.bundle.encode_genes(tokens[usable])
        scores = self._target_scores(tokens[usable], latents, target)
        energies, deviations = self.predict_energy_above_hull(tokens[usable], latents)
        stable = np.log(np.maximum(_normal_cdf((STABLE - energies) / deviations), FLOOR))
        for position, row in enumerate(usable.tolist()):
            text, anonymous = named[row] or ("", "")
            learnt = sum(weights.elements.get(SYMBOLS[z], 0.0) for z in _amounts(tokens, row))
            score = float(stable[position] + scores[position]) + learnt + weights.templates.get(anonymous, 0.0)
            if target.chemistry.composition is not None:
                score += log_odds(int(tokens.numbers[row]), tokens.occupations(row), library=self.library)
            found[row] = Option(row, text, anonymous, float(energies[position]), float(deviations[position]), score)
        return found

    def _sift(self, tokens: TokenTable, row: int) -> tuple[str, str] | None:
        """Return the gene and the anonymous gene of a row; ``None`` if it is known or its charges do not balance."""
        amounts = _amounts(tokens, row)
        if self.settings.charge_balanced and not is_balanced(list(amounts), list(amounts.values())):
            return None
        number, occupations = int(tokens.numbers[row]), tokens.occupations(row)
        text = gene_of_occupations(number, occupations)
        if self.settings.avoid_known and text in known_genes(self.library.reference).get(_formula(amounts), ()):
            return None
        return text, anonymous_gene_of_occupations(number, occupations)

    def predict_energy_above_hull(
        self, tokens: TokenTable, latents: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return E_hull and its standard deviation for bare genes, eV/atom, shape (n,) each; inf where no hull is."""
        mean, sigma = self.bundle.predict_intrinsic(latents)
        if not self._hull:
            self._hull.append(self.library.reference.hull())
        hull = self._hull[0]
        above = np.full(len(tokens), np.inf)
        for row in range(len(tokens)):
            amounts = {SYMBOLS[z]: n for z, n in _amounts(tokens, row).items()}
            try:
                lowest = hull.formation_energy_per_atom(
                    amounts, hull.hull_energy_per_atom(amounts), scale=self.library.reference.scale
                )
            except MissingReferenceError:
                continue
            above[row] = float(mean[row, 0]) - lowest
        return above, np.sqrt(sigma[:, 0].astype(float) ** 2 + HULL_ERROR**2)

    def place(
        self, tokens: TokenTable, *, streams: Sequence[np.random.Generator]
    ) -> list[tuple[Crystal | None, dict[str, Any]]]:
        """Return, for each gene, x with the geometry to relax from and where it comes from; ``None`` if there is none.

        Parameters
        ----------
        tokens
            Genes.
        streams
            Random stream of each.
        """
        if len(tokens) == 0:
            return []
        latents = self.bundle.encode_genes(tokens)
        found: list[tuple[Crystal | None, dict[str, Any]]] = [(None, {})] * len(tokens)
        if self.settings.start is StartKind.TEMPLATE:
            for row in range(len(tokens)):
                starts = template_starts(int(tokens.numbers[row]), tokens.occupations(row), library=self.library)
                if starts:
                    found[row] = (starts[0].crystal, {"start": "template", "template": starts[0].source})
        for attempt in range(GEOMETRY_TRIES):
            open_rows = np.asarray([row for row, (crystal, _) in enumerate(found) if crystal is None], dtype=np.intp)
            if len(open_rows) == 0:
                break
            placed = self.bundle.place_atoms(
                tokens[open_rows],
                latents[open_rows],
                streams=[streams[row] for row in open_rows.tolist()],
                temperature=self.settings.geometry_temperature if attempt == 0 else 1.0,
            )
            for position, row in enumerate(open_rows.tolist()):
                crystal = _crystal(placed, position)
                if crystal is not None:
                    found[row] = (crystal, {"start": "decoded"})
        mean, _ = self.bundle.predict_intrinsic(latents)
        for row in (row for row, (crystal, _) in enumerate(found) if crystal is None):
            volume = math.exp(float(mean[row, INTRINSIC.index("log_volume_per_atom")]))
            number, occupations = int(tokens.numbers[row]), tokens.occupations(row)
            crystal = random_start(number, occupations, rng=streams[row], volume_per_atom=volume)
            if crystal is not None:
                found[row] = (crystal, {"start": "random"})
        return found

    @property
    def _sampling(self) -> SamplingOptions:
        settings = self.settings
        return SamplingOptions(
            noise_level=settings.noise_level,
            guidance=settings.guidance,
            temperature=settings.temperature,
            geometry_temperature=settings.geometry_temperature,
        )

    def _ordered(self, options: list[Option], stream: np.random.Generator) -> list[Option]:
        """Return the options by their score with noise of the selection temperature, best first."""
        temperature = self.settings.selection_temperature
        keys = [option.score + temperature * gumbel(stream.random()) for option in options]
        return [options[i] for i in sorted(range(len(options)), key=lambda i: -keys[i])]

    def _proposal(self, index: int, option: Option, crystal: Crystal | None, start: dict[str, Any]) -> Draw:
        if crystal is None:
            return Draw.failed(index, f"no geometry of {option.gene} without atoms on top of each other was found")
        origin = {
            "gene": option.gene,
            "anonymous_gene": option.anonymous_gene,
            "predicted_energy_above_hull": round(option.energy_above_hull, 4),
            "predicted_uncertainty": round(option.uncertainty, 4),
            **start,
        }
        if not math.isfinite(option.energy_above_hull):  # the hull lacks an element
            origin |= {"predicted_energy_above_hull": None, "predicted_uncertainty": None}
        return Draw(index, crystal, to_structure(crystal), round(option.score, 6), origin, None)

    def _target_scores(self, tokens: TokenTable, latents: NDArray[np.float32], target: Target) -> NDArray[np.float64]:
        """Return Σ ln P(p in its range) over the ranges that the stages can predict, shape (n,)."""
        result = np.zeros(len(tokens))
        mean, sigma = self.bundle.predict_intrinsic(latents)
        for item in target.properties:
            if not item.has_range:
                continue
            if item.name is PropertyName.VOLUME_PER_ATOM:
                value, width = mean[:, 1], sigma[:, 1]
                low, high = _log(item.min), _log(item.max)
            elif item.name is PropertyName.DENSITY:
                mass = np.asarray([_mass_per_atom(_amounts(tokens, row)) for row in range(len(tokens))])
                value, width = np.log(GRAMS_PER_CUBIC_CENTIMETRE * mass) - mean[:, 1], sigma[:, 1]
                low, high = _log(item.min), _log(item.max)
            elif item.name is PropertyName.FORMATION_ENERGY_PER_ATOM:
                value, width, low, high = mean[:, 0], sigma[:, 0], item.min, item.max
            elif item.name in self.bundle.heads:
                value, width = self.bundle.predict_property(item.name, latents, tokens)
                low, high = item.min, item.max
            else:
                continue
            width = np.maximum(width, 1e-6)
            upper = 1.0 if high is None else _normal_cdf((high - value) / width)
            lower = 0.0 if low is None else _normal_cdf((low - value) / width)
            result += np.log(np.maximum(upper - lower, FLOOR))
        return result

    def _prepare(self, target: Target) -> Asked:
        """Return what the draws of a target share; the latest is kept."""
        key = canonical_json(target.model_dump(mode="json"))
        if key not in self._prepared:
            prepared = ask(target, settings=self.settings, bundle=self.bundle, known=self.library.elements)
            self._prepared.clear()
            self._prepared[key] = prepared
        return self._prepared[key]


def log_odds(number: int, occupations: Sequence[Occupation], *, library: TemplateLibrary) -> float:
    """Return the log-odds, up to a constant, that a gene is the true one among those of its composition, in nats."""
    found = likeness(number, occupations, library=library)
    return NOT_LIKE if found is None else LIKENESS_WEIGHT * found


def _amounts(tokens: TokenTable, row: int) -> dict[int, int]:
    """Return the atoms of each atomic number of one gene."""
    found: dict[int, int] = {}
    for z, n in zip(tokens.elements[row].tolist(), tokens[row : row + 1].amounts[0].tolist(), strict=True):
        if n:
            found[z] = found.get(z, 0) + n
    return found


def _formula(amounts: Mapping[int, int]) -> str:
    from pymatgen.core.composition import Composition

    return str(Composition({SYMBOLS[z]: n for z, n in amounts.items()}).reduced_formula)


def _crystal(tokens: TokenTable, row: int) -> Crystal | None:
    """Return x of a placed gene; ``None`` if its numbers span no cell or atoms are on top of each other."""
    try:
        crystal = tokens.crystal(row)
    except (RepresentationError, OverflowError):
        return None
    return crystal if distances_ok(crystal, min_ratio=MIN_DISTANCE_RATIO) else None


def _mass_per_atom(amounts: Mapping[int, int]) -> float:
    from pymatgen.core.periodic_table import Element

    return sum(float(Element(SYMBOLS[z]).atomic_mass) * n for z, n in amounts.items()) / sum(amounts.values())


def _log(value: float | None) -> float | None:
    return None if value is None else math.log(max(value, 1e-9))


def _normal_cdf(x: Any) -> Any:
    from scipy.special import ndtr

    return ndtr(x)
