"""Figures of first principles beside the potential: parity and residuals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from genmat.report.figures import axis, finish, round_colour, round_name
from genmat.report.words import plotly_text

if TYPE_CHECKING:
    from genmat.report.content import CampaignReport, ReportedCandidate
    from genmat.report.figures import Figure

BIN = 0.01
"""Width of the bins of the residuals, eV/atom."""
MOST_BINS = 40


def parity_figure(report: CampaignReport) -> Figure | None:
    """Return the distances to the hull by the engine over those by the potential; ``None`` without any."""
    import plotly.graph_objects as go

    found = compared(report)
    if not found:
        return None
    ends = [value for c in found for value in _pair(c)]
    low, high = min(0.0, *ends), max(0.0, *ends)
    margin = 0.08 * (high - low) or 0.01
    span = [low - margin, high + margin]
    equal = go.Scatter(
        x=span, y=span, mode="lines", line={"color": "var(--faint)", "dash": "dot"}, hoverinfo="skip", showlegend=False
    )
    traces = [equal]
    for number in sorted({c.round for c in found}):
        mine = [c for c in found if c.round == number]
        traces.append(
            go.Scatter(
                x=[_pair(c)[0] for c in mine],
                y=[_pair(c)[1] for c in mine],
                mode="markers+text" if len(found) <= 12 else "markers",
                text=[plotly_text(c.formula or "") for c in mine],
                textposition="top center",
                name=round_name(number),
                cliponaxis=False,
                marker={"color": round_colour(number), "size": 10},
                hovertemplate="%{text}: %{x:.3f} by the potential, %{y:.3f} by first principles<extra></extra>",
            )
        )
    shapes = []
    if report.campaign.validation is not None:
        limit = report.campaign.validation.hull_tolerance
        line = {"color": "var(--accent)", "width": 2, "dash": "dash"}
        shapes.append({"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": limit, "y1": limit, "line": line})
    return finish(
        traces,
        xaxis=axis("energy above hull by the potential (eV/atom)", range=span, zeroline=False),
        yaxis=axis("by first principles (eV/atom)", range=span, zeroline=False),
        height=400,
        shapes=shapes,
        showlegend=len(traces) > 2,
        legend={"orientation": "h", "y": 1.02, "x": 1, "xanchor": "right", "yanchor": "bottom"},
    )


def residual_figure(report: CampaignReport) -> Figure | None:
    """Return the histogram of engine minus potential; ``None`` without any."""
    import plotly.graph_objects as go

    residuals = [above - potential for potential, above in map(_pair, compared(report))]
    if not residuals:
        return None
    low, high = min(0.0, *residuals), max(0.0, *residuals)
    width = BIN * max(1, math.ceil((high - low) / (BIN * MOST_BINS)))
    edges = np.arange(math.floor(low / width), math.ceil(high / width) + 1) * width
    counts, _ = np.histogram(residuals, bins=edges if len(edges) > 1 else [0.0, width])
    bar = go.Bar(
        x=np.round(edges[: len(counts)] + width / 2, 6).tolist(),
        y=counts.tolist(),
        width=width * 0.94,
        marker={"color": "var(--round-0)"},
        hovertemplate="%{y} near %{x:.3f} eV/atom<extra></extra>",
    )
    zero = {"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1}
    return finish(
        [bar],
        xaxis=axis("first principles minus potential (eV/atom)"),
        yaxis=axis("candidates", tickformat="d", dtick=max(1, math.ceil(int(counts.max()) / 6))),
        height=400,
        shapes=[{**zero, "line": {"color": "var(--faint)", "dash": "dot"}}],
        showlegend=False,
    )


def compared(report: CampaignReport) -> list[ReportedCandidate]:
    """Return the candidates that have a distance to the hull by both."""
    return [c for c in report.validated if "energy_above_hull" in c.validation and c.energy_above_hull is not None]


def _pair(candidate: ReportedCandidate) -> tuple[float, float]:
    return float(candidate.energy_above_hull or 0.0), float(candidate.validation["energy_above_hull"])
