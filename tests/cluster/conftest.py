"""A database, a queue and campaigns on them; everything is real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from genmat.campaign.io import parse_campaign
from genmat.database.mongod import find_mongod
from genmat.database.store import Store, connect
from genmat.settings import Settings

from .slurm import Slurm, why_not

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from genmat.campaign import Campaign

ROOT = Path(__file__).resolve().parents[2]
# Workers import the tests' jobs by this name too.
sys.path.insert(0, str(Path(__file__).parent))
CAMPAIGN = """
name: tiny
target:
  properties:
    - {name: energy_above_hull, unit: eV/atom, max: 0.1}
  chemistry: {elements: [Li, Na, K, Mg, Ca, O, S, F, Cl, Br], n_elements: {min: 2, max: 2}}
  n_atoms: {min: 2, max: 3}
generate: {n: 8, seed: 3, oversample: 4}
screen: {max_relaxed: 4, hull_tolerance: 0.1, relax: {fmax: 0.3, smax: 5}}
learn: {rounds: 1}
resources: {generate_chunk: 3, screen_chunk: 2, workers: 1}
"""
"""Five chunks and three times bookkeeping; what takes time is to load CHGNet."""


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's settings and data out of the tests."""
    for name in os.environ:
        if name.startswith("GENMAT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start one private mongod for all tests, each of which has a database of its own; skip where none runs."""
    found = find_mongod(Settings.load())
    if found is None or found.version()[0] is None:
        pytest.skip("no mongod that runs (python -m genmat.database.install)")
    folder = tmp_path_factory.mktemp("data")
    with connect(Settings(data_folder=folder, mongod_idle=1.0)):
        yield folder


@pytest.fixture(scope="session")
def reference(shipped_reference: Path) -> None:
    """Skip where the shipped reference is absent."""


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """Start a SLURM of one node with the partitions gpu and cpu; skip where it is not installed."""
    if reason := why_not():
        pytest.skip(f"no SLURM: {reason}")
    with tempfile.TemporaryDirectory(prefix="gs-") as folder:
        started = Slurm(Path(folder))
        try:
            started.start()
            yield started
        finally:
            started.stop()


@dataclass
class Place:
    """A database of its own, and processes that use it."""

    folder: Path
    data_folder: Path
    database: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return Settings(data_folder=self.data_folder, database_name=self.database, mongod_idle=1.0)

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
        return {
            **os.environ,
            "GENMAT_DATA_FOLDER": str(self.data_folder),
            "GENMAT_DATABASE_NAME": self.database,
            "PYTHONPATH": path,
        }

    def open(self) -> Store:
        return connect(self.settings)

    def genmat(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        command = [sys.executable, "-m", "genmat.cli", *arguments]
        done = subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False, timeout=280
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command, in a process group of its own."""
        log = (self.folder / f"process-{len(self.processes)}.log").open("wb")
        command = [sys.executable, "-m", *arguments]
        with log:
            process = subprocess.Popen(
                command, env=self.environment, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL a process and everything it started."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in self.folder.rglob("*.log"))


@pytest.fixture
def place(tmp_path: Path, data_folder: Path) -> Iterator[Place]:
    """Return a database of this test."""
    made = Place(tmp_path, data_folder, f"t{uuid.uuid4().hex[:12]}")
    yield made
    for process in made.processes:
        if process.poll() is None:
            made.kill(process)


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    """Return the store of that database."""
    with place.open() as opened:
        yield opened


@pytest.fixture
def campaign() -> Campaign:
    """Return the campaign of five chunks."""
    return parse_campaign(CAMPAIGN, source="test")


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool], float], None]:
    """Return a function that waits until something holds."""

    def wait(condition: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s"
            time.sleep(0.1)

    return wait


def outcome(store: Store, name: str) -> dict:
    """Return what two runs of one campaign must agree on."""
    candidates = list(store.candidates.iterate({"campaign": name}))
    document = store.campaigns.require(name)
    return {
        "verdicts": {c.id: [(v.stage, v.passed, v.reason) for v in c.verdicts] for c in candidates},
        "structures": {c.id: (c.structure_id, c.relaxed_structure_id) for c in candidates},
        "ranks": {c.id: c.rank for c in candidates},
        "rounds": [(r.round, r.phase, r.snapshot_id, r.weights, r.counts, r.ssun) for r in document.rounds],
        "activities": sorted((a.id, a.state, tuple(a.generated)) for a in store.provenance.iterate({"campaign": name})),
        "properties": sorted(p["id"] for p in store.properties.project({}, ())),
        "n_structures": store.structures.count(),
    }


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, reference: None) -> dict:
    """Run the campaign in one process, as ``genmat run`` does, and return its outcome."""
    from workflows.run import create_campaign, run_campaign

    folder = tmp_path_factory.mktemp("undisturbed")
    with connect(Settings(data_folder=folder, mongod_idle=1.0)) as opened:
        campaign = parse_campaign(CAMPAIGN, source="test")
        create_campaign(opened, campaign)
        run_campaign(opened, campaign.name, workers=1)
        return outcome(opened, campaign.name)
