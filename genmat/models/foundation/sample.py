"""Using Stage 1: encode crystals or bare genes, predict ζ, decode latents to genes and genes to crystals.

Decoding has two steps, so that genes can be judged before geometry: :func:`decode_genes` samples space group and orbits
under hard constraints, :func:`decode_geometry` samples lattice and free coordinates of given genes. Every draw has its
own random stream; what is drawn with it changes its numbers by rounding only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from genmat.models.foundation.batch import Batch
from genmat.models.foundation.model import IMPOSSIBLE
from genmat.models.foundation.tokens import MAX_ORBITS, N_LETTERS, TokenTable, concatenate
from genmat.models.layers import Cache

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genmat.models.foundation.model import Decoder, FoundationModel
    from genmat.representation.filling import GeneConstraints

    FloatArray = NDArray[np.float32]

CHUNK = 512
"""Crystals that are processed together."""


@dataclass(frozen=True, slots=True, eq=False)
class Genes:
    """Decoded genes.

    Parameters
    ----------
    tokens
        Space groups and orbits; the geometry is zero. A failed row has no orbit.
    log_likelihood
        ln p of each gene under the decoder and its masks, nats, shape (n,); -inf where it failed.
    """

    tokens: TokenTable
    log_likelihood: FloatArray

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Which rows hold no gene: it would have more than ``MAX_ORBITS`` orbits."""
        return self.tokens.n_orbits == 0


@torch.no_grad()
def encode(model: FoundationModel, tokens: TokenTable, *, has_geometry: bool = True) -> FloatArray:
    """Return z of crystals, or of genes if the geometry is not known, shape (n, latent size)."""
    latents = np.zeros((len(tokens), model.config.latent_size), dtype=np.float32)
    for rows in _chunks(tokens.n_orbits):
        batch = Batch.from_table(tokens[rows], device=model.shape_mean.device, has_geometry=has_geometry)
        latents[rows] = model.encode(batch).float().cpu().numpy()
    return latents


@torch.no_grad()
def predict(model: FoundationModel, latents: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return means and standard deviations of the intrinsic properties, in their units, shape (n, 3) each."""
    mean, sigma = model.properties(torch.from_numpy(latents).to(model.shape_mean.device))
    return mean.cpu().numpy(), sigma.cpu().numpy()


@torch.no_grad()
def decode_genes(
    model: FoundationModel,
    latents: FloatArray,
    times: FloatArray,
    *,
    constraints: GeneConstraints,
    streams: Sequence[np.random.Generator],
    temperature: float = 1.0,
) -> Genes:
    """Sample a gene for each latent.

    Parameters
    ----------
    model
        Stage 1.
    latents
        z_t, shape (n, latent size).
    times
        t of each, shape (n,).
    constraints
        What every gene fulfils.
    streams
        Random stream of each draw.
    temperature
        Of space groups, letters and elements; 0 takes the likeliest.
    """
    found = [
        _decode_genes(
            model, latents[i : i + CHUNK], times[i : i + CHUNK], constraints, streams[i : i + CHUNK], temperature
        )
        for i in range(0, len(latents), CHUNK)
    ]
    return Genes(concatenate([g.tokens for g in found]), np.concatenate([g.log_likelihood for g in found]))


def _decode_genes(
    model: FoundationModel,
    latents: FloatArray,
    times: FloatArray,
    constraints: GeneConstraints,
    streams: Sequence[np.random.Generator],
    temperature: float,
) -> Genes:
    decoder, device, n = model.decoder, model.shape_mean.device, len(latents)
    tokens = TokenTable.empty(n)
    likelihood = np.zeros(n, dtype=np.float32)
    reader = _Reader(decoder)
    hidden = reader.read_prefix(torch.from_numpy(latents).to(device), torch.from_numpy(times).to(device))
    uniforms = np.stack([stream.random(1 + 2 * (MAX_ORBITS + 1)) for stream in streams])  # one each for every choice
    allowed = torch.from_numpy(np.array(constraints.feasible_numbers())).to(device)
    logits = decoder.group_logits(hidden).masked_fill(~allowed, IMPOSSIBLE)
    numbers, log_p = _choose(logits, uniforms[:, 0], temperature)
    likelihood += log_p
    tokens.numbers[:] = numbers
    states = [constraints.start(number) for number in numbers.tolist()]
    rows = np.arange(n)  # of the genes that are not complete
    hidden = reader.read(decoder.vocabulary.group(torch.from_numpy(numbers).to(device))[:, None])
    letters = decoder.vocabulary.letters(torch.from_numpy(numbers).to(device))
    for slot in range(MAX_ORBITS + 1):
        mask = torch.from_numpy(constraints.letter_masks(states)).to(device)
        logits = decoder.letter_logits(hidden[:, None], letters)[:, 0].masked_fill(~mask, IMPOSSIBLE)
        ranks, log_p = _choose(logits, uniforms[rows, 1 + 2 * slot], temperature)
        likelihood[rows] += log_p
        going = np.flatnonzero(ranks != N_LETTERS)
        if slot == MAX_ORBITS:
            tokens.ranks[rows[going]], tokens.elements[rows[going]] = -1, 0
            likelihood[rows[going]] = -np.inf
            break
        if len(going) == 0:
            break
        if len(going) < len(rows):
            keep = torch.from_numpy(going).to(device)
            reader.keep(keep)
            hidden, letters = hidden[keep], letters[keep]
            rows, ranks, states = rows[going], ranks[going], [states[i] for i in going]
        sites = letters[torch.arange(len(rows), device=device), torch.from_numpy(ranks).to(device)]
        mask = torch.from_numpy(constraints.element_masks(states, ranks.tolist())).to(device)
        logits = decoder.element_logits(hidden, sites).masked_fill(~mask, IMPOSSIBLE)
        elements, log_p = _choose(logits, uniforms[rows, 2 + 2 * slot], temperature)
        likelihood[rows] += log_p
        tokens.ranks[rows, slot], tokens.elements[rows, slot] = ranks, elements
        states = [
            constraints.place(state, rank, z)
            for state, rank, z in zip(states, ranks.tolist(), elements.tolist(), strict=True)
        ]
        vectors = sites + decoder.vocabulary.elements()[torch.from_numpy(elements).to(device)]
        hidden = reader.read(vectors[:, None])
    return Genes(_in_order(tokens), likelihood)


def _in_order(tokens: TokenTable) -> TokenTable:
    """Return genes with their orbits sorted by letter and element; those of a template may come in its order."""
    key = np.where(tokens.ranks >= 0, tokens.ranks.astype(int) * 256 + tokens.elements, np.iinfo(np.int32).max)
    order = np.argsort(key, axis=1, kind="stable")
    tokens.ranks[:] = np.take_along_axis(tokens.ranks, order, axis=1)
    tokens.elements[:] = np.take_along_axis(tokens.elements, order, axis=1)
    return tokens


@torch.no_grad()
def decode_geometry(
    model: FoundationModel,
    genes: TokenTable,
    latents: FloatArray,
    times: FloatArray,
    *,
    streams: Sequence[np.random.Generator],
    temperature: float = 1.0,
) -> TokenTable:
    """Return genes with sampled lattices and free coordinates.

    Parameters
    ----------
    model
        Stage 1.
    genes
        Each with an orbit at least.
    latents, times
        What the decoder reads, shapes (n, latent size) and (n,).
    streams
        Random stream of each.
    temperature
        Of the mixtures; 0 takes the mean of the likeliest component.
    """
    free, shapes = genes.free.copy(), genes.shapes.copy()
    for rows in _chunks(genes.n_orbits):
        part = [streams[row] for row in rows.tolist()]
        geometry = _decode_geometry(model, genes[rows], latents[rows], times[rows], part, temperature)
        free[rows], shapes[rows] = geometry
    return TokenTable(genes.numbers, genes.ranks, genes.elements, free, shapes, genes.environments)


def _decode_geometry(
    model: FoundationModel,
    genes: TokenTable,
    latents: FloatArray,
    times: FloatArray,
    streams: Sequence[np.random.Generator],
    temperature: float,
) -> tuple[FloatArray, FloatArray]:
    decoder, device, n = model.decoder, model.shape_mean.device, len(genes)
    batch = Batch.from_table(genes, device=device, has_geometry=False)
    tables = decoder.vocabulary.tables
    reader = _Reader(decoder)
    reader.read_prefix(torch.from_numpy(latents).to(device), torch.from_numpy(times).to(device))
    orbits = decoder.orbit_tokens(batch.numbers, batch.ranks, batch.elements)
    query = decoder.lattice_query.expand(n, 1, -1)
    present = torch.cat([batch.present.new_ones(n, 1), batch.present, batch.present.new_ones(n, 1)], dim=1)
    x = torch.cat([decoder.vocabulary.group(batch.numbers)[:, None], orbits, query], dim=1)
    hidden = reader.read(x, present=present)
    weights, means, log_sigma = (part.cpu().numpy() for part in decoder.lattice_mixture(hidden))
    picked = _pick(weights, streams, temperature)
    normal = np.stack([stream.standard_normal(means.shape[-1]) for stream in streams])
    rows = np.arange(n)
    standard = means[rows, picked] + np.sqrt(temperature) * normal * np.exp(log_sigma[rows, picked])
    standard = np.where(tables.free_shape[batch.numbers].cpu().numpy(), standard, 0.0).astype(np.float32)
    shapes = torch.from_numpy(standard).to(device)
    expected = model.expected_log_volume(batch.numbers, batch.ranks, batch.elements, batch.present)
    free = np.zeros((n, MAX_ORBITS, 3), dtype=np.float32)
    dof = (tables.dof[batch.numbers[:, None], batch.ranks] * batch.present).cpu().numpy()
    previous = np.zeros((n, 3), dtype=np.float32)
    previous_free = np.zeros((n, 3), dtype=np.float32)
    count = (dof > 0).sum(axis=1)
    slots = np.argsort(dof == 0, axis=1, kind="stable")
    rows = np.arange(n)
    for step in range(int(count.max(initial=0))):
        going = np.flatnonzero(count[rows] > step)
        if len(going) < len(rows):
            reader.keep(torch.from_numpy(going).to(device))
            rows = rows[going]
        slot = slots[rows, step]
        here = torch.from_numpy(rows).to(device)
        asked = orbits[here, torch.from_numpy(slot).to(device)][:, None]
        known = torch.from_numpy(previous[rows])[:, None].to(device)
        known_free = torch.from_numpy(previous_free[rows])[:, None].to(device)
        hidden = reader.read(decoder.coordinate_tokens(asked, shapes[here], known, known_free))
        weights, angles, log_kappa = (part.cpu().numpy() for part in decoder.coordinate_mixture(hidden))
        chosen = [streams[row] for row in rows.tolist()]
        picked = _pick(weights, chosen, temperature)
        place = np.arange(len(rows))
        mean, kappa = angles[place, picked], np.exp(log_kappa[place, picked])
        angle = mean if temperature == 0 else _von_mises(mean, kappa / temperature, chosen)
        values = (angle / (2 * np.pi)) % 1.0
        is_free = np.arange(3) < dof[rows, slot][:, None]
        previous[rows], previous_free[rows] = np.where(is_free, values, 0.0), is_free
        free[rows, slot] = previous[rows]
    return free, model.unstandardise(shapes, expected).cpu().numpy()


class _Reader:
    """The decoder with its memory: reads tokens one after the other for a batch that may shrink."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.caches = [Cache() for _ in decoder.blocks]
        self.present: Tensor

    def read_prefix(self, latents: Tensor, times: Tensor) -> Tensor:
        """Read the latents and the beginning; return what predicts the space group, shape (B, d)."""
        prefix = self.decoder.prefix(latents, times)
        x = torch.cat([prefix, self.decoder.begin.expand(len(prefix), 1, -1)], dim=1)
        length = x.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        mask[:-1, :-1] = True
        self.present = torch.ones(len(x), length, dtype=torch.bool, device=x.device)
        return self._read(x, mask.expand(len(x), 1, -1, -1))

    def read(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        """Read tokens (B, T, d), padded where not ``present``; return what the last one says, shape (B, d)."""
        length = x.shape[1]
        new = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if present is None else present
        causal = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        old = self.present[:, None, None, :].expand(-1, -1, length, -1)
        self.present = torch.cat([self.present, new], dim=1)
        return self._read(x, torch.cat([old, causal & new[:, None, None, :]], dim=-1))

    def keep(self, rows: Tensor) -> None:
        """Forget the crystals of the batch that are not in ``rows``."""
        self.present = self.present[rows]
        for cache in self.caches:
            if cache.keys is not None and cache.values is not None:
                cache.keys, cache.values = cache.keys[rows], cache.values[rows]

    def _read(self, x: Tensor, mask: Tensor) -> Tensor:
        for block, cache in zip(self.decoder.blocks, self.caches, strict=True):
            x = block(x, mask, cache)
        return self.decoder.norm(x[:, -1])


def _choose(logits: Tensor, uniforms: NDArray[np.float64], temperature: float) -> tuple[NDArray[np.int64], FloatArray]:
    """Return a choice for each row of logits (B, C), and its log probability at temperature 1."""
    log_p = functional.log_softmax(logits.float(), dim=-1)
    if temperature == 0:
        chosen = log_p.argmax(dim=-1)
    else:
        cumulative = torch.softmax(logits.double() / temperature, dim=-1).cumsum(dim=-1)
        u = torch.from_numpy(uniforms).to(logits.device)[:, None] * cumulative[:, -1:]
        chosen = (cumulative <= u).sum(dim=-1)
    return chosen.cpu().numpy(), log_p.gather(1, chosen[:, None])[:, 0].cpu().numpy()


def _pick(log_weights: FloatArray, streams: Sequence[np.random.Generator], temperature: float) -> NDArray[np.int64]:
    """Return a component of each mixture, shape (B,)."""
    if temperature == 0:
        found: NDArray[np.int64] = log_weights.argmax(axis=-1)
        return found
    weights = np.exp(log_weights / temperature)
    cumulative = weights.cumsum(axis=-1)
    u = np.array([stream.random() for stream in streams])[:, None] * cumulative[:, -1:]
    return (cumulative <= u).sum(axis=-1).clip(max=weights.shape[-1] - 1)


def _von_mises(mean: NDArray[Any], kappa: NDArray[Any], streams: Sequence[np.random.Generator]) -> FloatArray:
    angles = [stream.vonmises(m, k) for stream, m, k in zip(streams, mean, kappa, strict=True)]
    return np.asarray(angles, dtype=np.float32)


def _chunks(lengths: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Return rows in chunks of like length."""
    order = np.argsort(lengths, kind="stable")
    return [order[i : i + CHUNK] for i in range(0, len(order), CHUNK)]
