"""Hull diagrams: two elements as energies over composition, three as a triangle."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from genmat.report.figures import Figure, axis, finish
from genmat.report.hull_data import NEAR_HULL
from genmat.report.words import number, plotly_formula, plotly_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genmat.report.content import HullPoint, HullSystem

ON_HULL = 1e-6
"""A crystal of the reference this close to the hull is a vertex, eV/atom."""


LABEL_GAP = 0.09
"""Two labels of a triangle are at least as far apart, in atomic fractions."""


def hull_figure(system: HullSystem) -> Figure | None:
    """Return the diagram of a system of two or three elements; ``None`` for other sizes."""
    if len(system.elements) == 2:
        return _binary(system)
    return _ternary(system) if len(system.elements) == 3 else None


def stable(points: Sequence[HullPoint]) -> list[HullPoint]:
    """Return the vertices of the hull among the crystals of the reference."""
    return [point for point in points if point.energy_above_hull <= ON_HULL]


def hover_text(point: HullPoint) -> str:
    """Return what a point of a hull says when it is pointed at."""
    name = f"<b>{plotly_formula(point.formula)}</b> "
    name += f"candidate {point.rank}" if point.rank is not None else plotly_text(point.id)
    energies = f"{number(point.energy_above_hull, 3)} eV/atom above the hull"
    return f"{name}<br>{energies}<br>formation energy {number(point.formation_energy, 3)} eV/atom"


_CANDIDATE = {"symbol": "star", "size": 15, "color": "var(--accent)", "line": {"color": "var(--paper)", "width": 1}}
_STABLE = {"symbol": "circle", "size": 9, "color": "var(--ink)"}


def _unstable_marker(points: Sequence[HullPoint], *, bar: bool) -> dict[str, Any]:
    marker: dict[str, Any] = {"symbol": "circle-open", "size": 6, "color": "var(--muted)", "line": {"width": 1.2}}
    if bar:
        marker |= {
            "symbol": "circle",
            "color": [round(point.energy_above_hull, 4) for point in points],
            "colorscale": [[0, "var(--scale-high)"], [1, "var(--scale-low)"]],
            "cmin": 0,
            "cmax": NEAR_HULL,
            "size": 7,
            "line": {"width": 0},
            "colorbar": {
                "title": {"text": "eV/atom<br>above hull"},
                "thickness": 10,
                "len": 0.6,
                "outlinewidth": 0,
            },
        }
    return marker


def _binary(system: HullSystem) -> Figure:
    """Return formation energies over the fraction of the second element."""
    import plotly.graph_objects as go

    first, second = (plotly_text(symbol) for symbol in system.elements)
    vertices = sorted(stable(system.references), key=lambda point: point.fractions[1])
    others = [point for point in system.references if point.energy_above_hull > ON_HULL]

    def trace(points: Sequence[HullPoint], **options: Any) -> Any:
        return go.Scatter(
            x=[round(point.fractions[1], 5) for point in points],
            y=[round(point.formation_energy, 4) for point in points],
            hovertext=[hover_text(point) for point in points],
            hoverinfo="text",
            **options,
        )

    line = {"color": "var(--ink)", "width": 1.6}
    labels = _labels(vertices, with_elements=True)
    traces = [
        trace(others, mode="markers", name="known, above the hull", marker=_unstable_marker(others, bar=False)),
        trace(
            vertices,
            mode="lines+markers+text",
            name="known, on the hull",
            line=line,
            marker=_STABLE,
            text=labels,
            textposition="bottom center",
        ),
        trace(
            system.candidates,
            mode="markers+text",
            name="candidates (rank)",
            marker=_CANDIDATE,
            text=[f" {point.rank}" for point in system.candidates],
            textposition="middle right",
            textfont={"color": "var(--accent)"},
        ),
    ]
    energies = [point.formation_energy for point in (*vertices, *system.candidates)]
    depth = max(0.05, -min(energies))
    ceiling = max(0.05 * depth, max(energies) + 0.1 * depth)
    return finish(
        [item for item in traces if len(item.x)],
        xaxis=axis(f"atomic fraction of {second} in {first}–{second}", range=[-0.05, 1.05], zeroline=False),
        yaxis=axis("formation energy (eV/atom)", range=[-1.2 * depth, ceiling], zeroline=True),
        height=420,
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )


def _ternary(system: HullSystem) -> Figure:
    """Return the triangle of compositions with the edges of the hull."""
    import plotly.graph_objects as go

    def trace(points: Sequence[HullPoint], **options: Any) -> Any:
        corners = _corners([point.fractions for point in points])
        return go.Scatterternary(**corners, cliponaxis=False, **options)

    def named(points: Sequence[HullPoint], **options: Any) -> Any:
        return trace(points, hovertext=[hover_text(point) for point in points], hoverinfo="text", **options)

    ends: list[tuple[float, ...] | None] = []
    for i, j in system.ties:
        ends += [system.references[i].fractions, system.references[j].fractions, None]
    vertices = stable(system.references)
    others = [point for point in system.references if point.energy_above_hull > ON_HULL]
    line = {"color": "var(--muted)", "width": 1}
    traces = [
        go.Scatterternary(**_corners(ends), mode="lines", line=line, hoverinfo="skip", showlegend=False),
        named(others, mode="markers", name="known, above the hull", marker=_unstable_marker(others, bar=True)),
        named(
            vertices,
            mode="markers+text",
            name="known, on the hull",
            marker=_STABLE,
            text=_labels(vertices),
            textposition=[_label_position(point) for point in vertices],
            textfont={"size": 11},
        ),
        named(
            system.candidates,
            mode="markers+text",
            name="candidates (rank)",
            marker=_CANDIDATE,
            text=[f" {point.rank}" for point in system.candidates],
            textposition="middle right",
            textfont={"color": "var(--accent)"},
        ),
    ]
    corner = {"showgrid": True, "ticks": "", "showticklabels": False, "gridcolor": "var(--grid)"}
    ternary = {
        name: {**corner, "title": {"text": plotly_text(symbol)}, "linecolor": "var(--muted)"}
        for name, symbol in zip(("aaxis", "baxis", "caxis"), system.elements, strict=True)
    }
    return finish(
        [item for item in traces if len(item.a)],
        ternary={"sum": 1, "bgcolor": "rgba(0,0,0,0)", **ternary},
        height=440,
        margin={"l": 30, "r": 30, "t": 84, "b": 46},
        legend={"orientation": "h", "y": 1.12, "x": 0, "yanchor": "bottom"},
    )


def _labels(points: Sequence[HullPoint], *, with_elements: bool = False) -> list[str]:
    """Return the formulas of phases; one too near to another that has a label gets none."""
    labelled: list[tuple[float, ...]] = []
    labels = []
    for point in points:
        gaps = (math.dist(point.fractions, other) for other in labelled)
        if (max(point.fractions) == 1.0 and not with_elements) or min(gaps, default=1.0) < LABEL_GAP:
            labels.append("")
        else:
            labelled.append(point.fractions)
            labels.append(plotly_formula(point.formula))
    return labels


def _label_position(point: HullPoint) -> str:
    """Return on which side of a phase its label stands: outside the triangle where the phase lies on its border."""
    top, left, right = point.fractions
    if top == 0.0:
        return "bottom center"
    if right == 0.0:
        return "middle left"
    return "middle right" if left == 0.0 else "top center"


def _corners(fractions: Sequence[tuple[float, ...] | None]) -> dict[str, list[float | None]]:
    return {
        name: [None if point is None else round(point[place], 5) for point in fractions]
        for place, name in enumerate("abc")
    }
