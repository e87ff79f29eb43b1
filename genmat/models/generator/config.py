"""Configuration of G and of its training."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from genmat.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class GeneratorConfig:
    """Sizes of the flow's network, and what it can be conditioned on.

    Parameters
    ----------
    latent_size
        Numbers of z.
    width, n_blocks
        Channels and residual blocks.
    condition_size
        Channels of the condition.
    properties
        Names of the properties, in the order of their columns.

    Raises
    ------
    InputError
        If a size is not positive.
    """

    latent_size: int
    properties: tuple[str, ...]
    width: int = 384
    n_blocks: int = 4
    condition_size: int = 160

    def __post_init__(self) -> None:
        """Check the sizes; make the names a tuple."""
        object.__setattr__(self, "properties", tuple(self.properties))
        for name in ("latent_size", "width", "n_blocks", "condition_size"):
            if getattr(self, name) < 1:
                msg = f"{name} of the generator is {getattr(self, name)}, expected a positive whole number"
                raise InputError(msg)

    def to_dict(self) -> dict[str, Any]:
        """Return every value; JSON-serialisable."""
        return asdict(self) | {"properties": list(self.properties)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return the configuration that :meth:`to_dict` wrote.

        Raises
        ------
        InputError
            If a key is unknown or missing.
        """
        names = {field.name for field in fields(cls)}
        if unknown := sorted(set(value) - names):
            msg = f"the generator has no parameter {unknown[0]!r}, it has {', '.join(sorted(names))}"
            raise InputError(msg)
        return cls(**value)


@dataclass(frozen=True, slots=True)
class GeneratorTraining:
    """How Stage 3 is trained.

    Parameters
    ----------
    epochs, batch_size
        Passes over the crystals, and crystals in a step.
    learning_rate, weight_decay
        Of AdamW; falls to zero linearly over the second half.
    average
        Decay of the running mean of the weights, which is what is kept.
    unconditional
        Share of the samples that see no condition.
    kept
        Probability that a condition of a conditional sample is kept, each by itself.
    seed
        Of weights, order, noise and conditions.
    """

    epochs: int = 60
    batch_size: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    average: float = 0.999
    unconditional: float = 0.2
    kept: float = 0.35
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return every value; JSON-serialisable."""
        return asdict(self)
