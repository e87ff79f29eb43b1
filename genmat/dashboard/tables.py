"""The data of a figure as CSV: what is drawn is what is written."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genmat.report.figures import Figure

_TAG = re.compile(r"<[^>]*>")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def to_csv(figure: Figure) -> str:
    """Return the points of all traces of a figure, one row each, columns named like its axes."""
    layout = figure["layout"]
    titles = {name: _title(layout, name) for name in ("xaxis", "yaxis", "yaxis2")}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads: list[str] = []
    for trace in figure["data"]:
        columns = dict(_columns(trace, titles))
        if columns and list(columns) != heads:
            heads = list(columns)
            writer.writerow(["series", *heads])
        series = plain(str(trace.get("name") or ""))
        for row in zip(*columns.values(), strict=False):
            writer.writerow([series, *("" if value is None else cell(value) for value in row)])
    return text.getvalue()


def cell(value: Any) -> Any:
    """Return a value for a spreadsheet, where text that begins like a formula stays text."""
    if not isinstance(value, str):
        return value
    text = plain(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def plain(text: str) -> str:
    """Return text without the markup that plotly reads."""
    import html

    return html.unescape(_TAG.sub(lambda match: " " if match[0] == "<br>" else "", text)).strip()


def _title(layout: dict[str, Any], name: str) -> str:
    title = ((layout.get(name) or {}).get("title") or {}).get("text") or ""
    return plain(title)


def _columns(trace: dict[str, Any], titles: dict[str, str]) -> Iterator[tuple[str, list[Any]]]:
    kind = trace.get("type", "scatter")
    if kind == "heatmap":
        cells = [
            (text, value)
            for texts, values in zip(trace["text"], trace["z"], strict=True)
            for text, value in zip(texts, values, strict=True)
            if value is not None
        ]
        yield "cell", [text for text, _ in cells]
        yield "value", [value for _, value in cells]
        return
    if kind == "mesh3d":
        return
    names = ("a", "b", "c") if kind == "scatterternary" else ("x", "y", "z")
    for name in names:
        if trace.get(name) is not None:
            axis = f"{name}axis" + ("2" if trace.get("yaxis") == "y2" and name == "y" else "")
            yield titles.get(axis) or name, list(trace[name])
    for name in ("customdata", "hovertext"):
        if isinstance(trace.get(name), list | tuple):
            yield "label", list(trace[name])
            return
