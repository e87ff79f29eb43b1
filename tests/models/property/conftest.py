"""A small head on data whose law is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from genmat.models.property import HeadConfig, PropertyDefinition, Transform
from genmat.models.property.train import fit_head

DEFINITION = PropertyDefinition("toughness", "GPa", Transform.LOG, minimum=0.0)
CONFIG = HeadConfig(
    DEFINITION, n_members=4, width=24, depth=2, batch_size=128, epochs=25, patience=25, learning_rate=1e-2
)


def toy(n: int = 900, *, noise: float = 0.1, seed: int = 3):
    """Return features (n, 6) float32, positive targets, training rows and validation rows."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 6)).astype(np.float32)
    features[:, 5] = 1.0  # the same in every row
    law = features[:, 0] + 0.5 * np.tanh(2 * features[:, 1]) * features[:, 2]
    targets = np.exp(law + noise * rng.normal(size=n)) * 40.0
    order = np.arange(n) % 5
    return features, targets, order < 3, order == 3


def fit(config=CONFIG, *, seed=1, **changes):
    features, targets, is_training, is_validation = toy()
    rows = {"is_training": is_training, "is_validation": is_validation} | changes
    return fit_head(rows.pop("features", features), rows.pop("targets", targets), **rows, config=config, seed=seed)


@pytest.fixture(scope="session")
def head():
    """Return a head of the toy's property."""
    return fit()


def quick(**changes):
    """Return a configuration that trains in an instant."""
    return replace(CONFIG, **{"epochs": 2, "width": 8, **changes})
