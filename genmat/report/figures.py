"""Figures of a report as plotly JSON; colours are variables of the page, so that they follow its theme."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from genmat.campaign import PROPERTY_KINDS, PropertyName
from genmat.report.outcome import funnel, reasons, relaxed, space_group_counts, summaries
from genmat.report.words import TITLES, plotly_space_group, plotly_text, reason_text, unit, wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from genmat.campaign import PropertyTarget
    from genmat.report.content import CampaignReport
    from genmat.report.outcome import FunnelStep, Rate, ReasonCount, RoundSummary

type Figure = dict[str, Any]

MAX_SPACE_GROUPS = 14
"""Space groups that the histogram shows; the others are one bar."""

MAX_ENERGY = 0.6
"""Energies above the hull beyond this are shown in the last bin, eV/atom."""

_BINS = 30
_COLOURS = 6


def round_colour(number: int) -> str:
    """Return the colour of a round."""
    return f"var(--round-{number % _COLOURS})"


def round_name(number: int) -> str:
    """Return the name of a round, counted from 1."""
    return f"Round {number + 1}"


def finish(traces: Sequence[Any], **layout: Any) -> Figure:
    """Return a checked figure as JSON, without plotly's own template."""
    import plotly.graph_objects as go

    made: Figure = go.Figure(list(traces), go.Layout(**layout)).to_plotly_json()
    made["layout"].pop("template", None)
    return made


def axis(title: str, **options: Any) -> dict[str, Any]:
    """Return an axis with a title."""
    return {"title": {"text": title}, "automargin": True, **options}


def funnel_figure(report: CampaignReport) -> Figure:
    """Return how many candidates are left after each step, one bar a round."""
    return funnel_bars(funnel(report), [entry.number for entry in report.rounds])


def funnel_bars(steps: Sequence[FunnelStep], rounds: Sequence[int]) -> Figure:
    """Return the bars of a funnel; ``rounds`` in the order of the steps' counts."""
    import plotly.graph_objects as go

    traces = [
        go.Bar(
            y=[wrapped(step.name, width=20) for step in steps],
            x=[step.by_round[place] for step in steps],
            name=round_name(entry),
            orientation="h",
            marker={"color": round_colour(entry)},
            text=[str(step.by_round[place]) for step in steps],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x} candidates<extra>" + round_name(entry) + "</extra>",
        )
        for place, entry in enumerate(rounds)
    ]
    return finish(
        traces,
        xaxis=axis("candidates left"),
        yaxis=axis("", autorange="reversed"),
        height=130 + (18 * len(rounds) + 16) * len(steps),
        barmode="group",
        bargap=0.28,
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )


def reasons_figure(report: CampaignReport) -> Figure | None:
    """Return for what reason candidates fell, the most frequent first; ``None`` if none fell."""
    rows = sorted(reasons(report), key=lambda row: -row.total)
    return reason_bars(rows, [entry.number for entry in report.rounds]) if rows else None


def reason_bars(rows: Sequence[ReasonCount], rounds: Sequence[int]) -> Figure:
    """Return the bars of reasons, in the order given; ``rounds`` in the order of the counts."""
    import plotly.graph_objects as go

    names = [wrapped(reason_text(row.reason)) for row in rows]
    traces = [
        go.Bar(
            y=names,
            x=[row.by_round[place] for row in rows],
            name=round_name(entry),
            orientation="h",
            marker={"color": round_colour(entry)},
            hovertemplate="%{y}: %{x} candidates<extra>" + round_name(entry) + "</extra>",
        )
        for place, entry in enumerate(rounds)
    ]
    return finish(
        traces,
        xaxis=axis("candidates that fell"),
        yaxis=axis("", autorange="reversed"),
        height=130 + 36 * len(rows),
        barmode="stack",
        bargap=0.35,
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom", "traceorder": "normal"},
    )


def rounds_figure(report: CampaignReport) -> Figure:
    """Return the rates of each round with their 95 % intervals."""
    return rate_bars(summaries(report))


def rate_bars(rounds: Sequence[RoundSummary]) -> Figure:
    """Return the bars of the rates of some rounds."""
    import plotly.graph_objects as go

    traces = []
    for entry in rounds:
        rates: list[tuple[str, Rate]] = [
            ("accepted<br>of relaxed", entry.accepted_of_relaxed),
            ("within τ<br>of relaxed", entry.stable_of_relaxed),
            ("accepted<br>of draws", entry.accepted_of_draws),
        ]
        if entry.ssun is not None:
            rates.append(("S.S.U.N.<br>of draws", entry.ssun))
        fractions = [100 * rate.fraction for _, rate in rates]
        bounds = [tuple(100 * end for end in rate.interval) for _, rate in rates]
        traces.append(
            go.Bar(
                x=[name for name, _ in rates],
                y=fractions,
                name=round_name(entry.number),
                marker={"color": round_colour(entry.number)},
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": [high - value for value, (_, high) in zip(fractions, bounds, strict=True)],
                    "arrayminus": [value - low for value, (low, _) in zip(fractions, bounds, strict=True)],
                    "color": "var(--ink)",
                    "thickness": 1.2,
                    "width": 5,
                },
                customdata=[f"{rate.successes} of {rate.total}" for _, rate in rates],
                hovertemplate="%{y:.1f} % (%{customdata})<extra>" + round_name(entry.number) + "</extra>",
            )
        )
    return finish(
        traces,
        xaxis=axis(""),
        yaxis=axis("share of candidates (%)", rangemode="tozero"),
        height=360,
        barmode="group",
        bargap=0.35,
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )


def weights_figure(report: CampaignReport) -> Figure | None:
    """Return what the last round had learned about elements; ``None`` if that was nothing."""
    import plotly.graph_objects as go

    learned = next((entry for entry in reversed(report.rounds) if any(entry.element_weights.values())), None)
    if learned is None:
        return None
    rows = sorted(learned.element_weights.items(), key=lambda item: (-item[1], item[0]))
    bar = go.Bar(
        x=[plotly_text(symbol) for symbol, _ in rows],
        y=[weight for _, weight in rows],
        marker={"color": ["var(--good)" if weight >= 0 else "var(--bad)" for _, weight in rows]},
        hovertemplate="%{x}: %{y:+.2f}<extra></extra>",
    )
    title = f"log-odds used in round {learned.number + 1}"
    return finish(
        [bar], xaxis=axis("element", tickangle=0), yaxis=axis(title, zeroline=True), height=360, showlegend=False
    )


def energy_figure(report: CampaignReport) -> Figure | None:
    """Return the histogram of the distance to the hull of relaxed candidates, τ marked; ``None`` without any."""
    found = {
        entry.number: [
            c.energy_above_hull
            for c in relaxed(report.candidates)
            if c.round == entry.number and c.energy_above_hull is not None
        ]
        for entry in report.rounds
    }
    everything = [value for values in found.values() for value in values]
    if not everything:
        return None
    low = min(-0.02, math.floor(50 * min(everything)) / 50)
    edges = np.arange(low, MAX_ENERGY + 0.02, 0.02)
    traces = _histograms(found, edges, x_label="eV/atom")
    return energy_bars(traces, tolerance=report.campaign.screen.hull_tolerance)


def energy_bars(traces: Sequence[Any], *, tolerance: float) -> Figure:
    """Return bars of distances to the hull with τ (eV/atom) marked."""
    shape = {"type": "line", "x0": tolerance, "x1": tolerance, "yref": "paper", "y0": 0, "y1": 1}
    note = {"x": tolerance, "yref": "paper", "y": 1, "yanchor": "bottom", "text": f"τ = {tolerance:g} eV/atom"}
    return finish(
        traces,
        xaxis=axis("energy above hull (eV/atom)"),
        yaxis=axis("relaxed candidates", **_counting(traces)),
        height=340,
        margin={"l": 10, "r": 30, "t": 64, "b": 48},
        barmode="stack",
        bargap=0.04,
        shapes=[{**shape, "line": {"color": "var(--accent)", "width": 2, "dash": "dash"}}],
        annotations=[{**note, "showarrow": False, "font": {"color": "var(--accent)"}}],
        legend={"orientation": "h", "y": 1.08, "x": 1, "xanchor": "right", "yanchor": "bottom", "traceorder": "normal"},
    )


def property_figure(report: CampaignReport, target: PropertyTarget) -> Figure | None:
    """Return the histogram of a target property, the range asked for shaded; ``None`` without values."""
    found = {
        entry.number: [
            c.properties[target.name]
            for c in relaxed(report.candidates)
            if c.round == entry.number and target.name in c.properties
        ]
        for entry in report.rounds
    }
    return property_bars(found, target)


def property_bars(found: dict[int, list[float]], target: PropertyTarget) -> Figure | None:
    """Return the histogram of values by round, the range asked for shaded; ``None`` without values."""
    everything = [value for values in found.values() for value in values]
    if not everything:
        return None
    low, high = _span(everything, target)
    edges = np.linspace(low, high, _BINS + 1)
    traces = _histograms(found, edges, x_label=unit(target.name))
    shapes, notes = [], []
    if target.has_range:
        start = low if target.min is None else target.min
        end = high if target.max is None else target.max
        band = {"type": "rect", "x0": start, "x1": end, "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
        shapes.append({**band, "fillcolor": "var(--band)", "line": {"width": 0}})
        place = {"x": 0.5 * (start + end), "yref": "paper", "y": 1, "yanchor": "bottom", "showarrow": False}
        notes.append({**place, "text": "asked for", "font": {"color": "var(--good)"}})
    return finish(
        traces,
        xaxis=axis(f"{TITLES[target.name].lower()} ({unit(target.name)})", range=[low, high]),
        yaxis=axis("relaxed candidates", **_counting(traces)),
        height=340,
        margin={"l": 10, "r": 30, "t": 64, "b": 48},
        barmode="stack",
        bargap=0.04,
        shapes=shapes,
        annotations=notes,
        showlegend=len(found) > 1,
        legend={"orientation": "h", "y": 1.08, "x": 1, "xanchor": "right", "yanchor": "bottom", "traceorder": "normal"},
    )


def space_group_figure(report: CampaignReport) -> Figure | None:
    """Return space groups of converged candidates as drawn and after relaxation; ``None`` without any."""
    drawn, after, _ = space_group_counts(report)
    return space_group_bars({"as drawn": drawn, "after relaxation": after}) if after else None


def space_group_bars(series: Mapping[str, Counter[int]]) -> Figure:
    """Return the bars of one or two counts of space groups by their names."""
    import plotly.graph_objects as go

    both: Counter[int] = sum(series.values(), Counter())
    shown = sorted(both, key=lambda n: (-both[n], n))[:MAX_SPACE_GROUPS]
    shown.sort()
    names = [f"{plotly_space_group(number)} ({number})" for number in shown]
    colours = ("var(--faint)", "var(--round-0)")[-len(series) :]
    traces = []
    for (label, counts), colour in zip(series.items(), colours, strict=True):
        values = [counts[number] for number in shown]
        rest = counts.total() - sum(values)
        labels = [*names, "others"] if len(both) > len(shown) else names
        traces.append(
            go.Bar(
                y=labels,
                x=[*values, rest][: len(labels)],
                name=label,
                orientation="h",
                marker={"color": colour},
                hovertemplate="%{y}: %{x}<extra>" + label + "</extra>",
            )
        )
    return finish(
        traces,
        xaxis=axis("converged candidates", tickformat="d"),
        yaxis=axis("", autorange="reversed"),
        height=130 + 34 * len(traces[0].y),
        barmode="group",
        bargap=0.3,
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )


def _span(values: Sequence[float], target: PropertyTarget) -> tuple[float, float]:
    """Return the axis range that shows all values and the ends of the range asked for."""
    ends = [end for end in (target.min, target.max) if end is not None]
    low, high = min([*values, *ends]), max([*values, *ends])
    margin = 0.04 * (high - low) or 0.5 * PROPERTY_KINDS[PropertyName(target.name)].scale
    return low - margin, high + margin


def _counting(traces: Sequence[Any]) -> dict[str, Any]:
    """Return the ticks of an axis that counts stacked bars: whole numbers only."""
    highest = max(sum(column) for column in zip(*(trace.y for trace in traces), strict=True))
    return {"tick0": 0, "dtick": max(1, math.ceil(highest / 6))}


def _histograms(found: dict[int, list[float]], edges: np.ndarray[Any, Any], *, x_label: str) -> list[Any]:
    """Return one bar trace a round; values beyond the edges are counted in the outermost bins."""
    counts = {n: np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)[0] for n, values in found.items()}
    return histogram_bars(counts, edges, x_label=x_label)


def histogram_bars(
    counts: Mapping[int, np.ndarray[Any, Any]], edges: np.ndarray[Any, Any], *, x_label: str
) -> list[Any]:
    """Return one bar trace a round of counts in equally wide bins."""
    import plotly.graph_objects as go

    centres, width = 0.5 * (edges[1:] + edges[:-1]), float(edges[1] - edges[0])
    names = [f"{low:.3g} to {high:.3g} {x_label}" for low, high in pairwise(edges)]
    traces = []
    for number, heights in counts.items():
        traces.append(
            go.Bar(
                x=np.round(centres, 6).tolist(),
                y=heights.tolist(),
                width=width * 0.94,
                name=round_name(number),
                marker={"color": round_colour(number)},
                customdata=names,
                hovertemplate="%{y} with %{customdata}<extra>" + round_name(number) + "</extra>",
            )
        )
    return traces
