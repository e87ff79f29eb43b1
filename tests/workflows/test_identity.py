from __future__ import annotations

from dataclasses import asdict

from genmat.campaign import Campaign
from genmat.database.documents import CampaignDocument
from genmat.ids import stable_id
from genmat.models.potentials import get_potential
from workflows.identity import relaxed_structure_id
from workflows.relaxation import relax_protocol


def test_relaxed_structures_of_a_campaign_from_before_the_rattle_keep_their_ids():
    stored = {"_id": "old", "config": {"name": "old"}, "config_hash": "x", "code_version": "0", "schema_version": 1}
    config = CampaignDocument.from_mongo(stored).config
    protocol, potential = relax_protocol(Campaign.from_dict(config, source="old")), get_potential("chgnet-0.3.0")
    known = {name: value for name, value in asdict(protocol).items() if name != "rattle"}
    before = stable_id("relaxed", "drawn", known, potential.sha256)
    assert relaxed_structure_id("drawn", protocol=protocol, potential=potential) == before


def test_another_displacement_is_another_relaxed_structure():
    potential = get_potential("chgnet-0.3.0")
    asked = (
        Campaign.from_dict({"name": "x", "screen": {"relax": {"rattle": x}}}, source="x") for x in (0.0, 0.05, 0.1)
    )
    ids = {relaxed_structure_id("drawn", protocol=relax_protocol(c), potential=potential) for c in asked}
    assert len(ids) == 3
