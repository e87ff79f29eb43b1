from __future__ import annotations

import pytest
from typer.testing import CliRunner

from genmat.cli.app import app

VERBS = ("run", "resume", "status", "list", "show", "why", "top", "export", "doctor", "init", "schema", "validate")
GROUPS = {
    "data": ("show", "build-reference", "build-labels"),
    "train": ("pretrain", "finetune", "generator"),
    "models": ("list", "show", "register", "potentials", "add", "fetch"),
}
PATHS = [(verb,) for verb in VERBS] + [(group, verb) for group, verbs in GROUPS.items() for verb in verbs]


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_verb_explains_itself_with_an_example(path):
    result = CliRunner().invoke(app, [*path, "--help"])
    assert result.exit_code == 0
    assert f"genmat {' '.join(path)}" in " ".join(result.output.split("Example:")[1].split())


def test_the_overview_lists_every_verb():
    output = CliRunner().invoke(app, ["--help"]).output
    assert [verb for verb in (*VERBS, *GROUPS) if f" {verb} " not in output] == []


def test_the_version_is_shown():
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("genmat 0.")


@pytest.mark.parametrize("path", [path for path in PATHS if path != ("schema",)], ids=" ".join)
def test_every_verb_answers_in_json(path):
    assert "--json" in CliRunner().invoke(app, [*path, "--help"]).output
