"""The packaged parts of the page: template, style, script, and plotly's script from its own package."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

_FOLDER = files("genmat.report") / "templates"


@cache
def read_template(name: str) -> str:
    """Return a packaged text, such as ``report.css``."""
    return (_FOLDER / name).read_text(encoding="utf-8")


@cache
def read_plotly_script() -> str:
    """Return plotly.js as the installed plotly brings it."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())
