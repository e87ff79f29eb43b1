"""Configuration of the foundation model and of its pretraining."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from genmat.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

INTRINSIC = ("formation_energy_per_atom", "log_volume_per_atom", "energy_above_hull")
"""What P_i predicts: eV/atom, ln(Å³/atom), eV/atom."""


@dataclass(frozen=True, slots=True)
class FoundationConfig:
    """Sizes of the networks, and which channels of x the encoder reads.

    Parameters
    ----------
    width
        Channels of the transformers, d.
    n_heads
        Attention heads.
    encoder_layers, decoder_layers
        Blocks of E_z and of E_z⁻¹.
    n_slots, slot_size
        z is ``n_slots`` vectors of ``slot_size`` numbers, each normalised to zero mean and unit variance.
    n_harmonics
        Fourier features of a free coordinate.
    n_coordinate_components, n_lattice_components
        Components of the von Mises and the Gaussian mixtures.
    element_descriptors, composition_descriptors, environments
        Channels of E_m: elemental descriptors beside learned embeddings, statistics of the composition, site
        environments.
    defects, disorder
        Reserved for channels of point defects and of partial occupancies; must be false.

    Raises
    ------
    InputError
        If a size is not positive or a reserved channel is asked for.
    """

    width: int = 128
    n_heads: int = 4
    encoder_layers: int = 3
    decoder_layers: int = 4
    n_slots: int = 4
    slot_size: int = 64
    n_harmonics: int = 8
    n_coordinate_components: int = 12
    n_lattice_components: int = 8
    element_descriptors: bool = True
    composition_descriptors: bool = True
    environments: bool = True
    defects: bool = False
    disorder: bool = False

    def __post_init__(self) -> None:
        """Check the sizes."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, bool) and (not isinstance(value, int) or value < 1):
                msg = f"{field.name} is {value!r}, expected a positive whole number"
                raise InputError(msg)
        if self.width % self.n_heads or self.width % 2:
            msg = f"width {self.width} must be even and a multiple of n_heads {self.n_heads}"
            raise InputError(msg)
        for name in ("defects", "disorder"):
            if getattr(self, name):
                msg = f"channel {name!r} is reserved: this version describes ordered crystals without defects"
                raise InputError(msg)

    @property
    def latent_size(self) -> int:
        """Numbers of z."""
        return self.n_slots * self.slot_size

    def to_dict(self) -> dict[str, Any]:
        """Return every value; JSON-serialisable."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return the configuration that :meth:`to_dict` wrote.

        Raises
        ------
        InputError
            If a key is unknown or a value out of range.
        """
        known = [field.name for field in fields(cls)]
        for name in value:
            if name not in known:
                msg = f"the foundation model has no parameter {name!r}, it has {', '.join(known)}."
                raise InputError(msg + did_you_mean(name, known))
        return cls(**value)


@dataclass(frozen=True, slots=True)
class PretrainConfig:
    """How Stage 1 is trained.

    Parameters
    ----------
    epochs
        Passes over the training crystals.
    batch_size
        Crystals in a step.
    learning_rate, matrix_learning_rate, weight_decay
        Of AdamW, of Muon (matrices of the blocks), and of those matrices; rates rise over ``warmup`` of the steps and
        fall to zero linearly after ``decay_from``.
    warmup, decay_from
        Fractions of all steps.
    noise_share
        Share of the samples that are decoded from a noisy latent; the others from the clean one.
    geometry_masked
        Share of the crystals whose geometry the encoder does not see.
    off_hull_share
        Crystals beyond ``max_energy_above_hull`` in an epoch, relative to those there are.
    property_weight, contrastive_weight, geometry_weight
        Weights of the losses relative to the cross entropy of the gene (nats a crystal).
    max_energy_above_hull
        eV/atom: crystals beyond are encoded and reconstructed, but do not teach the decoder what to propose.
    seed
        Of weights, order, masks and noise.
    """

    epochs: int = 30
    batch_size: int = 256
    learning_rate: float = 2e-3
    matrix_learning_rate: float = 0.02
    weight_decay: float = 0.05
    warmup: float = 0.02
    decay_from: float = 0.6
    noise_share: float = 0.5
    geometry_masked: float = 0.25
    off_hull_share: float = 0.4
    property_weight: float = 3.0
    contrastive_weight: float = 0.3
    geometry_weight: float = 0.4
    max_energy_above_hull: float = 0.1
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return every value; JSON-serialisable."""
        return asdict(self)
