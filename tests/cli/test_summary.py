"""Bars of a funnel: in a terminal only, and as long as what they stand for."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from genmat.cli import summary, terminal
from genmat.database.summary import StageCounts

STAGES = [StageCounts("generate", 8, {}), StageCounts("validity", 4, {"too_close": 4})]


@pytest.mark.parametrize(("share", "length"), [(0.0, 0), (1.0, 24), (0.5, 12), (0.26, 7)])
def test_bar_is_as_long_as_its_share(share, length):
    assert len(summary.bar(share)) == length


def test_pipe_gets_no_bars(capsys):
    summary.print_funnel(STAGES, title="all")
    assert "█" not in capsys.readouterr().out


def test_terminal_gets_bars(monkeypatch):
    screen = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(terminal, "console", lambda **_: screen)
    monkeypatch.setattr(summary, "console", lambda **_: screen)
    summary.print_funnel(STAGES, title="all")
    lines = screen.file.getvalue().splitlines()
    bars = [line.count("█") for line in lines if "█" in line]
    assert bars == [24, 12]
