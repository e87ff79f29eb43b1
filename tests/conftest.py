"""Fixtures that every test may use."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pymongo
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real crystals; skip where this machine does not have it."""
    folder = Path(os.environ.get("GENMAT_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not (folder / "mp_structures.parquet").is_file():
        pytest.skip("the folder of Materials Project crystals is absent (set GENMAT_SHARED to its parent)")
    return folder


@pytest.fixture
def profile() -> Callable[[str, str], AbstractContextManager[list[str]]]:
    """Return a function that watches a database's queries and lists the plans that the server chose for them."""

    @contextmanager
    def watch(uri: str, name: str) -> Iterator[list[str]]:
        plans: list[str] = []
        with pymongo.MongoClient(uri) as client:
            database = client[name]
            database.command("profile", 2)
            try:
                yield plans
            finally:
                database.command("profile", 0)
                for entry in database["system.profile"].find({"planSummary": {"$exists": True}}):
                    if not entry["ns"].endswith("system.profile"):
                        sorts = " and SORT" if entry.get("hasSortStage") else ""
                        plans.append(f"{entry['ns']}: {entry['planSummary']}{sorts}")
                database["system.profile"].drop()

    return watch
