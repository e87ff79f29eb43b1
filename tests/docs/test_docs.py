"""The documentation: it builds without a warning, and what it tells to type exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from genmat.campaign.io import parse_campaign
from genmat.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["index", "tutorial", "concepts", "howto", "dashboard"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[tuple[str, str]]:
    found = []
    for name in PAGES:
        text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
        found += [(name, body) for kind, body in BLOCK.findall(text) if kind == language]
    return found


def test_site_builds_and_a_warning_is_an_error(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(ROOT / "docs/site/mkdocs.yml")]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [*command, "-d", str(tmp_path / "site")], capture_output=True, text=True, env=environment, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    fields = (tmp_path / "site/reference/fields.html").read_text(encoding="utf-8")
    assert "In the screening potential's hull, eV/atom" in fields
    cli = (tmp_path / "site/reference/cli.html").read_text(encoding="utf-8")
    assert "genmat serve" in cli
    assert "--socket" in cli
    python = (tmp_path / "site/reference/python.html").read_text(encoding="utf-8")
    assert "plot_parity" in python


@pytest.mark.parametrize(("page", "body"), blocks("yaml"))
def test_every_campaign_of_the_documentation_is_one(page, body):
    assert parse_campaign(body, source=page).name


def commands() -> list[str]:
    lines = [line for _, body in blocks("bash") for line in body.splitlines()]
    return sorted({line for line in lines if line.startswith("genmat ")})


@pytest.mark.parametrize("line", commands())
def test_every_command_of_the_documentation_is_one(line):
    words = shlex.split(line)[1:]
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        if words[0] == "--help":
            return
        command = command.commands[words.pop(0)]
    if "--help" not in words:
        command.make_context("genmat", words)


@pytest.mark.parametrize(
    "line", [line for _, body in blocks("bash") for line in body.splitlines() if line.startswith("make ")]
)
def test_every_target_of_make_in_the_documentation_is_one(line):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert line.split()[1] in targets
