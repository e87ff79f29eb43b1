"""Choosing a database, and what a user is told when it cannot be had."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path
from urllib.parse import quote

import pymongo
import pytest

from genmat.database.connection import has_database, mask
from genmat.database.embedded import make_private
from genmat.database.store import connect
from genmat.errors import DatabaseError, SettingsError
from genmat.settings import Settings

SECRET = "hunter2-planted"  # noqa: S105 - planted to be looked for


@pytest.fixture
def guarded_server(mongod, tmp_path):
    """Start a mongod that asks for passwords; yield the address of its socket."""
    make_private(tmp_path / "db")
    address = tmp_path / "mongod.sock"
    command = [mongod.program, "--auth", "--dbpath", tmp_path / "db", "--bind_ip", address]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--unixSocketPrefix", tmp_path], env=mongod.environment, stdout=log, stderr=log
        )
    place = quote(str(address), safe="")
    with pymongo.MongoClient(f"mongodb://{place}", serverSelectionTimeoutMS=30_000) as client:
        client.admin.command("createUser", "root", pwd=SECRET, roles=["root"])
    with pymongo.MongoClient(f"mongodb://root:{SECRET}@{place}") as client:
        client["genmat"].command("createUser", "reader", pwd=SECRET, roles=["read"])
        client["genmat"].command("createUser", "writer", pwd=SECRET, roles=["readWrite"])
    yield place
    process.kill()
    process.wait()


def failure(settings, **options):
    """Return everything a user could see of a failed connection."""
    with pytest.raises(DatabaseError) as caught:
        connect(settings, **options)
    return str(caught.value), "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        (f"mongodb://ann:{SECRET}@db.example:27017/genmat", "mongodb://ann:***@db.example:27017/genmat"),
        (f"mongodb+srv://ann:{SECRET}@db.example/?ssl=true", "mongodb+srv://ann:***@db.example/"),
        (f"mongodb://ann:{SECRET}@{SECRET}@db.example", "mongodb://ann:***@db.example"),
        (f"mongodb://ann:{SECRET}/x@db.example", "mongodb://ann:***@db.example"),
        ("mongodb://%2Fa%2Fmongod.sock/genmat", "mongodb:///a/mongod.sock/genmat"),
        (f"ann:{SECRET}@db.example", "(no MongoDB address)"),
    ],
)
def test_an_address_is_shown_without_its_password(uri, shown):
    assert mask(uri) == shown


@pytest.mark.parametrize(
    "uri",
    [
        f"ann:{SECRET}@db.example",
        f"mongodb://ann:{SECRET}:x@db.example:port/genmat",
        f"mongodb://ann/x:{SECRET}@db.example/genmat",
        f"mongodb://ann:{SECRET}@/genmat",
        f"mongodb://ann:{SECRET}@db.example/a b",
        "postgres://db.example",
    ],
)
def test_what_is_no_address_is_refused_without_quoting_it(uri):
    message, everything = failure(Settings(database_uri=uri))
    assert message.startswith("database_uri (GENMAT_DATABASE_URI) is no address of a MongoDB")
    assert SECRET not in everything


def test_an_unreachable_database_is_one_line_within_its_time(caplog):
    settings = Settings(database_uri=f"mongodb://ann:{SECRET}@127.0.0.1:9/genmat", database_timeout=0.5)
    begin = time.monotonic()
    with caplog.at_level(logging.DEBUG):
        message, everything = failure(settings)
    assert time.monotonic() - begin < 6
    assert message.startswith("the database mongodb://ann:***@127.0.0.1:9/genmat cannot be reached: ")
    assert "Connection refused" in message
    assert "\n" not in message
    assert SECRET not in everything + caplog.text + repr(settings)


@pytest.mark.mongo
def test_a_wrong_password_is_called_one(guarded_server):
    settings = Settings(database_uri=f"mongodb://writer:{SECRET}x@{guarded_server}/genmat")
    message, everything = failure(settings)
    assert message.endswith("wrong user or password in database_uri (GENMAT_DATABASE_URI)")
    assert SECRET not in everything


@pytest.mark.mongo
def test_a_user_who_may_only_read_is_told_so_and_can_read(guarded_server, make_candidates):
    with connect(Settings(database_uri=f"mongodb://writer:{SECRET}@{guarded_server}/genmat")) as store:
        store.candidates.insert_if_absent(make_candidates(2))
    settings = Settings(database_uri=f"mongodb://reader:{SECRET}@{guarded_server}/genmat")
    message, everything = failure(settings)
    assert "this database user may not do that: grant it readWrite on 'genmat'" in message
    assert SECRET not in everything
    with connect(settings, read_only=True) as store:
        assert store.candidates.count() == 2
        assert SECRET not in store.label


@pytest.mark.mongo
def test_a_database_that_goes_away_is_given_up_after_the_retry_time(guarded_server, campaign, tmp_path):
    uri = f"mongodb://writer:{SECRET}@{guarded_server}/genmat"
    with connect(Settings(database_uri=uri, database_timeout=0.3, retry_time=0.5)) as store:
        (tmp_path / "mongod.sock").rename(tmp_path / "away.sock")
        store._session._database.client.close()
        store._session._database = pymongo.MongoClient(uri, serverSelectionTimeoutMS=300)["genmat"]
        with pytest.raises(DatabaseError, match="cannot be reached: "):
            store.campaigns.insert_if_absent([campaign])


def test_a_mongod_setting_that_is_no_program_is_refused(tmp_path):
    with pytest.raises(
        SettingsError, match=r"setting mongod: .*/nothing is no program that can be executed: name another one"
    ):
        connect(Settings(mongod=tmp_path / "nothing"))


def test_asking_whether_there_is_a_database_starts_none(tmp_path):
    assert not has_database(Settings(data_folder=tmp_path / "empty"))
    assert has_database(Settings(database_uri="mongodb://db.example"))
    assert list(tmp_path.iterdir()) == []


def test_a_used_in_process_store_is_a_database(memory_settings):
    connect(memory_settings).close()
    assert has_database(memory_settings)


def test_importing_the_store_imports_nothing_heavy():
    heavy = {"torch", "maggma", "jobflow", "pymatgen", "numpy", "mongomock_ng", "atomate2", "fiftyone"}
    code = f"import sys, genmat.database.store; sys.exit(', '.join({heavy!r} & set(sys.modules)) or 0)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    finished = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert finished.stderr == b""
    assert finished.returncode == 0
