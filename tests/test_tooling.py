"""Set-up, pins and metadata agree with each other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest
from ruamel.yaml import YAML

import genmat
from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a folder with what the set-up reads, and a ``python3.12`` that refuses as pyenv's shims do."""
    (tmp_path / "tools").mkdir()
    for name in ("tools/setup.sh", "pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    shim = tmp_path / "shims" / "python3.12"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.12: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    return tmp_path


def test_setup_refuses_a_python_that_does_not_run(clone: Path) -> None:
    environment = {**os.environ, "PYTHON": str(clone / "shims" / "python3.12")}
    done = subprocess.run(
        ["bash", "tools/setup.sh"], cwd=clone, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "is not a Python of at least 3.12 that runs" in done.stderr
    assert not (clone / ".venv").exists()


def test_setup_passes_over_a_shim_that_refuses(clone: Path) -> None:
    script = (clone / "tools" / "setup.sh").read_text()
    functions = script[script.index("is_suitable()") : script.index("# debian_package NAME")]
    pyenv = clone / "pyenv" / "versions" / "3.12.1" / "bin"
    pyenv.mkdir(parents=True)
    (pyenv / "python3").symlink_to(shutil.which("python3", path=str(REPOSITORY / ".venv" / "bin")) or sys.executable)
    environment = {"PATH": f"{clone / 'shims'}:/usr/bin:/bin", "HOME": str(clone), "PYENV_ROOT": str(clone / "pyenv")}
    done = subprocess.run(
        ["bash", "-c", f"{functions}\nfind_python"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == str(pyenv / "python3")


def test_pins_name_versions_and_no_host() -> None:
    assert [line for line in PINS if not re.fullmatch(r"[a-z0-9.-]+==[A-Za-z0-9.+!]+", line)] == []


def test_every_dependency_is_pinned() -> None:
    extras = [requirement for group in PROJECT["optional-dependencies"].values() for requirement in group]
    wanted = {re.split(r"[><=~!\[ ]", line)[0].lower().replace("_", "-").replace(".", "-") for line in extras}
    wanted |= {re.split(r"[><=~!\[ ]", line)[0].lower().replace(".", "-") for line in PROJECT["dependencies"]}
    pinned = {line.split("==")[0].replace(".", "-") for line in PINS}
    assert wanted - pinned == set()


def test_version_is_the_same_everywhere() -> None:
    citation = YAML(typ="safe", pure=True).load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert PROJECT["version"] == genmat.__version__ == citation["version"]
