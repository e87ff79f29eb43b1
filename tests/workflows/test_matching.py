"""``screen.matching`` decides whether orderings of one solid solution are repeats."""

from __future__ import annotations

import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.campaign.io import parse_campaign
from genmat.database.documents import CandidateDocument, StructureDocument
from genmat.database.store import connect
from genmat.screening.identity import Evidence
from genmat.settings import Settings
from workflows.barrier import _duplicates

from .conftest import CAMPAIGN

SITES = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
ORDERINGS = {
    "planes": Structure(Lattice.tetragonal(3.6, 3.6), ["Fe", "Fe", "Co", "Co"], SITES),
    "double planes": Structure(
        Lattice.tetragonal(3.6, 7.2),
        ["Fe"] * 4 + ["Co"] * 4,
        [[x, y, (z + shift) / 2] for shift in (0, 1) for x, y, z in SITES],
    ),
}


@pytest.mark.parametrize(("matching", "repeats"), [("ordered", None), ("disordered", "planes")])
@pytest.mark.parametrize(("relaxed", "batch"), [(False, 5000), (True, 1)])
def test_orderings_of_one_alloy_are_repeats_only_where_the_campaign_says_so(
    tmp_path, monkeypatch, matching, repeats, relaxed, batch
):
    monkeypatch.setattr("workflows.barrier._BATCH", batch)
    text = CAMPAIGN.format(name="alloys").replace("screen: {", f"screen: {{matching: {matching}, ")
    campaign = parse_campaign(text, source="test")
    place = "relaxed_structure_id" if relaxed else "structure_id"
    candidates = [
        CandidateDocument(
            id=name, campaign="alloys", round=0, index=k, generator="g", generator_hash="h", seed=1, **{place: f"s{k}"}
        )
        for k, name in enumerate(ORDERINGS)
    ]
    with connect(Settings(data_folder=tmp_path, mongod="/bin/false")) as store:
        store.structures.insert_if_absent(
            StructureDocument.from_structure(crystal, identifier=f"s{k}")
            for k, crystal in enumerate(ORDERINGS.values())
        )
        found = _duplicates(store, campaign, candidates, relaxed=relaxed)
    assert found["planes"] is None
    duplicate = found["double planes"]
    assert (duplicate and duplicate.id) == repeats
    assert duplicate is None or duplicate.evidence is Evidence.DISORDERED
