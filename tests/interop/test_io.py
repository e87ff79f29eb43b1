from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from genmat.errors import StorageError
from genmat.interop.io import check_writable, write_text


def test_a_file_is_written_with_its_folders(tmp_path):
    path = write_text(tmp_path / "a" / "b.csv", "x,Å\n")
    assert path.read_text(encoding="utf-8") == "x,Å\n"
    assert [item.name for item in path.parent.iterdir()] == ["b.csv"]


def test_a_written_file_has_the_usual_permissions(tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    path = write_text(tmp_path / "b.csv", "")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_file_in_the_way_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot be written: .*--output"):
        write_text(tmp_path / "file" / "b.csv", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_text(tmp_path / "b.csv", "old")

    def full(descriptor: int) -> None:
        with Path("/dev/full").open("wb", buffering=0) as device:
            device.write(b"x")
        os.fsync(descriptor)

    monkeypatch.setattr("genmat.interop.io.os.fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["b.csv"]


def test_checking_a_folder_leaves_nothing_behind(tmp_path):
    check_writable(tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_below_a_file_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"folder \S+ cannot be written: .*expected a folder"):
        check_writable(tmp_path / "file" / "results")


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="there is no /sys here")
def test_a_file_system_that_takes_no_files_is_told():
    with pytest.raises(StorageError, match="cannot be written"):
        check_writable(Path("/sys/kernel/genmat-results"))
