"""A planted password reaches the database server and nothing else."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING
from urllib.parse import quote

import bson
import psutil
import pymongo
import pytest
from cluster_jobs import effect_job

from genmat.database.mongod import find_mongod
from genmat.database.store import connect
from genmat.settings import Settings

from .queueing import effects, enqueue

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Place

pytestmark = pytest.mark.mongo
PLANTED = "planted-7c1f"


@pytest.fixture
def address(tmp_path: Path):
    """Start a mongod that asks for passwords, on a socket, with a user of the planted one; return its address."""
    mongod = find_mongod(Settings.load())
    folder = tmp_path / "m"
    (folder / "db").mkdir(parents=True)
    socket = quote(str(folder / "s.sock"), safe="")
    command = [mongod.program, "--dbpath", folder / "db", "--bind_ip", folder / "s.sock", "--unixSocketPrefix", folder]
    command += ["--logpath", folder / "log", "--wiredTigerCacheSizeGB", "0.25", "--auth"]
    process = subprocess.Popen(command, env=mongod.environment, stdout=subprocess.DEVNULL)
    with pymongo.MongoClient(f"mongodb://{socket}", serverSelectionTimeoutMS=60_000) as client:
        client.admin.command("ping")
        client.admin.command("createUser", "root", pwd=PLANTED, roles=["root"], mechanisms=["SCRAM-SHA-256"])
    yield f"mongodb://root:{PLANTED}@{socket}/guarded?authSource=admin&authMechanism=SCRAM-SHA-256"
    process.terminate()
    process.wait()


def command_lines() -> str:
    """Return the command lines of all processes."""
    return "\n".join(" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))


def test_a_planted_password_is_in_no_document_log_file_or_process_argument(place: Place, address, tmp_path, eventually):
    config = tmp_path / "config" / "genmat" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(f"database_uri: {address}\n")
    config.chmod(0o600)
    place.data_folder = tmp_path / "own"
    settings = Settings.load(data_folder=place.data_folder)
    with connect(settings) as store:
        enqueue(store, {"a": effect_job("a", 2.0)})
        process = place.start("genmat.cli", "--log-level", "debug", "work", "--idle", "0", "--cores", "1")
        eventually(lambda: bool(store.cluster.workers()), 60)
        seen = command_lines()
        assert process.wait(timeout=60) == 0, place.logs()
        assert effects(store) == {"a": 1}
        assert store.launchpad().states("jobs") == {"COMPLETED": 1}
        shown = place.genmat("doctor", "--json", check=False)
        refused = place.genmat("status", "nothing", check=False)
    assert PLANTED not in seen
    assert PLANTED not in shown.stdout + shown.stderr + refused.stderr
    with pymongo.MongoClient(address) as client:
        base = client["guarded"]
        for name in base.list_collection_names():
            assert PLANTED.encode() not in b"".join(bson.encode(document) for document in base[name].find())
        assert {"fireworks", "launches", "workers", "outputs"} <= set(base.list_collection_names())
    for path in tmp_path.rglob("*"):
        if path.is_file() and path != config and "db" not in path.relative_to(tmp_path).parts:
            assert PLANTED.encode() not in path.read_bytes(), path


def test_a_wrong_password_is_told_in_one_line_without_it(place: Place, address, tmp_path, monkeypatch):
    monkeypatch.setenv("GENMAT_DATABASE_URI", address.replace(PLANTED, "wrong-9e2d"))
    refused = place.genmat("submit", _campaign(tmp_path), check=False)
    assert refused.returncode == 2
    assert "wrong user or password in database_uri" in refused.stderr
    assert "wrong-9e2d" not in refused.stderr + refused.stdout


def _campaign(folder: Path) -> str:
    from .conftest import CAMPAIGN

    path = folder / "campaign.yaml"
    path.write_text(CAMPAIGN)
    return str(path)


def test_dispatch_refuses_a_configuration_with_a_password_that_others_may_read(place: Place, address, tmp_path):
    config = tmp_path / "config" / "genmat" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(f"database_uri: {address}\n")
    config.chmod(0o644)
    refused = place.genmat("dispatch", "--once", check=False)
    assert refused.returncode == 2
    assert "holds a password and can be read by others: chmod 600" in refused.stderr
