"""The Python of the documentation runs on a real campaign."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.mongo
PAGE = Path(__file__).resolve().parents[2] / "docs" / "dashboard.md"


def test_python_of_the_page_about_the_dashboard_runs(settings, campaign, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("GENMAT_DATABASE_URI", settings.database_uri.get_secret_value())
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found: dict[str, object] = {}
    exec(compile(block, str(PAGE), "exec"), found)  # noqa: S102 - our own documentation
    assert "energy_above_hull" in capsys.readouterr().out
    assert len(found["crystals"]) == len(found["table"]) > 0
    found["campaign"].close()
