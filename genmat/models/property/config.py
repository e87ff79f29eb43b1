"""Properties that heads predict, and how a head is built and trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from genmat.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]


class Transform(StrEnum):
    """Scale on which a property is learnt."""

    LINEAR = "linear"
    LOG = "log"
    ARCSINH = "arcsinh"


class FeatureSet(StrEnum):
    """What a head reads: z alone, z beside descriptors of the composition, or beside those of the geometry too."""

    LATENT = "latent"
    LATENT_COMPOSITION = "latent+composition"
    LATENT_DESCRIPTORS = "latent+descriptors"


class Likelihood(StrEnum):
    """Distribution of a target about its prediction; the location of Laplace's is the median, which minimises MAE."""

    GAUSSIAN = "gaussian"
    LAPLACE = "laplace"


@dataclass(frozen=True, slots=True)
class PropertyDefinition:
    """What is known about a property before any data.

    Parameters
    ----------
    name
        Name of the property, such as ``bulk_modulus``.
    unit
        Unit of every value of it.
    transform
        ``linear``; ``log`` for a positive quantity; ``arcsinh`` for one of both signs and many magnitudes, linear below
        ``width`` and logarithmic above.
    width
        Of ``arcsinh``, in ``unit``.
    minimum
        Predictions below are raised to it, in ``unit``; ``None`` for a property without bound.
    description
        What the number means, and of which method.

    Raises
    ------
    InputError
        If the name is empty or the width is not positive.
    """

    name: str
    unit: str
    transform: Transform = Transform.LINEAR
    width: float = 1.0
    minimum: float | None = None
    description: str = ""

    def __post_init__(self) -> None:
        """Check name and width."""
        if not self.name:
            msg = "a property needs a name"
            raise InputError(msg)
        if not (np.isfinite(self.width) and self.width > 0):
            msg = f"width of property {self.name} is {self.width}, expected a positive number in its unit"
            raise InputError(msg)

    def to_scale(self, values: FloatArray) -> FloatArray:
        """Return values (``unit``) on the scale on which they are learnt.

        Raises
        ------
        InputError
            If a value of a logarithmic property is not positive.
        """
        if self.transform is Transform.LOG:
            if (values <= 0).any():
                msg = (
                    f"{self.name} is learnt as a logarithm, but {int((values <= 0).sum())} of {len(values)} values are "
                    f"not positive (lowest {values.min():.4g} {self.unit}): use transform 'linear' or 'arcsinh'"
                )
                raise InputError(msg)
            return np.log(values)
        return np.arcsinh(values / self.width) if self.transform is Transform.ARCSINH else values

    def from_scale(self, scaled: FloatArray) -> FloatArray:
        """Return values in ``unit``, none below ``minimum``."""
        if self.transform is Transform.LOG:
            values = np.exp(scaled)
        else:
            values = np.sinh(scaled) * self.width if self.transform is Transform.ARCSINH else scaled
        return values if self.minimum is None else np.maximum(values, self.minimum)


_DEFINITIONS = (
    PropertyDefinition("band_gap", "eV", minimum=0.0, description="Kohn-Sham gap of the Materials Project, PBE"),
    PropertyDefinition(
        "bulk_modulus", "GPa", Transform.LOG, minimum=0.0, description="Voigt-Reuss-Hill, AFLOW AEL, PBE"
    ),
    PropertyDefinition(
        "shear_modulus", "GPa", Transform.LOG, minimum=0.0, description="Voigt-Reuss-Hill, AFLOW AEL, PBE"
    ),
    PropertyDefinition("debye_temperature", "K", Transform.LOG, minimum=0.0, description="AFLOW AEL, PBE"),
    PropertyDefinition(
        "thermal_conductivity",
        "W/mK",
        Transform.LOG,
        minimum=0.0,
        description="of the lattice at 300 K, AFLOW AGL, PBE",
    ),
    PropertyDefinition(
        "thermal_expansion", "1/K", Transform.ARCSINH, width=2e-5, description="at 300 K, AFLOW AGL, PBE"
    ),
)

PROPERTIES = {definition.name: definition for definition in _DEFINITIONS}
"""Properties that genmat ships heads for, by name."""


def get_property(name: str) -> PropertyDefinition:
    """Return the definition of a property that genmat knows.

    Raises
    ------
    InputError
        If there is none of that name; names the nearest one.
    """
    if name not in PROPERTIES:
        known = ", ".join(PROPERTIES)
        msg = f"unknown property {name!r}, known are {known}.{did_you_mean(name, PROPERTIES)}"
        raise InputError(msg)
    return PROPERTIES[name]


@dataclass(frozen=True, slots=True)
class HeadConfig:
    """How a head is built and trained.

    Parameters
    ----------
    definition
        The property.
    features
        What the head reads.
    likelihood
        Loss: negative logarithm of this density, width predicted too.
    n_members
        Networks of the ensemble; they share matrices and differ by their factors (:mod:`.model`).
    width, depth
        Channels and hidden layers of each.
    dropout
        Share of the channels that a step drops.
    n_latent
        Leading features that are latents; the data decide it.
    latent_gain
        Factor of the standardised latents before the first layer; descriptors have 1. A few thousand rows are soon
        fitted by hundreds of numbers that say little each; a small factor lets the descriptors speak first.
    gene_share
        Share of the rows that a step shows as genes, without geometry, so that genes can be judged too; needs
        features of the genes.
    learning_rate, weight_decay
        Of AdamW; the rate rises over a tenth of the steps and falls to zero along a cosine.
    batch_size
        Crystals in a step, for each member another draw.
    epochs, patience
        Passes over the training rows at most; passes without a better validation error after which training stops.

    Raises
    ------
    InputError
        If a number is out of range.
    """

    definition: PropertyDefinition
    features: FeatureSet = FeatureSet.LATENT_DESCRIPTORS
    likelihood: Likelihood = Likelihood.LAPLACE
    n_members: int = 8
    width: int = 192
    depth: int = 3
    dropout: float = 0.1
    n_latent: int = 0
    latent_gain: float = 1.0
    gene_share: float = 0.2
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    batch_size: int = 128
    epochs: int = 60
    patience: int = 20

    def __post_init__(self) -> None:
        """Check every number."""
        for name in ("n_members", "width", "depth", "batch_size", "epochs", "patience"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                msg = f"{name} of the head for {self.definition.name} is {value!r}, expected a positive whole number"
                raise InputError(msg)
        for name in ("dropout", "gene_share"):
            share = getattr(self, name)
            if not 0.0 <= share < 1.0:
                msg = f"{name} of the head for {self.definition.name} is {share}, expected 0 up to 1, 1 excluded"
                raise InputError(msg)
        if not (np.isfinite(self.latent_gain) and self.latent_gain > 0.0):
            msg = (
                f"latent_gain of the head for {self.definition.name} is {self.latent_gain}, expected a positive number"
            )
            raise InputError(msg)
        if not (self.learning_rate > 0.0 and self.weight_decay >= 0.0):
            msg = f"learning_rate and weight_decay of the head for {self.definition.name} must be positive"
            raise InputError(msg)

    def to_dict(self) -> dict[str, Any]:
        """Return every value; JSON-serialisable."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return the configuration that :meth:`to_dict` wrote.

        Raises
        ------
        InputError
            If a key is missing or unknown, or a value is out of range.
        """
        try:
            definition = dict(value["definition"])
            known = {item.name for item in fields(cls)}
            unknown = sorted(set(value) - known)
            if unknown:
                msg = f"unknown key {unknown[0]!r} in the configuration of a head.{did_you_mean(unknown[0], known)}"
                raise InputError(msg)
            options = {
                **value,
                "definition": PropertyDefinition(**definition | {"transform": Transform(definition["transform"])}),
                "features": FeatureSet(value["features"]),
                "likelihood": Likelihood(value["likelihood"]),
            }
            return cls(**options)
        except (KeyError, TypeError, ValueError) as err:
            msg = f"the configuration of a head is incomplete or wrong: {err!r}"
            raise InputError(msg) from err


@dataclass(frozen=True, slots=True)
class HeadMetrics:
    """How well a head does.

    Parameters
    ----------
    n_train, n_validation
        Rows.
    validation_mae
        Mean absolute error of the rows that stopped the training, in the property's unit.
    validation_coverage
        Share of those rows in the 90 % interval.
    epochs
        Passes until the best validation error.
    test
        Whatever a caller measured elsewhere, by name.
    """

    n_train: int
    n_validation: int
    validation_mae: float
    validation_coverage: float
    epochs: int
    test: dict[str, float] = field(default_factory=dict)


def shipped_config(name: str) -> HeadConfig:
    """Return how the head of a known property that genmat ships is trained.

    Raises
    ------
    InputError
        If the property is unknown.
    """
    definition = get_property(name)
    if name == "band_gap":  # three times as many rows
        return HeadConfig(definition, batch_size=256, epochs=30)
    return HeadConfig(definition)
