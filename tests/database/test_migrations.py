from __future__ import annotations

import json
from pathlib import Path

import pytest

from genmat.campaign import Campaign
from genmat.database.documents import DOCUMENTS, CampaignDocument
from genmat.database.migrations import STEPS, current_version, upgrade
from genmat.database.store import connect
from genmat.errors import DatabaseError

STORED = json.loads((Path(__file__).parent / "data" / "documents_version_0.json").read_text())
CHAIN = {
    "things": (
        lambda fields: fields,
        lambda fields: {"_id": fields["_id"], "energy_ev": fields["energy"]},
        lambda fields: {**fields, "unit": "eV"},
    )
}


def test_there_is_a_stored_old_document_of_every_collection():
    assert set(STORED) == set(STEPS) == {document.collection for document in DOCUMENTS}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_new_documents_have_the_present_version(document):
    assert document.model_fields["schema_version"].default == current_version(document.collection)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_stored_old_document_is_read(document):
    read = document.from_mongo(STORED[document.collection])
    assert read.schema_version == current_version(document.collection)
    assert read.id == STORED[document.collection]["_id"]


def test_steps_are_applied_in_order_from_the_version_stored():
    assert upgrade("things", {"_id": "a", "energy": 1.0}, steps=CHAIN) == {
        "_id": "a",
        "energy_ev": 1.0,
        "unit": "eV",
        "schema_version": 3,
    }
    assert upgrade("things", {"_id": "a", "energy_ev": 1.0, "schema_version": 2}, steps=CHAIN)["unit"] == "eV"


def test_a_document_of_the_present_version_is_left_alone():
    stored = {"_id": "a", "schema_version": 3}
    assert upgrade("things", stored, steps=CHAIN) == stored


def test_a_document_of_a_newer_genmat_names_both_versions():
    with pytest.raises(DatabaseError, match="'a' in 'things' has schema version 9, this genmat knows up to 3: upgrade"):
        upgrade("things", {"_id": "a", "schema_version": 9}, steps=CHAIN)


def test_connecting_migrates_what_is_stored(settings):
    with connect(settings) as store:
        for name, stored in STORED.items():
            store._session.insert(name, [stored])
    with connect(settings, read_only=True) as store:
        assert store.candidates.require("candidate-0").schema_version == 1
        assert store._session.count("candidates", {"schema_version": 1}) == 0
    with connect(settings) as store:
        for name in STORED:
            assert store._session.count(name, {"schema_version": current_version(name)}) == 1
        assert set(store.migrate().values()) == {0}


def test_a_campaign_from_before_crystals_were_displaced_goes_on_without():
    read = CampaignDocument.from_mongo({**STORED["campaigns"], "schema_version": 1})
    assert read.config["screen"]["relax"]["rattle"] == 0.0
    assert Campaign.from_dict(read.config, source="stored").screen.relax.rattle == 0.0


def test_a_campaign_that_says_how_crystals_are_displaced_keeps_it():
    config = {"name": "x", "screen": {"relax": {"rattle": 0.1}}}
    read = CampaignDocument.from_mongo({**STORED["campaigns"], "config": config, "schema_version": 1})
    assert read.config == config


def test_connecting_to_a_database_of_a_newer_genmat_is_refused(settings):
    with connect(settings) as store:
        store._session.insert("structures", [{"_id": "s", "schema_version": 99}])
    with pytest.raises(DatabaseError, match="has schema version 99, this genmat knows up to 1: upgrade genmat"):
        connect(settings)


def test_a_damaged_document_is_named(store):
    store._session.insert("models", [{"_id": "m", "schema_version": 1, "name": 3}])
    with pytest.raises(DatabaseError, match="document 'm' in 'models' is damaged: name: "):
        store.models.require("m")
