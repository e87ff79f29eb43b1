"""The store in this process: durable, one writer."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genmat.database.connection import in_process_folder
from genmat.database.store import connect
from genmat.errors import DatabaseError, StorageError

REPOSITORY = Path(__file__).resolve().parents[2]
WRITER = """
import sys
from genmat.database.documents import CandidateDocument
from genmat.database.store import connect
from genmat.errors import GenmatError
from genmat.settings import Settings
common = {"campaign": "k", "round": 0, "generator": "g", "generator_hash": "h", "seed": 1}
with connect(Settings.model_validate_json(sys.argv[1])) as store:
    for start in range(0, 1_000_000, 10):
        batch = [CandidateDocument(id=f"c{i:06d}", index=i, **common) for i in range(start, start + 10)]
        try:
            store.candidates.insert_if_absent(batch)
        except GenmatError as err:
            print(type(err).__name__, err, flush=True)
            break
        print(start + 10, flush=True)
"""


@pytest.fixture
def folder(memory_settings):
    return in_process_folder(memory_settings)


def start_writer(settings, *prefix):
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", WRITER, settings.model_dump_json()],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        text=True,
    )


def test_using_it_is_said_loudly(memory_settings, caplog):
    with caplog.at_level(logging.WARNING), connect(memory_settings):
        pass
    assert "USING THE IN-PROCESS STORE" in caplog.text
    assert "python -m genmat.database.install" in caplog.text


def test_what_a_killed_process_wrote_is_there(memory_settings):
    writer = start_writer(memory_settings)
    for _ in range(20):
        written = int(writer.stdout.readline())
    writer.kill()
    writer.wait()
    written = int((writer.stdout.read().split() or [written])[-1])
    writer.stdout.close()
    with connect(memory_settings) as store:
        found = [stored["id"] for stored in store.candidates.project({}, ())]
    assert len(found) >= written
    assert found == [f"c{number:06d}" for number in range(len(found))]


def test_a_second_process_is_refused_and_the_first_named(memory_settings):
    writer = start_writer(memory_settings)
    writer.stdout.readline()
    try:
        with pytest.raises(DatabaseError, match=f"in use by process {writer.pid}, and takes one at a time"):
            connect(memory_settings)
        with connect(memory_settings, read_only=True) as store:
            assert store.candidates.count() >= 10
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()


def test_a_record_that_was_cut_short_is_dropped(memory_settings, folder, make_candidates, tmp_path):
    with connect(memory_settings) as store:
        store.candidates.insert_if_absent(make_candidates(1))
        store.candidates.insert_if_absent(make_candidates(2))
        shutil.copytree(folder, tmp_path / "copy")
    journal = tmp_path / "copy" / "journal.bson"
    journal.write_bytes(journal.read_bytes()[:-5])
    shutil.rmtree(folder)
    (tmp_path / "copy").rename(folder)
    with connect(memory_settings) as store:
        assert [entry.id for entry in store.candidates.find()] == ["c00000"]
        store.candidates.insert_if_absent(make_candidates(3))
    with connect(memory_settings) as store:
        assert store.candidates.count() == 3


def test_a_journal_that_is_already_in_the_snapshot_does_no_harm(memory_settings, folder, make_candidates):
    with connect(memory_settings) as store:
        store.candidates.insert_if_absent(make_candidates(5))
        journal = (folder / "journal.bson").read_bytes()
        store.candidates.set_fields({"c00000": {"rank": 1}})
        last = (folder / "journal.bson").read_bytes()
    (folder / "journal.bson").write_bytes(journal + last)
    with connect(memory_settings) as store:
        assert store.candidates.count() == 5
        assert store.candidates.require("c00000").rank == 1


def test_a_deleted_document_stays_deleted(memory_settings, folder):
    with connect(memory_settings.model_copy(update={"trajectories": 1})) as store:
        for number in range(3):
            store.trajectories.put(f"s{number}", {"energies": [1.0]})
        store.trajectories.prune()
        files = {path.name: path.read_bytes() for path in folder.glob("*.bson")}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    with connect(memory_settings) as store:
        assert store.trajectories.count() == 1


def test_a_damaged_snapshot_is_named(memory_settings, folder, make_candidates):
    with connect(memory_settings) as store:
        store.candidates.insert_if_absent(make_candidates(3))
    path = folder / "snapshot.bson"
    data = bytearray(path.read_bytes())
    data[4:20] = b"\xff" * 16
    path.write_bytes(data)
    with pytest.raises(DatabaseError, match=r"snapshot.bson is damaged at byte 0: .*; restore it from a copy"):
        connect(memory_settings)


def test_a_folder_that_cannot_be_made_is_named(memory_settings, tmp_path):
    (tmp_path / "file").touch()
    settings = memory_settings.model_copy(update={"data_folder": tmp_path / "file" / "genmat"})
    with pytest.raises(StorageError, match="cannot be created: Not a directory; set GENMAT_DATA_FOLDER"):
        connect(settings)


def test_a_full_disk_is_one_clear_line_and_loses_nothing_that_was_acknowledged(memory_settings, tmp_path):
    mount = "mkdir -p {0} && mount -t tmpfs -o size=1m none {0}"
    small = tmp_path / "small"
    probe = subprocess.run(["unshare", "-rm", "sh", "-c", mount.format(small)], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("this machine lets users mount no small file system")
    settings = memory_settings.model_copy(update={"data_folder": small / "data"})
    keep = f'{mount.format(small)} && "$@"; cp -r {small}/data {tmp_path}/kept'
    writer = start_writer(settings, "unshare", "-rm", "sh", "-c", keep, "sh")
    lines = writer.communicate(timeout=60)[0].splitlines()
    assert lines[-1].startswith("DatabaseError no space left for the in-process store")
    with connect(settings.model_copy(update={"data_folder": tmp_path / "kept"})) as store:
        found = [stored["id"] for stored in store.candidates.project({}, ())]
    assert found[: int(lines[-2])] == [f"c{number:06d}" for number in range(int(lines[-2]))]
