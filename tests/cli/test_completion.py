"""A shell completes the names of campaigns, and never shows an error while it does."""

from __future__ import annotations

import pytest
import typer

from genmat.cli.app import app
from genmat.cli.session import campaign_names


@pytest.mark.parametrize(("word", "found"), [("", ["salts"]), ("sa", ["salts"]), ("salts", ["salts"]), ("x", [])])
def test_names_that_begin_like_the_word_are_offered(salts, word, found):
    assert campaign_names(word) == found


def test_nothing_is_offered_and_nothing_said_where_there_is_no_database(capfd):
    assert campaign_names("") == []
    assert capfd.readouterr() == ("", "")


def test_nothing_is_offered_where_a_setting_is_wrong(monkeypatch):
    monkeypatch.setenv("GENMAT_DATABASE_TIMEOUT", "soon")
    assert campaign_names("") == []


@pytest.mark.parametrize("verb", ["status", "list", "top", "export"])
def test_commands_that_take_a_campaign_complete_it(salts, verb):
    command = typer.main.get_command(app).commands[verb]
    (argument,) = [parameter for parameter in command.params if parameter.name == "name"]
    context = command.make_context(verb, ["salts"])
    assert [item.value for item in argument.shell_complete(context, "s")] == ["salts"]
