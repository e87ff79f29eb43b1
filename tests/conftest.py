"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real crystals; skip where this machine does not have it."""
    folder = Path(os.environ.get("GENMAT_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not (folder / "mp_structures.parquet").is_file():
        pytest.skip("the folder of Materials Project crystals is absent (set GENMAT_SHARED to its parent)")
    return folder
