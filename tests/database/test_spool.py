"""Results survive a database that is away: on disk, checked, written once, in order."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from urllib.parse import quote

import psutil
import pymongo
import pytest

from genmat.database.candidates import Decision
from genmat.database.documents import VerdictRecord
from genmat.database.spool import Spool
from genmat.database.store import connect
from genmat.errors import StorageError
from genmat.settings import Settings


def _processes_of(folder):
    """Return the processes that name a folder; some have no command line that may be read."""
    return [p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or [])]


def records(spool: Spool) -> list[dict]:
    found: list[dict] = []
    spool.replay(found.append)
    return found


def test_spooled_writes_are_replayed_once_and_in_order(tmp_path):
    spool = Spool(tmp_path / "spool")
    for number in range(5):
        spool.append("insert", "candidates", [{"_id": str(number)}])
    assert [record["values"][0]["_id"] for record in records(spool)] == list("01234")
    assert records(spool) == []


def test_a_spool_file_is_private_and_an_empty_one_is_deleted(tmp_path):
    spool = Spool(tmp_path / "spool")
    spool.append("insert", "candidates", [])
    (path,) = (tmp_path / "spool").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    records(spool)
    spool.close()
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.parametrize("torn", [1, 20, 40])
def test_a_record_that_a_crash_tore_off_is_left_out_and_the_ones_before_it_count(tmp_path, torn):
    spool = Spool(tmp_path / "spool")
    for number in range(3):
        spool.append("insert", "candidates", [{"_id": str(number)}])
    (path,) = (tmp_path / "spool").iterdir()
    spool.close()
    os.truncate(path, path.stat().st_size - torn)
    found: list[dict] = []
    assert Spool(tmp_path / "spool").replay_others(found.append) == {path: 2}
    assert [record["values"][0]["_id"] for record in found] == ["0", "1"]


def test_a_record_with_a_flipped_bit_is_left_out(tmp_path):
    spool = Spool(tmp_path / "spool")
    spool.append("insert", "candidates", [{"_id": "a", "text": "x" * 100}])
    (path,) = (tmp_path / "spool").iterdir()
    spool.close()
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)
    found: list[dict] = []
    Spool(tmp_path / "spool").replay_others(found.append)
    assert found == []


def test_the_spool_of_a_living_process_is_left_to_it(tmp_path):
    alive = Spool(tmp_path / "spool")
    alive.append("insert", "candidates", [{"_id": "a"}])
    assert Spool(tmp_path / "spool").replay_others(lambda _: None) == {}
    assert len(records(alive)) == 1


def test_a_full_disk_is_told_and_leaves_no_torn_record(tmp_path, monkeypatch):
    spool = Spool(tmp_path / "spool")
    spool.append("insert", "candidates", [{"_id": "whole"}])
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        # Half of it still fits.
        if len(data) < 100:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[: len(data) // 2])

    with monkeypatch.context() as patch:
        patch.setattr("genmat.database.spool.os.write", full)
        with pytest.raises(StorageError, match=r"results cannot be kept in .*: No space left on device; make room"):
            spool.append("insert", "candidates", [{"_id": "torn", "text": "x" * 500}])
    assert [record["values"][0]["_id"] for record in records(spool)] == ["whole"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "spool").write_text("a file")
    with pytest.raises(StorageError, match="spool"):
        Spool(tmp_path / "spool").append("insert", "candidates", [])


@pytest.fixture
def server(mongod, tmp_path):
    """Return a mongod on a socket that the test stops and starts; and its address."""
    folder = tmp_path / "server"
    (folder / "db").mkdir(parents=True)
    socket = folder / "mongod.sock"
    processes: list[subprocess.Popen] = []

    def start() -> str:
        command = [mongod.program, "--dbpath", folder / "db", "--bind_ip", socket, "--unixSocketPrefix", folder]
        command += ["--logpath", folder / "log", "--wiredTigerCacheSizeGB", "0.25"]
        processes.append(subprocess.Popen(command, env=mongod.environment, stdout=subprocess.DEVNULL))
        uri = f"mongodb://{quote(str(socket), safe='')}/spooled"
        with pymongo.MongoClient(uri, serverSelectionTimeoutMS=60_000) as client:
            client.admin.command("ping")
        return uri

    def kill() -> None:
        processes[-1].send_signal(signal.SIGKILL)
        processes[-1].wait()

    yield start, kill
    for process in processes:
        process.kill()
        process.wait()
    assert not _processes_of(folder)


def settings_of(uri: str, folder) -> Settings:
    return Settings(database_uri=uri, data_folder=folder / "data", database_timeout=0.5, retry_time=0.5)


def decide(identifier: str) -> Decision:
    return Decision(identifier, VerdictRecord(stage="relax", passed=True, reason="ok"), {"energy_above_hull": 0.5})


@pytest.mark.mongo
def test_results_written_while_mongod_is_killed_are_there_after_its_restart_once(
    server, tmp_path, make_candidates, activity
):
    start, kill = server
    settings = settings_of(start(), tmp_path)
    with connect(settings) as store:
        store.candidates.insert_if_absent(make_candidates(2))
        store.provenance.insert_if_absent([activity])
        kill()
        store.candidates.record([decide("c00000")])
        store.candidates.record([decide("c00001")])
        store.trajectories.put("relaxed", {"energies": [-1.0, -2.0]})
        start()
        time.sleep(5.1)  # the next look for the database
        store.candidates.insert_if_absent(make_candidates(3))
        assert [c.energy_above_hull for c in store.candidates.find(sort=(("index", 1),))] == [0.5, 0.5, None]
        assert store.candidates.require("c00000").verdicts[0].stage == "relax"
        assert len(store.candidates.require("c00000").verdicts) == 1
        assert store.trajectories.get("relaxed") == {"energies": [-1.0, -2.0]}
    assert list((tmp_path / "data" / "spool").iterdir()) == []


KILLED = """
import os, signal, sys
from genmat.database.candidates import Decision
from genmat.database.documents import VerdictRecord
from genmat.database.store import connect
from genmat.settings import Settings
store = connect(Settings(database_uri=sys.argv[1], data_folder=sys.argv[2], database_timeout=0.5, retry_time=0.5))
os.kill(int(sys.argv[3]), signal.SIGKILL)
verdict = VerdictRecord(stage="relax", passed=True, reason="ok")
store.candidates.record([Decision("c00000", verdict, {"energy_above_hull": 0.25})])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.mongo
def test_results_of_a_process_that_was_killed_meanwhile_are_written_by_the_next_one(server, tmp_path, make_candidates):
    start, _kill = server
    uri = start()
    settings = settings_of(uri, tmp_path)
    with connect(settings) as store:
        store.candidates.insert_if_absent(make_candidates(1))
    (mongod,) = _processes_of(tmp_path / "server")
    command = [sys.executable, "-c", KILLED, uri, str(tmp_path / "data"), str(mongod.pid)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == -signal.SIGKILL
    assert len(list((tmp_path / "data" / "spool").iterdir())) == 1
    start()
    with connect(settings) as store:
        assert store.candidates.require("c00000").energy_above_hull == 0.25
        assert store.replay_spool() == {}
    assert list((tmp_path / "data" / "spool").iterdir()) == []


@pytest.mark.mongo
def test_a_trajectory_over_sixteen_megabytes_is_stored_whole(server, tmp_path):
    start, _kill = server
    frames = [os.urandom(17_000_000)]
    with connect(settings_of(start(), tmp_path)) as store:
        # BSON itself ends at 16 MB: the frames of a long trajectory come apart into many values.
        pieces = [frames[0][at : at + 1_000_000] for at in range(0, 17_000_000, 1_000_000)]
        assert store.trajectories.put("large", {f"frame{number}": piece for number, piece in enumerate(pieces)})
        found = store.trajectories.get("large")
        assert b"".join(found[f"frame{number}"] for number in range(len(pieces))) == frames[0]
