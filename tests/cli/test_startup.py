"""What a login node feels: quick answers, nothing heavy imported, nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from genmat.database.mongod import find_mongod
from genmat.settings import Settings

HEAVY = (
    "ase",
    "atomate2",
    "chgnet",
    "fireworks",
    "jobflow",
    "mace",
    "numpy",
    "pymatgen",
    "spglib",
    "torch",
    "torch_sim",
)
PROGRAM = """
import json, sys
from genmat.cli.entry import run
code = run(sys.argv[1:])
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def measure(*arguments):
    """Return exit code and top-level modules of a command in a process of its own."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(finished.stdout.splitlines()[-1])


@pytest.mark.parametrize("arguments", [("--help",), ("status",), ("status", "salts"), ("list", "salts")], ids=" ".join)
def test_a_quick_command_imports_nothing_heavy(salts, arguments):
    code, modules = measure(*arguments)
    assert code == 0
    assert [name for name in HEAVY if name in modules] == []


@pytest.mark.mongo
def test_a_status_from_the_private_server_imports_nothing_heavy(tmp_path, monkeypatch):
    found = find_mongod(Settings.load())
    if found is None or found.version()[0] is None:
        pytest.skip("no mongod that runs (python -m genmat.database.install)")
    from genmat.database.store import connect

    monkeypatch.setenv("GENMAT_MONGOD_IDLE", "1")
    with connect(Settings.load()):
        code, modules = measure("status")
    assert code == 0
    assert [name for name in HEAVY if name in modules] == []


def test_the_module_and_the_entry_point_are_the_same_command(tmp_path):
    command = [sys.executable, "-m", "genmat.cli", "status", "--json"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (finished.returncode, json.loads(finished.stdout), finished.stderr) == (0, [], "")


def test_a_question_to_an_empty_machine_creates_nothing(tmp_path, genmat):
    assert genmat("status").out.startswith("no campaign yet")
    assert not (tmp_path / "data").exists()


def test_a_closed_pipe_is_no_error(salts):
    command = f"{sys.executable} -m genmat.cli export salts --all --format json --output - | head -c 1"
    finished = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in finished.stderr
    assert "BrokenPipe" not in finished.stderr


def test_an_ascii_terminal_gets_no_traceback(salts):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "genmat.cli", "why", "salts-none"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
    assert finished.returncode == 2
    assert "Traceback" not in finished.stderr
