"""What a generator is asked for and what it gives: the interface that every generator implements."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from genmat.errors import InputError
from genmat.ids import seed_from_id, stable_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymatgen.core.structure import Structure

    from genmat.campaign.target import Target
    from genmat.representation.crystal import Crystal

WEIGHT_KINDS = ("elements", "templates")
"""Fields of :class:`ProposalWeights`, in the order of their documentation."""


@dataclass(frozen=True, slots=True)
class ProposalWeights:
    """What earlier rounds taught about elements and templates; empty is neutral.

    Parameters
    ----------
    elements
        Log-weight of each element by symbol (dimensionless); an absent one has 0.
    templates
        Log-weight of each anonymous gene (dimensionless); an absent one has 0.

    Raises
    ------
    InputError
        If a weight is not finite.
    """

    elements: Mapping[str, float] = field(default_factory=dict)
    templates: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that every weight is a finite number."""
        for kind in WEIGHT_KINDS:
            for name, weight in getattr(self, kind).items():
                if not math.isfinite(weight):
                    msg = f"proposal weight of {name!r} ({kind}) is {weight}, expected a finite log-weight"
                    raise InputError(msg)

    @property
    def is_neutral(self) -> bool:
        """Whether the weights change nothing."""
        return not any(any(getattr(self, kind).values()) for kind in WEIGHT_KINDS)

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Return the weights as plain mappings, sorted by name."""
        return {kind: dict(sorted(getattr(self, kind).items())) for kind in WEIGHT_KINDS}

    @classmethod
    def from_dict(cls, value: Mapping[str, Mapping[str, float]]) -> Self:
        """Return the weights that :meth:`to_dict` wrote.

        Raises
        ------
        InputError
            If a key is not one of ``elements`` and ``templates``.
        """
        unknown = sorted(set(value) - set(WEIGHT_KINDS))
        if unknown:
            msg = f"proposal weights have the unknown key {unknown[0]!r}, expected {' and '.join(WEIGHT_KINDS)}"
            raise InputError(msg)
        return cls(**{kind: dict(weights) for kind, weights in value.items()})


NEUTRAL = ProposalWeights()
"""Weights that change nothing: those of the first round."""


@dataclass(frozen=True, slots=True)
class DrawContext:
    """Everything besides the index that a draw depends on.

    Parameters
    ----------
    target
        Hard constraints (chemistry, symmetry, size) and properties aimed at.
    campaign
        Identity of the campaign; together with ``round`` and ``seed`` it selects the random streams.
    round
        Round of the campaign, from 0.
    seed
        Seed that the user gave.
    weights
        What earlier rounds taught.
    """

    target: Target
    campaign: str
    round: int
    seed: int
    weights: ProposalWeights = NEUTRAL


@dataclass(frozen=True, slots=True)
class Draw:
    """One proposed crystal, or the reason why there is none.

    Parameters
    ----------
    index
        Index of the draw within its round.
    crystal
        The proposal as x; ``None`` if the draw failed.
    structure
        The same crystal, primitive cell; ``None`` if the draw failed.
    score
        Predicted log-odds that the crystal is worth relaxing (natural logarithm, higher is better; −inf if the draw
        failed).
    origin
        Where the proposal comes from; JSON-serialisable.
    failure
        Why there is no proposal; ``None`` if there is one.

    Raises
    ------
    ValueError
        If there is neither a crystal nor a failure, or both.
    """

    index: int
    crystal: Crystal | None
    structure: Structure | None
    score: float
    origin: Mapping[str, Any]
    failure: str | None

    def __post_init__(self) -> None:
        """Check that the draw either succeeded or failed."""
        parts = {self.crystal is None, self.structure is None, self.failure is not None}
        if len(parts) != 1:
            msg = f"draw {self.index} needs a crystal with its structure or else a failure, got both or parts"
            raise ValueError(msg)

    @classmethod
    def failed(cls, index: int, reason: str) -> Draw:
        """Return a draw that proposes nothing, for ``reason``."""
        return cls(index, None, None, -math.inf, {}, reason)


class Generator(Protocol):
    """What proposes candidates.

    A draw depends on its index, the context and the generator's configuration only: neither on which other indices
    are drawn with it nor on the process that draws it.
    """

    @property
    def name(self) -> str:
        """Name under which the generator is registered."""
        ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Every parameter with its value, defaults included; JSON-serialisable."""
        ...

    @property
    def configuration_id(self) -> str:
        """Identity of the generator: name, parameters and the data that it draws from."""
        ...

    def check_target(self, target: Target) -> None:
        """Raise unless some draw can satisfy ``target``.

        Raises
        ------
        CampaignError
            If none can; the message names the constraint that leaves nothing.
        """
        ...

    def provenance(self, target: Target) -> Mapping[str, Any]:
        """Return what an activity that draws for ``target`` records besides the parameters; JSON-serialisable.

        ``models`` holds the SHA-256 of each weights file by name; ``warnings`` what the user should know, a line each.
        Both are absent where there is nothing to say.
        """
        ...

    def draw(self, indices: Sequence[int], *, context: DrawContext) -> list[Draw]:
        """Return the draws of ``indices``, in their order.

        Raises
        ------
        CampaignError
            As :meth:`check_target`.
        """
        ...


def random_stream(context: DrawContext, *, configuration_id: str, index: int) -> np.random.Generator:
    """Return the random stream of one draw.

    Parameters
    ----------
    context
        Campaign, round and seed; the weights do not select a stream.
    configuration_id
        Identity of the generator.
    index
        Index of the draw within its round.
    """
    identifier = stable_id("draw", context.seed, context.campaign, context.round, configuration_id, index)
    return np.random.default_rng(seed_from_id(identifier))
