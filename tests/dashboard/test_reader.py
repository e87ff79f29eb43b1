"""A database user who may only read: the dashboard needs no other, and the database refuses what he may not."""

from __future__ import annotations

import subprocess
import time

import pymongo
import pytest

from genmat.database.documents import CandidateDocument
from genmat.database.mongod import find_mongod
from genmat.database.session import Session
from genmat.database.store import connect
from genmat.errors import DatabaseError
from genmat.settings import Settings

from .conftest import serve

pytestmark = pytest.mark.mongo

ROOT = {"pwd": "only-for-this-test"}


@pytest.fixture(scope="module")
def protected(tmp_path_factory):
    """Start a mongod with users on a Unix socket; return the addresses of the reader and of the writer."""
    mongod = find_mongod(Settings())
    if mongod is None or mongod.version()[0] is None:
        pytest.skip("no mongod that runs")
    folder = tmp_path_factory.mktemp("auth")
    place = folder / "m.sock"
    command = [
        *(str(mongod.program), "--auth", "--dbpath", str(folder), "--bind_ip", str(place), "--port", "27017"),
        *("--logpath", str(folder / "log"), "--wiredTigerCacheSizeGB", "0.25", "--unixSocketPrefix", str(folder)),
    ]
    process = subprocess.Popen(command, env=mongod.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = str(place).replace("/", "%2F")
    try:
        deadline = time.monotonic() + 60
        while not place.exists():
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        # The first user is made under the exception that MongoDB makes for this machine.
        with pymongo.MongoClient(f"mongodb://{address}") as client:
            client.admin.command("createUser", "root", **ROOT, roles=["root"])
        with pymongo.MongoClient(f"mongodb://root:{ROOT['pwd']}@{address}") as client:
            for name, role in (("writer", "readWrite"), ("reader", "read")):
                client.genmat.command("createUser", name, **ROOT, roles=[role])
        yield {name: f"mongodb://{name}:{ROOT['pwd']}@{address}/genmat" for name in ("reader", "writer")}
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def filled(protected, tmp_path_factory):
    with connect(Settings(database_uri=protected["writer"], data_folder=tmp_path_factory.mktemp("d"))) as store:
        store.candidates.insert_if_absent(
            [
                CandidateDocument(
                    id="c1", campaign="salts", round=0, index=0, generator="template", generator_hash="a", seed=1
                )
            ]
        )
        assert store.may_write
    return protected


def test_a_reader_is_enough_for_every_page(filled, tmp_path):
    with serve(Settings(database_uri=filled["reader"], data_folder=tmp_path)) as running:
        assert not running.store.may_write
        for path in ("/", "/candidates/c1", "/models", "/failures", "/metrics", "/api/v1/campaigns", "/health"):
            assert running.get(path).status_code == 200, path


def test_the_database_itself_refuses_a_reader_who_writes(filled, tmp_path):
    settings = Settings(database_uri=filled["reader"], data_folder=tmp_path)
    with connect(settings, read_only=True) as store:
        database = store._session._database
        for write in (
            lambda: database.candidates.insert_one({"_id": "x"}),
            lambda: database.candidates.update_one({"_id": "c1"}, {"$set": {"rank": 1}}),
            lambda: database.candidates.delete_many({}),
            database.candidates.drop,
            lambda: list(database.candidates.aggregate([{"$out": "stolen"}])),
        ):
            with pytest.raises(pymongo.errors.OperationFailure, match="not authorized"):
                write()
        # Our own client refuses before the database is asked.
        assert isinstance(store._session, Session)
        with pytest.raises(DatabaseError, match="opened for reading only"):
            store.candidates.set_fields({"c1": {"rank": 1}})
        assert store.candidates.require("c1").rank is None
