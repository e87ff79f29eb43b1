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
from ruamel.yaml import YAML

from genmat.campaign import Campaign
from genmat.cli.app import app
from genmat.screening.verdict import Reason, Stage
from genmat.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
KINDS = {
    "bash": "every command of genmat and make is parsed; nothing is run, since a campaign takes minutes",
    "console": "as bash, the lines that begin with a prompt; the rest is output",
    "yaml": "read as a campaign, as a part of one, or as settings",
    "python": "run on the database of a real campaign in tests/dashboard/test_documentation.py",
    "cron": "its command of genmat is parsed",
    "ini": "its command of genmat is parsed",
    "": "output of a machine, an error or a diagram: errors and the funnel are compared in tests/campaign and below, "
    "times and counts of benchmarks are not made again",
}
"""How each kind of block is tested, or why not."""


def blocks(*languages: str) -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found += [(page.stem, body) for kind, body in BLOCK.findall(text) if kind in languages]
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_code_block_is_of_a_kind_that_is_tested(page):
    assert {kind for kind, _ in BLOCK.findall(page.read_text(encoding="utf-8"))} <= set(KINDS)


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
def test_every_yaml_of_the_documentation_is_a_campaign_a_part_of_one_or_settings(page, body):
    content = YAML(typ="safe", pure=True).load(body)
    if set(content) <= set(Settings.model_fields):
        assert Settings(**content)
        return
    whole = {"name": "part", "target": {"properties": [{"name": "density", "max": 4}]}, "generate": {"n": 10}}
    assert Campaign.from_dict({**whole, **content}, source=page).name


def commands() -> list[str]:
    lines = [line for _, body in blocks("bash") for line in joined(body)]
    lines += [line.removeprefix("$ ") for _, body in blocks("console") for line in joined(body) if line[:2] == "$ "]
    lines += [
        line[line.index("genmat ") :]
        for _, body in blocks("cron", "ini")
        for line in body.splitlines()
        if "/genmat " in line
    ]
    parts = [part.strip() for line in lines for part in line.partition("#")[0].split(";")]
    return sorted({part for part in parts if part.startswith("genmat ")})


def joined(body: str) -> list[str]:
    return body.replace("\\\n", " ").splitlines()


@pytest.mark.parametrize("line", commands())
def test_every_command_of_the_documentation_is_one(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line.replace("…", "slurm"))[1:]
    for word in words:
        if word.endswith((".parquet", ".safetensors", ".model", ".ckpt", ".yaml")):
            (tmp_path / word).touch()
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        if words[0] == "--help":
            return
        command = command.commands[words.pop(0)]
    if "--help" not in words:
        command.make_context("genmat", words)


def test_the_funnel_of_the_readme_has_the_stages_and_reasons_of_the_code():
    (table,) = [body for page, body in blocks("") if body.startswith("stage ") and page == "README"]
    rows = [line.split() for line in table.splitlines()[1:]]
    stages = {stage.value.replace("_", " ") for stage in Stage}
    left = None
    for words in rows:
        place = next(k for k, word in enumerate(words) if word.isdigit())
        judged, passed = int(words[place]), int(words[place + 1])
        fell = words[place + 2 :]
        assert " ".join(words[:place]) in stages
        assert left in {None, judged} or (words[0] == Stage.VALIDATE and judged <= left)  # computed: the chosen ones
        assert judged - passed == (0 if fell == ["-"] else sum(int(word) for word in fell if word.isdigit()))
        assert {word.rstrip(",") for word in fell if not word.isdigit() and word != "-"} <= {
            reason.value for reason in Reason
        }
        left = passed


@pytest.mark.parametrize(
    "line", [line for _, body in blocks("bash") for line in body.splitlines() if line.startswith("make ")]
)
def test_every_target_of_make_in_the_documentation_is_one(line):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert line.split()[1] in targets
