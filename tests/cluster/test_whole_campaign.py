"""The chief test: submitted and dispatched to a real SLURM, a campaign gives what `genmat run` gives."""

from __future__ import annotations

import re

import pytest
from ruamel.yaml import YAML

from genmat.campaign import Campaign
from genmat.database.store import connect
from genmat.settings import Settings
from workflows.run import create_campaign, run_campaign

from .conftest import CAMPAIGN, ROOT, Place, outcome


@pytest.fixture
def site(place: Place, slurm, monkeypatch) -> Place:
    """Write the site's files with the command of a user; one core, short pauses."""
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    options = ["--queue", "slurm", "--gpu-partition", "gpu", "--cpu-partition", "cpu", "--gpus", "0", "--cores", "1"]
    place.genmat("init", *options, "--walltime", "00:10:00")
    for path in (place.folder / "config" / "genmat" / "fw_configs").glob("my_qadapter_*.yaml"):
        text = re.sub(r"max_queue_jobs: 4", "max_queue_jobs: 1", path.read_text())
        # What takes time is to start workers: they wait for each other's work instead.
        path.write_text(re.sub(r"idle: 60", "idle: 300", text))
    return place


@pytest.mark.mongo
@pytest.mark.slurm
@pytest.mark.timeout(600)
def test_a_campaign_on_slurm_gives_the_candidates_that_run_gives(site: Place, slurm, undisturbed):
    (site.folder / "campaign.yaml").write_text(CAMPAIGN)
    assert "campaign tiny is in the private database" in site.genmat("submit", "campaign.yaml").stdout
    site.genmat("submit", "campaign.yaml")
    process = site.start("genmat.cli", "dispatch", "--interval", "1")
    assert process.wait(timeout=400) == 0, site.logs()
    with site.open() as store:
        assert store.campaigns.require("tiny").state == "finished"
        assert outcome(store, "tiny") == undisturbed
        jobs = store.cluster.queue_jobs(open_only=False)
        assert {job.stage for job in jobs} == {"gpu", "control"}
        assert all(job.queue_id for job in jobs)
        assert all(len(a.attempts) == 1 for a in store.provenance.iterate({}))
        assert store.launchpad().states("tiny") == {"COMPLETED": 8}
    # The folder also holds the queue jobs of other tests.
    scripts = [(job.stage, site.data_folder / "queue" / job.id / "submit.sh") for job in jobs]
    partitions = {(stage, re.search(r"--partition=(\w+)", path.read_text())[1]) for stage, path in scripts}
    assert partitions == {("gpu", "gpu"), ("control", "cpu")}


@pytest.mark.mongo
@pytest.mark.slurm
@pytest.mark.dft
@pytest.mark.usefixtures("trained_models", "gpaw")
@pytest.mark.timeout(1200)
def test_the_quickstart_on_slurm_gives_the_candidates_that_run_gives(site: Place, slurm, tmp_path):
    """Foundation model, CHGNet and GPAW, each on its partition; the file of the README with fewer draws."""
    content = YAML(typ="safe").load(ROOT / "examples" / "quickstart.yaml")
    content["generate"]["n"], content["screen"]["max_relaxed"] = 60, 12
    content["validate"] |= {"audit": 0, "max_core_hours": 0.03}
    file = site.folder / "campaign.yaml"
    YAML().dump(content, file)

    campaign = Campaign.from_dict(content, source="quickstart")
    with connect(Settings(data_folder=tmp_path / "undisturbed", mongod_idle=1.0)) as alone:
        create_campaign(alone, campaign)
        run_campaign(alone, campaign.name, workers=1)
        expected = outcome(alone, campaign.name)

    site.genmat("submit", str(file))
    process = site.start("genmat.cli", "dispatch", "--interval", "1")
    assert process.wait(timeout=900) == 0, site.logs()
    with site.open() as store:
        assert outcome(store, campaign.name) == expected
        assert {job.stage for job in store.cluster.queue_jobs(open_only=False)} == {"gpu", "cpu", "control"}
        assert any(v.stage == "validate" for c in store.candidates.iterate({}) for v in c.verdicts)
