"""The hull of four elements: a tetrahedron of compositions, to be turned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from genmat.report.figures import Figure, finish
from genmat.report.hull_figures import ON_HULL, hover_text
from genmat.report.words import plotly_formula, plotly_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genmat.report.content import HullPoint, HullSystem

CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0.5, np.sqrt(0.75), 0], [0.5, np.sqrt(1 / 12), np.sqrt(2 / 3)]])
"""A regular tetrahedron of edge 1, one corner an element."""


def tetrahedron(system: HullSystem) -> Figure:
    """Return the compositions of a system of four elements with the edges of its hull."""
    import plotly.graph_objects as go

    def places(points: Sequence[HullPoint]) -> dict[str, list[float]]:
        found = np.asarray([point.fractions for point in points]).reshape(-1, 4) @ CORNERS
        return {name: np.round(found[:, k], 4).tolist() for k, name in enumerate("xyz")}

    def trace(points: Sequence[HullPoint], **options: Any) -> Any:
        return go.Scatter3d(
            **places(points), hovertext=[hover_text(point) for point in points], hoverinfo="text", **options
        )

    stable = [point for point in system.references if point.energy_above_hull <= ON_HULL]
    lines: dict[str, list[float | None]] = {"x": [], "y": [], "z": []}
    for i, j in system.ties:
        ends = places([system.references[i], system.references[j]])
        for name in "xyz":
            lines[name] += [*ends[name], None]
    labels = [plotly_formula(point.formula) if max(point.fractions) < 1.0 else "" for point in stable]
    traces = [
        go.Scatter3d(
            **lines,
            mode="lines",
            line={"color": "var(--faint)", "width": 2},
            hoverinfo="skip",
            name="edges of the hull",
        ),
        trace(
            stable,
            mode="markers+text",
            name="known, on the hull",
            text=labels,
            textfont={"size": 10, "color": "var(--muted)"},
            marker={"size": 4, "color": "var(--ink)"},
        ),
        trace(
            system.candidates,
            mode="markers",
            name="candidates (rank)",
            marker={"size": 7, "color": "var(--accent)", "symbol": "diamond"},
        ),
        go.Scatter3d(
            **{name: CORNERS[:, k].tolist() for k, name in enumerate("xyz")},
            mode="text",
            text=[f"<b>{plotly_text(symbol)}</b>" for symbol in system.elements],
            textfont={"size": 16, "color": "var(--ink)"},
            hoverinfo="skip",
            showlegend=False,
        ),
    ]
    hidden = {"visible": False}
    return finish(
        [item for item in traces if len(item.x)],
        scene={"xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "data", "dragmode": "orbit"},
        height=480,
        margin={"l": 0, "r": 0, "t": 46, "b": 0},
        legend={"orientation": "h", "y": 0, "x": 0},
    )
