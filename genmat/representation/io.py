"""The packaged table of Wyckoff positions."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

_TABLE = files("genmat.representation") / "data" / "wyckoff.json"


@cache
def read_wyckoff_table() -> dict[str, Any]:
    """Return the packaged table as :mod:`genmat.representation.build_tables` wrote it; read once."""
    table: dict[str, Any] = json.loads(_TABLE.read_text(encoding="utf-8"))
    return table


def write_wyckoff_table(table: dict[str, Any]) -> None:
    """Write the table into the package's source folder, one space group a line."""
    head = {key: value for key, value in table.items() if key != "groups"}
    lines = ",\n".join(json.dumps(group, separators=(",", ":")) for group in table["groups"])
    text = json.dumps(head, separators=(",", ":"))[:-1] + ',"groups":[\n' + lines + "\n]}\n"
    Path(str(_TABLE)).write_text(text, encoding="utf-8")
