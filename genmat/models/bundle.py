"""The three stages together: what proposes genes, places atoms and predicts properties."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genmat.errors import InputError, did_you_mean
from genmat.models.foundation import checkpoint as foundation_checkpoint
from genmat.models.foundation import sample as foundation
from genmat.models.generator.checkpoint import load_flow
from genmat.models.generator.conditions import Condition, ConditionTable
from genmat.models.generator.sample import sample_latents
from genmat.models.property.checkpoint import read_heads
from genmat.models.property.features import head_features
from genmat.models.tensors import read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from genmat.models.foundation.model import FoundationModel
    from genmat.models.foundation.sample import Genes
    from genmat.models.foundation.tokens import TokenTable
    from genmat.models.generator.model import LatentFlow
    from genmat.models.property.sample import PropertyHead
    from genmat.models.protocol import SamplingOptions
    from genmat.representation.filling import GeneConstraints

    FloatArray = NDArray[np.float32]

FOUNDATION, GENERATOR, HEADS = "foundation.safetensors", "generator.safetensors", "heads.safetensors"
"""Files of a bundle."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelBundle:
    """Stage 1, 2 and 3.

    Parameters
    ----------
    foundation
        E_z, E_z⁻¹, P_i.
    flow
        G.
    heads
        P_f by property.
    sha256
        Content of each file by name.
    metadata
        What is known about the training of each, by file name.
    """

    foundation: FoundationModel
    flow: LatentFlow
    heads: Mapping[str, PropertyHead]
    sha256: Mapping[str, str]
    metadata: Mapping[str, Mapping[str, Any]]

    def check_condition(self, condition: Condition) -> list[str]:
        """Return a warning for each range that lies outside of what the model saw.

        Raises
        ------
        InputError
            If a property is not one that the generator knows.
        """
        known = self.flow.config.properties
        warnings = []
        for name, (low, high) in condition.ranges.items():
            if name not in known:
                msg = f"the generator cannot aim at {name!r}, it knows {', '.join(known)}."
                raise InputError(msg + did_you_mean(name, known))
            least, most = self.flow.property_range[known.index(name)].tolist()
            if (low is not None and low > most) or (high is not None and high < least):
                asked = f"{'…' if low is None else f'{low:g}'} to {'…' if high is None else f'{high:g}'}"
                warnings.append(f"{name}: asked for {asked}, but the model was trained on {least:.4g} to {most:.4g}")
        return warnings

    def propose_genes(
        self,
        condition: Condition,
        *,
        constraints: GeneConstraints,
        streams: Sequence[np.random.Generator],
        options: SamplingOptions,
    ) -> Genes:
        """Return one gene for each stream: G(y) → z_t → gene.

        Parameters
        ----------
        condition
            What G is told, y.
        constraints
            What every gene fulfils.
        streams
            Random stream of each draw.
        options
            How to sample.
        """
        flow = self.flow
        table = ConditionTable.from_condition(
            condition,
            len(streams),
            properties=flow.config.properties,
            mean=flow.property_mean.cpu().numpy(),
            scale=flow.property_scale.cpu().numpy(),
        )
        latents = sample_latents(flow, table, end=options.noise_level, guidance=options.guidance, streams=streams)
        times = np.full(len(streams), options.noise_level, dtype=np.float32)
        return foundation.decode_genes(
            self.foundation, latents, times, constraints=constraints, streams=streams, temperature=options.temperature
        )

    def encode_genes(self, genes: TokenTable) -> FloatArray:
        """Return z of genes whose geometry is not known, shape (n, latent size)."""
        return foundation.encode(self.foundation, genes, has_geometry=False)

    def place_atoms(
        self, genes: TokenTable, latents: FloatArray, *, streams: Sequence[np.random.Generator], temperature: float
    ) -> TokenTable:
        """Return genes with lattice and free coordinates; ``latents`` from :meth:`encode_genes`."""
        times = np.zeros(len(genes), dtype=np.float32)
        return foundation.decode_geometry(
            self.foundation, genes, latents, times, streams=streams, temperature=temperature
        )

    def predict_intrinsic(self, latents: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return means and standard deviations of ζ, shape (n, 3) each: eV/atom, ln(Å³/atom), eV/atom."""
        return foundation.predict(self.foundation, latents)

    def predict_property(self, name: str, latents: FloatArray, tokens: TokenTable) -> tuple[FloatArray, FloatArray]:
        """Return values and standard deviations of a head's property in its unit, shape (n,) each.

        Parameters
        ----------
        name
            One of ``heads``.
        latents
            z of the crystals or genes.
        tokens
            The same crystals or genes.
        """
        head = self.heads[name]
        value, deviation = head.predict(head_features(latents, tokens, features=head.config.features))
        return value.astype(np.float32), deviation.astype(np.float32)


@lru_cache(maxsize=2)
def load_bundle(folder: Path | None = None) -> ModelBundle:
    """Return the bundle of a folder, by default the one that genmat ships.

    Raises
    ------
    ModelError
        If a file is missing or damaged, or the files do not belong together.
    """
    where = packaged_models() if folder is None else folder
    found = {
        name: read_checkpoint(where / name, kind=kind, version=1).metadata
        for name, kind in ((FOUNDATION, "foundation"), (GENERATOR, "generator"), (HEADS, "property-heads"))
    }
    encoder = str(found[FOUNDATION]["sha256"])
    return ModelBundle(
        foundation=foundation_checkpoint.load_model(where / FOUNDATION),
        flow=load_flow(where / GENERATOR, encoder_sha256=encoder),
        heads=read_heads(where / HEADS, encoder_sha256=encoder),
        sha256={name: str(metadata["sha256"]) for name, metadata in found.items()},
        metadata=found,
    )


def packaged_models() -> Path:
    """Return the folder of the models that genmat ships."""
    return Path(__file__).parent / "data"
