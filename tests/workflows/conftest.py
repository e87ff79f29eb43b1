"""A small campaign on the shipped reference, the real CHGNet and a real database."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from genmat.campaign.io import parse_campaign
from genmat.database.documents import CampaignDocument, CandidateDocument, RoundState, VerdictRecord
from genmat.database.store import Store, connect
from genmat.screening.verdict import Stage
from genmat.settings import Settings
from workflows.chunk import PRESCREEN
from workflows.description import describe, structure_document
from workflows.run import create_campaign, run_campaign

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pymatgen.core.structure import Structure

    from genmat.campaign import Campaign

CAMPAIGN = """
name: {name}
target:
  properties:
    - {{name: energy_above_hull, unit: eV/atom, max: 0.1}}
    - {{name: volume_per_atom, unit: Å^3/atom, max: 40}}
  chemistry: {{elements: [Li, Na, K, Mg, Ca, Sr, Ba, O, S, Se, F, Cl, Br], n_elements: {{min: 2, max: 3}}}}
  n_atoms: {{min: 2, max: 5}}
generate: {{n: 12, seed: 3, oversample: 4}}
screen: {{max_relaxed: 4, hull_tolerance: 0.1, relax: {{fmax: 0.1, smax: 2}}}}
learn: {{rounds: 2}}
resources: {{generate_chunk: 5, screen_chunk: 2, workers: 1}}
"""

RUN = """
import sys
from genmat.campaign.io import parse_campaign
from genmat.database.store import connect
from genmat.settings import Settings
from workflows.run import create_campaign, run_campaign
if __name__ == "__main__":
    with connect(Settings.load()) as store:
        campaign = parse_campaign(sys.argv[1], source="test")
        create_campaign(store, campaign)
        run_campaign(store, campaign.name, report=lambda progress: print(progress.phase, progress.done, flush=True))
    print("finished", flush=True)
"""


@pytest.fixture(scope="session", autouse=True)
def reference(shipped_reference: Path) -> None:
    """Skip where the shipped reference is absent."""


@pytest.fixture(scope="session", autouse=True)
def private_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what jobs of this process cache, such as facets of the hull, out of the developer's data folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@dataclass(frozen=True, slots=True)
class Place:
    """A private database folder and how to run campaigns there."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "GENMAT_DATA_FOLDER": str(self.folder / "data"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "PYTHONWARNINGS": "ignore",
        }

    def open(self) -> Store:
        return connect(Settings.load(data_folder=self.folder / "data"))

    def start(self, text: str) -> subprocess.Popen[str]:
        """Run a campaign in a process of its own."""
        script = self.folder / "run.py"
        script.write_text(RUN, encoding="utf-8")
        command = [sys.executable, str(script), text]
        root = str(Path(__file__).resolve().parents[2])
        environment = {**self.environment, "PYTHONPATH": root}
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.folder
        )


def outcome(store: Store, name: str) -> dict[str, Any]:
    """Return what two runs of one campaign must agree on: ids, verdicts, counts, ranks, weights."""
    candidates = list(store.candidates.iterate({"campaign": name}))
    document = store.campaigns.require(name)
    return {
        "verdicts": {c.id: [(v.stage, v.passed, v.reason) for v in c.verdicts] for c in candidates},
        "structures": {c.id: (c.structure_id, c.relaxed_structure_id) for c in candidates},
        "ranks": {c.id: c.rank for c in candidates},
        "rounds": [(r.round, r.phase, r.snapshot_id, r.weights, r.counts, r.ssun) for r in document.rounds],
        "activities": sorted(a.id for a in store.provenance.iterate({"campaign": name})),
        "properties": sorted(p["id"] for p in store.properties.project({}, ())),
        "n_structures": store.structures.count(),
    }


@dataclass(frozen=True, slots=True)
class Finished:
    """An undisturbed run."""

    store: Store
    name: str
    outcome: dict[str, Any]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory):
    """Return the campaign run once without disturbance, its store still open."""
    place = Place(tmp_path_factory.mktemp("undisturbed"))
    store = place.open()
    campaign = parse_campaign(CAMPAIGN.format(name="small"), source="test")
    create_campaign(store, campaign)
    run_campaign(store, campaign.name, workers=1)
    yield Finished(store, campaign.name, outcome(store, campaign.name))
    store.close()


def put_on_target(store: Store, campaign: Campaign, crystals: Mapping[str, Structure]) -> list[str]:
    """Store a campaign whose only candidates are relaxed crystals that are on target; return the candidates' ids."""
    store.campaigns.create(
        CampaignDocument(
            id=campaign.name,
            config=campaign.to_dict(),
            config_hash=campaign.config_hash,
            code_version="0.1.0",
            rounds=[RoundState(round=0, phase=PRESCREEN)],
        )
    )
    for place, (name, structure) in enumerate(crystals.items()):
        store.structures.insert_if_absent([structure_document(describe(structure), identifier=name, parents=[])])
        draw = CandidateDocument(
            id=f"{name}-draw",
            campaign=campaign.name,
            round=0,
            index=place,
            generator="template",
            generator_hash="0",
            seed=0,
            relaxed_structure_id=name,
            verdicts=[VerdictRecord(stage=Stage.TARGET, passed=True, reason="ok")],
        )
        store.candidates.insert_if_absent([draw])
    return [f"{name}-draw" for name in crystals]
