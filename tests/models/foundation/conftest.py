"""Real crystals of the packaged reference, small networks."""

from __future__ import annotations

import numpy as np
import pytest

from genmat.models.foundation.config import FoundationConfig, PretrainConfig
from genmat.models.foundation.tokens import MAX_ORBITS, TokenTable
from genmat.models.foundation.train import PretrainData
from genmat.reference.io import load_reference


@pytest.fixture(scope="session")
def known():
    """Return 120 crystals of the packaged reference with their labels, shape (n, 3)."""
    reference = load_reference(None)
    crystals, labels = [], []
    for row in np.random.default_rng(0).permutation(reference.crystal_rows)[:160].tolist():
        crystal = reference.crystal(row)
        if len(crystal.orbits) <= min(MAX_ORBITS, 8):
            crystals.append(crystal)
            volume = np.log(crystal.volume / crystal.n_atoms)
            labels.append([reference.energies[row], volume, reference.energies_above_hull[row]])
    return crystals[:120], np.asarray(labels[:120], dtype=np.float32)


@pytest.fixture(scope="session")
def data(known) -> PretrainData:
    """Return those crystals as training data, every fifth for validation."""
    crystals, labels = known
    part = np.arange(len(crystals)) % 5 == 0
    return PretrainData(TokenTable.from_crystals(crystals), labels, ~part, part)


@pytest.fixture(scope="session")
def small() -> FoundationConfig:
    """Return a network that trains in seconds."""
    return FoundationConfig(
        width=16, n_heads=2, encoder_layers=1, decoder_layers=1, n_slots=2, slot_size=8, n_lattice_components=2
    )


@pytest.fixture(scope="session")
def short() -> PretrainConfig:
    """Return a training of 12 steps in 4 epochs."""
    return PretrainConfig(epochs=4, batch_size=32, seed=3, max_energy_above_hull=0.2)
