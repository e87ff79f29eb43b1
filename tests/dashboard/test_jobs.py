"""Jobs of a real LaunchPad, and values of DFT beside the potential's, on the pages of a campaign."""

from __future__ import annotations

import os

import pytest
from fireworks import Firework, FWorker, Workflow
from fireworks.core.firework import FireTaskBase
from fireworks.core.rocket_launcher import launch_rocket
from pymatgen.core import Lattice, Structure

from genmat.campaign.io import parse_campaign
from genmat.database.documents import (
    CampaignDocument,
    CandidateDocument,
    PropertyDocument,
    RoundState,
    StructureDocument,
)
from genmat.database.store import connect
from genmat.settings import Settings

from .conftest import CAMPAIGN, serve

pytestmark = pytest.mark.mongo


class Fails(FireTaskBase):
    """A job that fails as those of a campaign do, named by its place so that FireWorks need not look for it."""

    _fw_name = "{{tests.dashboard.test_jobs.Fails}}"

    def run_task(self, fw_spec):
        msg = f"no crystal in {sorted(fw_spec)}"
        raise ValueError(msg)


ABOVE = {"NaCl": (0.02, 0.03), "KCl": (0.05, 0.04), "LiCl": (0.01, 0.31)}
"""Energies above hull by the potential and by DFT, eV/atom: the last one is the outlier."""


@pytest.fixture(scope="module")
def queue(server, tmp_path_factory):
    """Serve a campaign with one job that failed, one that waits, and three validated candidates."""
    settings = Settings(database_uri=f"{server.uri}/queue", data_folder=server.folder.parent)
    with connect(settings) as store:
        write_validated(store)
        fill_queue(store.launchpad(), tmp_path_factory.mktemp("launch"))
    with serve(settings) as running:
        yield running


def write_validated(store):
    config = parse_campaign(CAMPAIGN, source="test")
    store.campaigns.insert_if_absent(
        [
            CampaignDocument(
                id="salts",
                config=config.to_dict(),
                config_hash="x",
                code_version="x",
                rounds=[RoundState(round=0, phase="done")],
            )
        ]
    )
    for number, (formula, (screened, computed)) in enumerate(ABOVE.items()):
        symbols = [formula[:-2], "Cl"]
        crystal = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), symbols, [[0] * 3, [0.5] * 3])
        primitive = crystal.get_primitive_structure()
        documents = [StructureDocument.from_structure(primitive, identifier=f"relaxed-{formula}")]
        documents.append(
            StructureDocument.from_structure(
                primitive, identifier=f"computed-{formula}", parents=[f"relaxed-{formula}"]
            )
        )
        store.structures.insert_if_absent(documents)
        store.candidates.insert_if_absent(
            [
                CandidateDocument(
                    id=f"candidate-{formula}",
                    campaign="salts",
                    round=0,
                    index=number,
                    generator="template",
                    generator_hash="x",
                    seed=1,
                    stage="rank",
                    status="accepted",
                    reason="ok",
                    rank=number + 1,
                    formula_pretty=formula,
                    elements=sorted(symbols),
                    chemsys="-".join(sorted(symbols)),
                    energy_above_hull=screened,
                    structure_id=f"relaxed-{formula}",
                    relaxed_structure_id=f"relaxed-{formula}",
                )
            ]
        )
        store.properties.insert_if_absent(
            [
                PropertyDocument(
                    id=f"{kind}-{formula}",
                    structure_id=f"{kind}-{formula}",
                    name="energy_above_hull",
                    value=value,
                    unit="eV/atom",
                    fidelity=fidelity,
                    method="test",
                )
                for kind, value, fidelity in (
                    ("relaxed", screened, "mlip:chgnet-0.3.0"),
                    ("computed", computed, "dft:pbe:vasp"),
                )
            ]
        )


def fill_queue(launchpad, folder):
    """Let FireWorks run a job that fails, and leave one that nobody takes."""
    launchpad.prepare()
    spec = {"genmat": {"campaign": "salts"}, "_category": "gpu"}
    fails = Firework(Fails(), spec=spec, name="relax 1")
    waits = Firework(Fails(), spec={**spec, "_category": "cpu"}, name="relax 2")
    launchpad.add_wf(Workflow([fails]))
    launchpad.add_wf(Workflow([waits]))
    before = os.getcwd()  # noqa: PTH109
    os.chdir(folder)
    try:
        launch_rocket(launchpad, FWorker(category="gpu"), strm_lvl="CRITICAL")
    finally:
        os.chdir(before)


def test_a_campaign_shows_the_states_of_its_jobs_by_kind_of_worker(queue):
    assert queue.store.statistics.jobs("salts") == {"cpu": {"READY": 1}, "gpu": {"FIZZLED": 1}}
    for path in ("/campaigns/salts", "/"):
        page = queue.get(path).text
        assert "gpu" in page
        assert "fizzled" in page.lower()


def test_a_failed_job_is_shown_with_its_traceback_on_the_page_of_failures(queue):
    page = queue.get("/failures?campaign=salts").text
    assert "relax 1" in page
    assert "ValueError: no crystal in" in page
    assert "Traceback" in page
    assert "relax 2" not in page


def test_values_by_dft_stand_against_those_of_the_potential_with_outliers_named(queue):
    assert "Potential against DFT" in queue.get("/campaigns/salts").text
    address = "/api/v1/campaigns/salts/figures/parity-energy_above_hull"
    figure = queue.get(address).json()
    points = next(trace for trace in figure["data"] if trace.get("name") == "candidates")
    assert dict(zip(points["y"], points["x"], strict=True)) == dict(ABOVE.values())
    assert any("LiCl" in text for text in points["text"])
    assert "mean difference 0.107 eV/atom" in figure["layout"]["title"]["text"]
    assert len(queue.get(f"{address}/csv").text.splitlines()) > len(ABOVE)
