"""The examples of the five tasks run, and every draw keeps what its file demands."""

from __future__ import annotations

import pytest

from genmat.campaign import Campaign
from genmat.campaign.io import load_campaign
from genmat.database.story import tell
from genmat.models.bundle import FOUNDATION
from genmat.representation.crystal import Crystal
from genmat.representation.gene import anonymous_gene
from tests.conftest import REPOSITORY
from workflows.advance import advance
from workflows.run import create_campaign, run_campaign

from .conftest import Place

TASKS = (
    "de-novo",
    "crystal-structure-prediction",
    "metastable-space-group",
    "inverse-density",
    "wyckoff-template",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory, trained_models):
    """Return a database for all of them."""
    with Place(tmp_path_factory.mktemp("examples")).open() as opened:
        yield opened


@pytest.mark.timeout(900)  # seconds by itself; the time limit counts what others do on the machine
@pytest.mark.parametrize("name", TASKS)
def test_example_of_a_task_runs_and_keeps_its_constraints(store, name):
    campaign = load_campaign(REPOSITORY / "examples" / f"{name}.yaml")
    create_campaign(store, campaign)
    run_campaign(store, name, workers=1)
    candidates = list(store.candidates.iterate({"campaign": name}))
    assert len(candidates) == campaign.generate.n
    assert all(candidate.status != "active" for candidate in candidates)
    drawn = store.structures.get_many(c.structure_id for c in candidates if c.structure_id)
    assert drawn
    crystals = [Crystal.from_dict(document.x) for document in drawn.values()]
    assert all(campaign.target.allows_composition(crystal.composition) for crystal in crystals)
    assert all(campaign.target.allows_space_group(crystal.number) for crystal in crystals)
    assert all(campaign.target.allows_n_atoms(crystal.n_atoms) for crystal in crystals)
    if "template" in campaign.generate.parameters:
        assert len({anonymous_gene(crystal) for crystal in crystals}) == 1
    story = tell(store, next(c.id for c in candidates if c.structure_id))
    assert story["origin"]["gene"]
    assert story["origin"]["predicted_uncertainty"] > 0
    (generated,) = [activity for activity in story["activities"] if activity["stage"] == "generate"]
    assert set(generated["parameters"]["models"]) == {
        "foundation.safetensors",
        "generator.safetensors",
        "heads.safetensors",
    }
    assert generated["model_sha256"] == generated["parameters"]["models"][FOUNDATION]


def test_a_range_that_the_model_never_saw_is_said_once_and_kept_in_the_provenance(store, caplog):
    campaign = load_campaign(REPOSITORY / "examples" / "de-novo.yaml")
    data = campaign.to_dict() | {"name": "far"}
    data["screen"]["gates"]["volume_per_atom"]["max"] = 1e4
    data["target"]["properties"] = [{"name": "volume_per_atom", "min": 5000}]
    far = Campaign.from_dict(data, source="test")
    with caplog.at_level("WARNING", logger="workflows"):
        create_campaign(store, far)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("target: volume_per_atom: asked for 5000 to …, but the model was trained on")
    advance(store, "far")
    (activity,) = store.provenance.iterate({"campaign": "far"})
    assert [f"target: {text}" for text in activity.parameters["warnings"]] == [line]
