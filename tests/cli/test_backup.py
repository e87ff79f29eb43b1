"""A campaign goes into a file and comes back the same."""

from __future__ import annotations

import json

import pytest

from genmat.database.store import connect
from genmat.settings import Settings


def everything(folder) -> dict:
    with connect(Settings(data_folder=folder, mongod="/bin/false"), read_only=True) as store:
        collections = (store.campaigns, store.candidates, store.structures, store.properties, store.provenance)
        return {
            **{c.name: {document.id: document for document in c.iterate({})} for c in collections},
            "models": {document.id: document for document in store.models.iterate({})},
        }


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Return a function that makes another, empty folder the database."""

    def go():
        folder = tmp_path / "elsewhere"
        monkeypatch.setenv("GENMAT_DATA_FOLDER", str(folder))
        return folder

    return go


def test_a_campaign_round_trips_through_a_file(genmat, salts, tmp_path, elsewhere):
    written = json.loads(genmat("backup", "salts", tmp_path / "salts.genmat", "--json").out)
    assert written["candidates"] == 8
    before = everything(salts)
    folder = elsewhere()
    assert json.loads(genmat("restore", tmp_path / "salts.genmat", "--json").out) == written
    assert everything(folder) == before


def test_restoring_twice_adds_nothing(genmat, salts, tmp_path):
    genmat("backup", "salts", tmp_path / "salts.genmat")
    assert "nothing new" in genmat("restore", tmp_path / "salts.genmat").out


@pytest.mark.parametrize("left", [0.3, 0.9, 0.999])
def test_a_file_that_was_cut_short_is_refused_and_nothing_is_written(genmat, salts, tmp_path, elsewhere, left):
    path = tmp_path / "salts.genmat"
    genmat("backup", "salts", path)
    data = path.read_bytes()
    path.write_bytes(data[: int(left * len(data))])
    folder = elsewhere()
    result = genmat("restore", path)
    assert result.code == 2
    assert "was cut short or is damaged; nothing was restored" in result.line
    assert not any(everything(folder).values())


def test_a_file_is_not_overwritten_and_another_file_is_no_backup(genmat, salts, tmp_path):
    path = tmp_path / "salts.genmat"
    path.write_text("mine")
    assert "exists and is not overwritten" in genmat("backup", "salts", path).line
    assert "is no backup of genmat" in genmat("restore", path).line
    assert "No such file" in genmat("restore", tmp_path / "nothing").line
    assert path.read_text() == "mine"
