"""Stage 1: encoder E_z (x → z), decoder E_z⁻¹ (z → x), property head P_i (z → ζ).

The encoder is permutation-invariant over orbits: it has no positional encoding, and learned queries read the result.
Orbits that are equal in element and letter differ by their coordinates only.

The decoder is one causal transformer over the sequence

    z slots · begin · space group · orbit 1 … orbit n · lattice · free orbit 1 … free orbit m

that reads a noisy latent z_t = (1 - t) z + t ε together with t. At t = 0 it reconstructs; at t = 1 it is an
autoregressive model of crystals that knows nothing of z; between, z decides what survives the noise. z_t is a point on
the path of the flow that Stage 3 learns, so a flow integrated from 1 to t ends on what the decoder was trained for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from genmat.models.foundation.batch import Batch, Tables, element_mask, order_mask
from genmat.models.foundation.config import INTRINSIC
from genmat.models.foundation.tokens import N_GROUPS, N_LETTERS, N_SHAPE
from genmat.models.layers import Block, Fourier, embed_time
from genmat.representation.descriptors import ELEMENT_DESCRIPTORS, N_ATOMIC_NUMBERS, N_ENVIRONMENT

if TYPE_CHECKING:
    from genmat.models.foundation.config import FoundationConfig

IMPOSSIBLE = -1e9
"""Logit of what a mask forbids."""
MIN_LOG_KAPPA, MAX_LOG_KAPPA = -3.0, 9.0
"""Bounds of ln κ of a von Mises component; the upper one is a standard deviation of 0.0018 of a cell edge."""
MIN_LOG_SIGMA, MAX_LOG_SIGMA = -5.0, 1.0
"""Bounds of ln σ of a lattice component, in units of the standardised lattice."""


class Vocabulary(nn.Module):
    """Embeddings of elements and Wyckoff positions: learned vectors on top of descriptors."""

    def __init__(self, config: FoundationConfig) -> None:
        super().__init__()
        width = config.width
        self.tables = Tables()
        self.element = nn.Embedding(N_ATOMIC_NUMBERS, width)
        self.describe = nn.Linear(len(ELEMENT_DESCRIPTORS), width, bias=False) if config.element_descriptors else None
        self.position = nn.Embedding(self.tables.n_positions, width)
        self.site_symmetry = nn.Embedding(self.tables.n_site_symmetries, width)
        self.measure = nn.Linear(2, width, bias=False)
        self.group = nn.Embedding(N_GROUPS, width)
        for embedding in (self.element, self.position, self.site_symmetry, self.group):
            nn.init.normal_(embedding.weight, std=0.1)

    def elements(self) -> Tensor:
        """Return the vectors of all elements, shape (119, d)."""
        vectors = self.element.weight
        return vectors if self.describe is None else vectors + self.describe(self.tables.descriptors)

    def letters(self, numbers: Tensor) -> Tensor:
        """Return the vectors of all letters of some groups, shape (B, 27, d)."""
        return self._positions(
            self.tables.index[numbers],
            self.tables.site_symmetry[numbers],
            self.tables.dof[numbers],
            self.tables.atoms[numbers],
        )

    def orbits(self, numbers: Tensor, ranks: Tensor, elements: Tensor) -> Tensor:
        """Return the vectors of orbits, shape (B, N, d), from space groups (B,), ranks and elements (B, N)."""
        return self.sites(numbers, ranks) + self.elements()[elements]

    def sites(self, numbers: Tensor, ranks: Tensor) -> Tensor:
        """Return the vectors of Wyckoff positions, shape (B, N, d)."""
        where = numbers[:, None], ranks
        tables = self.tables
        return self._positions(tables.index[where], tables.site_symmetry[where], tables.dof[where], tables.atoms[where])

    def _positions(self, index: Tensor, symmetry: Tensor, dof: Tensor, atoms: Tensor) -> Tensor:
        measures = torch.stack([dof - 1.0, torch.log(atoms.clamp_min(1).float()) - 1.0], dim=-1)
        return self.position(index) + self.site_symmetry(symmetry) + self.measure(measures)


class Encoder(nn.Module):
    """E_z: x → z, shape (B, n_slots · slot_size)."""

    def __init__(self, config: FoundationConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.vocabulary = vocabulary
        self.fourier = Fourier(config.n_harmonics)
        self.coordinates = nn.Linear(6 * config.n_harmonics, width)
        self.environment = nn.Linear(N_ENVIRONMENT, width) if config.environments else None
        self.lattice = nn.Linear(N_SHAPE, width)
        composition = 2 * len(ELEMENT_DESCRIPTORS)
        self.composition = nn.Linear(composition, width) if config.composition_descriptors else None
        self.no_geometry = nn.Parameter(torch.zeros(width))
        self.queries = nn.Parameter(0.1 * torch.randn(config.n_slots, width))
        self.blocks = nn.ModuleList(Block(width, config.n_heads) for _ in range(config.encoder_layers))
        self.norm = nn.LayerNorm(width)
        self.to_latent = nn.Linear(width, config.slot_size)

    def forward(self, batch: Batch, shapes: Tensor) -> Tensor:
        """Return z of a batch.

        Parameters
        ----------
        batch
            Tokens.
        shapes
            Standardised lattices, shape (B, 6).
        """
        vocabulary, seen = self.vocabulary, batch.has_geometry.float()[:, None]
        tables = vocabulary.tables
        axes = torch.arange(3, device=batch.free.device)
        is_free = (axes < tables.dof[batch.numbers[:, None], batch.ranks][..., None]).float()  # (B, N, 3)
        orbits = vocabulary.orbits(batch.numbers, batch.ranks, batch.elements)
        geometry = self.coordinates(self.fourier(batch.free, is_free))
        if self.environment is not None:
            geometry = geometry + self.environment(batch.environments)
        orbits = orbits + seen[..., None] * geometry
        whole = vocabulary.group(batch.numbers) + seen * self.lattice(shapes) + (1 - seen) * self.no_geometry
        if self.composition is not None:
            whole = whole + self.composition(_composition(batch, tables))
        n_crystals = len(whole)
        queries = self.queries[None] + whole[:, None]  # (B, S, d)
        x = torch.cat([queries, orbits], dim=1)
        keys = torch.cat([batch.present.new_ones(n_crystals, queries.shape[1]), batch.present], dim=1)
        mask = keys[:, None, None, :]  # (B, 1, 1, S + N)
        for block in self.blocks:
            x = block(x, mask)
        slots = self.to_latent(self.norm(x[:, : queries.shape[1]]))  # (B, S, slot_size)
        return functional.layer_norm(slots, slots.shape[-1:]).flatten(1)


def _composition(batch: Batch, tables: Tables) -> Tensor:
    """Return mean and standard deviation of the elements' descriptors, shape (B, 28)."""
    amounts = tables.atoms[batch.numbers[:, None], batch.ranks] * batch.present
    weights = amounts.float() / amounts.sum(dim=1, keepdim=True)
    values = tables.descriptors[batch.elements]  # (B, N, 14)
    mean = (weights[..., None] * values).sum(dim=1)
    variance = (weights[..., None] * (values - mean[:, None]) ** 2).sum(dim=1)
    return torch.cat([mean, torch.sqrt(variance + 1e-6)], dim=-1)


@dataclass(frozen=True, slots=True)
class Sequence:
    """What the decoder reads after the latent: everything of x, shifted by one.

    ``free_slots`` names the orbits with free coordinates, shape (B, M); ``free_present`` says where there is one.
    """

    vectors: Tensor
    mask: Tensor
    free_slots: Tensor
    free_present: Tensor


class Decoder(nn.Module):
    """E_z⁻¹: z → x, autoregressive over space group, orbits, lattice and free coordinates."""

    def __init__(self, config: FoundationConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.vocabulary = vocabulary
        self.from_latent = nn.Linear(config.slot_size, width)
        self.slots = nn.Parameter(0.1 * torch.randn(config.n_slots, width))
        self.time = nn.Linear(width, width)
        self.begin = nn.Parameter(0.1 * torch.randn(width))
        self.lattice_query = nn.Parameter(0.1 * torch.randn(width))
        self.coordinate_query = nn.Parameter(0.1 * torch.randn(width))
        self.lattice = nn.Linear(N_SHAPE, width)
        self.fourier = Fourier(config.n_harmonics)
        self.coordinates = nn.Linear(6 * config.n_harmonics, width)
        self.blocks = nn.ModuleList(Block(width, config.n_heads) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(width)
        self.group_head = nn.Linear(width, N_GROUPS)
        self.letter_head = nn.Linear(width, width)
        self.stop = nn.Parameter(torch.zeros(width))
        self.element_head = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, width))
        self.element_bias = nn.Parameter(torch.zeros(N_ATOMIC_NUMBERS))
        self.lattice_head = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Linear(width, config.n_lattice_components * (1 + 2 * N_SHAPE))
        )
        self.coordinate_head = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Linear(width, config.n_coordinate_components * 10)
        )

    def prefix(self, latent: Tensor, t: Tensor) -> Tensor:
        """Return the tokens of a noisy latent, shape (B, S, d)."""
        slots = latent.view(len(latent), self.config.n_slots, self.config.slot_size)
        return self.from_latent(slots) + self.slots + self.time(embed_time(t, self.config.width))[:, None]

    def orbit_tokens(self, numbers: Tensor, ranks: Tensor, elements: Tensor) -> Tensor:
        """Return the tokens of orbits, shape (B, N, d)."""
        return self.vocabulary.orbits(numbers, ranks, elements)

    def coordinate_tokens(self, orbits: Tensor, shapes: Tensor, previous: Tensor, previous_free: Tensor) -> Tensor:
        """Return the tokens that ask for the coordinates of orbits, shape (B, M, d).

        Parameters
        ----------
        orbits
            Tokens of the orbits, shape (B, M, d).
        shapes
            Standardised lattices, shape (B, 6).
        previous, previous_free
            Coordinates of the free orbit before, and which of them are free, shape (B, M, 3).
        """
        known = self.coordinates(self.fourier(previous, previous_free))
        return orbits + known + self.lattice(shapes)[:, None] + self.coordinate_query

    def read(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return what the blocks make of tokens, shape (B, T, d)."""
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)

    def group_logits(self, hidden: Tensor) -> Tensor:
        """Return the logits of the space groups, shape (B, 231)."""
        logits = self.group_head(hidden)
        return logits.index_fill(-1, torch.zeros(1, dtype=torch.int64, device=logits.device), IMPOSSIBLE)

    def letter_logits(self, hidden: Tensor, letters: Tensor) -> Tensor:
        """Return the logits of the next letter, shape (B, T, 28).

        Parameters
        ----------
        hidden
            Shape (B, T, d).
        letters
            Vectors of the letters of each crystal's group, shape (B, 27, d).
        """
        choices = torch.cat([letters, self.stop.expand(len(letters), 1, -1)], dim=1)  # (B, 28, d)
        return torch.bmm(self.letter_head(hidden), choices.transpose(1, 2))

    def element_logits(self, hidden: Tensor, sites: Tensor) -> Tensor:
        """Return the logits of the element on a letter, shape (..., 119), from hidden and site vectors (..., d)."""
        wanted = self.element_head(torch.cat([hidden, sites], dim=-1))
        return wanted @ self.vocabulary.elements().T + self.element_bias

    def lattice_mixture(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log weights (B, K), means and log deviations (B, K, 6) of the standardised lattice."""
        k = self.config.n_lattice_components
        raw = self.lattice_head(hidden).view(len(hidden), k, 1 + 2 * N_SHAPE)
        weights = functional.log_softmax(raw[..., 0], dim=-1)
        return weights, raw[..., 1 : 1 + N_SHAPE], raw[..., 1 + N_SHAPE :].clamp(MIN_LOG_SIGMA, MAX_LOG_SIGMA)

    def coordinate_mixture(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log weights (..., K), mean angles and ln κ (..., K, 3) of the free coordinates times 2π."""
        k = self.config.n_coordinate_components
        raw = self.coordinate_head(hidden).view(*hidden.shape[:-1], k, 10)
        weights = functional.log_softmax(raw[..., 0], dim=-1)
        angles = torch.atan2(raw[..., 1:4], raw[..., 4:7] + 1e-4)
        return weights, angles, (raw[..., 7:] + 2.0).clamp(MIN_LOG_KAPPA, MAX_LOG_KAPPA)

    def losses(self, batch: Batch, shapes: Tensor, latent: Tensor, t: Tensor) -> dict[str, Tensor]:
        """Return the negative log-likelihoods of each crystal, in nats: ``gene``, ``lattice``, ``coordinates``; (B,).

        Parameters
        ----------
        batch
            Tokens; their geometry is what is to be predicted, whether the encoder saw it or not.
        shapes
            Standardised lattices, shape (B, 6).
        latent
            Noisy latents z_t, shape (B, latent size).
        t
            Times, shape (B,).
        """
        n_crystals, n_orbits = batch.ranks.shape
        tables = self.vocabulary.tables
        prefix = self.prefix(latent, t)
        orbits = self.orbit_tokens(batch.numbers, batch.ranks, batch.elements)
        dof = tables.dof[batch.numbers[:, None], batch.ranks] * batch.present
        order = torch.argsort((dof == 0).to(torch.int8), dim=1, stable=True)
        slots = order[:, : max(1, int((dof > 0).sum(dim=1).max()))]  # (B, M)
        present = torch.gather(dof, 1, slots) > 0
        free = torch.gather(batch.free, 1, slots[..., None].expand(-1, -1, 3))  # (B, M, 3)
        axes = torch.arange(3, device=free.device)
        is_free = axes < torch.gather(dof, 1, slots)[..., None]
        earlier = functional.pad(free[:, :-1], (0, 0, 1, 0))
        earlier_free = functional.pad(is_free[:, :-1].float(), (0, 0, 1, 0))
        asked = torch.gather(orbits, 1, slots[..., None].expand(-1, -1, orbits.shape[-1]))
        x = torch.cat(
            [
                prefix,
                self.begin.expand(n_crystals, 1, -1),
                self.vocabulary.group(batch.numbers)[:, None],
                orbits,
                self.lattice_query.expand(n_crystals, 1, -1),
                self.coordinate_tokens(asked, shapes, earlier, earlier_free),
            ],
            dim=1,
        )
        n_prefix = prefix.shape[1]
        always = batch.present.new_ones(n_crystals, n_prefix + 2)
        keys = torch.cat([always, batch.present, always[:, :1], present], dim=1)
        length = x.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        causal[:n_prefix, :n_prefix] = True
        hidden = self.read(x, causal & keys[:, None, None, :])
        begin, first = n_prefix, n_prefix + 1
        group = functional.cross_entropy(self.group_logits(hidden[:, begin]), batch.numbers, reduction="none")
        after_group = hidden[:, first : first + n_orbits + 1]  # (B, N + 1, d)
        return {
            "gene": group + self._gene_loss(batch, after_group),
            "lattice": self._lattice_loss(hidden[:, first + n_orbits + 1], shapes, tables.free_shape[batch.numbers]),
            "coordinates": self._coordinate_loss(hidden[:, first + n_orbits + 2 :], free, is_free, present),
        }

    def _gene_loss(self, batch: Batch, hidden: Tensor) -> Tensor:
        """Return the cross entropy of letters, elements and the end, summed over each crystal, shape (B,)."""
        n_crystals = len(hidden)
        tables, vocabulary = self.vocabulary.tables, self.vocabulary
        count = batch.present.sum(dim=1)
        steps = torch.arange(hidden.shape[1], device=hidden.device)
        nothing = batch.ranks.new_zeros(n_crystals, 1)
        targets = torch.cat([torch.where(batch.present, batch.ranks, N_LETTERS), nothing + N_LETTERS], dim=1)
        last_ranks = torch.cat([nothing, batch.ranks], dim=1)
        last_elements = torch.cat([nothing, batch.elements], dim=1)
        has_orbit = (steps > 0).expand(n_crystals, -1)
        numbers = batch.numbers[:, None].expand_as(last_ranks)
        allowed = order_mask(tables, numbers, last_ranks, has_orbit=has_orbit)
        logits = self.letter_logits(hidden, vocabulary.letters(batch.numbers)).masked_fill(~allowed, IMPOSSIBLE)
        letters = functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none")  # (B, N + 1)
        loss = (letters * (steps <= count[:, None])).sum(dim=1)
        sites = vocabulary.sites(batch.numbers, batch.ranks)
        may = element_mask(batch.ranks, last_ranks[:, :-1], last_elements[:, :-1], has_orbit=has_orbit[:, :-1])
        logits = self.element_logits(hidden[:, :-1], sites).masked_fill(~may, IMPOSSIBLE)
        elements = functional.cross_entropy(logits.transpose(1, 2), batch.elements, reduction="none")
        return loss + (elements * batch.present).sum(dim=1)

    def _lattice_loss(self, hidden: Tensor, shapes: Tensor, is_free: Tensor) -> Tensor:
        weights, means, log_sigma = self.lattice_mixture(hidden)
        terms = -0.5 * ((shapes[:, None] - means) * torch.exp(-log_sigma)) ** 2 - log_sigma - 0.9189385332046727
        return -torch.logsumexp(weights + (terms * is_free[:, None]).sum(dim=-1), dim=-1)

    def _coordinate_loss(self, hidden: Tensor, free: Tensor, is_free: Tensor, present: Tensor) -> Tensor:
        weights, angles, log_kappa = self.coordinate_mixture(hidden)
        terms = von_mises_log_density(2 * torch.pi * free[..., None, :], angles, log_kappa)  # (B, M, K, 3)
        orbits = torch.logsumexp(weights + (terms * is_free[..., None, :]).sum(dim=-1), dim=-1)
        return -(orbits * present).sum(dim=1)


def von_mises_log_density(angle: Tensor, mean: Tensor, log_kappa: Tensor) -> Tensor:
    """Return ln of exp(κ cos(φ - μ)) / 2π I₀(κ), per radian (Mardia & Jupp 2000, doi:10.1002/9780470316979)."""
    kappa = torch.exp(log_kappa)
    return kappa * (torch.cos(angle - mean) - 1) - torch.log(2 * torch.pi * torch.special.i0e(kappa))


class FoundationModel(nn.Module):
    """Encoder, decoder and property head, with the scales of lattices and properties.

    Parameters
    ----------
    config
        Sizes and channels.
    """

    def __init__(self, config: FoundationConfig) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = Vocabulary(config)
        self.encoder = Encoder(config, self.vocabulary)
        self.decoder = Decoder(config, self.vocabulary)
        n_properties = len(INTRINSIC)
        self.property_head = nn.Sequential(
            nn.Linear(config.latent_size, config.width), nn.GELU(), nn.Linear(config.width, 2 * n_properties)
        )
        self.shape_mean: Tensor
        self.shape_scale: Tensor
        self.property_mean: Tensor
        self.property_scale: Tensor
        self.element_volumes: Tensor
        self.register_buffer("shape_mean", torch.zeros(N_SHAPE))
        self.register_buffer("shape_scale", torch.ones(N_SHAPE))
        self.register_buffer("property_mean", torch.zeros(n_properties))
        self.register_buffer("property_scale", torch.ones(n_properties))
        self.register_buffer("element_volumes", torch.full((N_ATOMIC_NUMBERS,), 15.0))

    def standardise(self, batch: Batch) -> Tensor:
        """Return the lattices as the networks read them, shape (B, 6).

        The volume is taken relative to Σ x_i v_i with fitted elemental volumes v.
        """
        expected = self.expected_log_volume(batch.numbers, batch.ranks, batch.elements, batch.present)
        shift = torch.zeros_like(batch.shapes)
        shift[:, 0] = expected
        return (batch.shapes - shift - self.shape_mean) / self.shape_scale

    def unstandardise(self, shapes: Tensor, expected: Tensor) -> Tensor:
        """Return the inverse of :meth:`standardise`, with ``expected`` from :meth:`expected_log_volume`."""
        raw = shapes * self.shape_scale + self.shape_mean
        shift = torch.zeros_like(raw)
        shift[:, 0] = expected
        return raw + shift

    def expected_log_volume(self, numbers: Tensor, ranks: Tensor, elements: Tensor, present: Tensor) -> Tensor:
        """Return ln of the volume per atom (Å³) that the composition suggests, shape (B,)."""
        amounts = (self.vocabulary.tables.atoms[numbers[:, None], ranks] * present).float()
        volumes = (amounts * self.element_volumes[elements]).sum(dim=1) / amounts.sum(dim=1)
        return torch.log(volumes)

    def encode(self, batch: Batch) -> Tensor:
        """Return z, shape (B, latent size)."""
        latent: Tensor = self.encoder(batch, self.standardise(batch))
        return latent

    def properties(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and standard deviations of ``INTRINSIC`` in their units, shape (B, 3) each."""
        mean, log_sigma = self.property_head(latent).chunk(2, dim=-1)
        sigma = torch.exp(log_sigma.clamp(-5.0, 3.0))
        return mean * self.property_scale + self.property_mean, sigma * self.property_scale
