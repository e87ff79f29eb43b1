from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from pydantic import ValidationError
from pymatgen.core import Lattice, Structure

from genmat.database.documents import DOCUMENTS, Attempt, CampaignDocument, CampaignState, StructureDocument
from genmat.database.encoding import from_bson, to_bson
from genmat.errors import StructureError


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_field_is_described(document):
    undescribed = [name for name, field in document.model_fields.items() if not field.description]
    assert undescribed == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_unknown_fields_are_refused(document):
    assert document.model_config["extra"] == "forbid"
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        document(id="a", energy_abov_hull=1.0)


def test_a_partially_occupied_structure_is_refused():
    disordered = Structure(Lattice.cubic(4.0), [{"Fe": 0.5, "Ni": 0.5}], [[0, 0, 0]])
    with pytest.raises(StructureError, match="partial occupancies, expected ordered sites"):
        StructureDocument.from_structure(disordered, identifier="s")


def test_charges_are_not_kept():
    salt = Structure(Lattice.cubic(4.2), ["Mg2+", "O2-"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    document = StructureDocument.from_structure(salt, identifier="s")
    assert (document.species, document.formula_pretty, document.chemsys) == (["Mg", "O"], "MgO", "Mg-O")


def test_times_are_utc_and_of_the_resolution_that_mongodb_keeps():
    local = datetime(2026, 11, 1, 14, 0, 0, 123_456, tzinfo=timezone(timedelta(hours=2)))
    attempt = Attempt(id="1", host="laptop", pid=1, started_at=local)
    assert attempt.started_at == datetime(2026, 11, 1, 12, 0, 0, 123_000, tzinfo=UTC)


def test_a_state_is_stored_as_text(campaign):
    stored = campaign.to_mongo()
    assert type(stored["state"]) is str
    assert CampaignDocument.from_mongo(stored).state is CampaignState.CREATED


def test_numpy_floats_become_plain():
    plain = to_bson({"value": np.float64(0.5), "list": [np.float64(1.0)]})
    assert (type(plain["value"]), type(plain["list"][0])) == (float, float)


@pytest.mark.parametrize(
    "value", [{"a.b": 1}, {"$a": [{"b.$": 2.0}]}, {"a": [1.0, {"c.d": None}]}, ["x", {"e.f": True}]]
)
def test_encoding_keeps_every_key(value):
    assert from_bson(to_bson(value)) == value
