"""Figures of a campaign from counts; bars, hulls and colours are those of the report."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from genmat.campaign import PropertyName
from genmat.campaign.elements import check_element
from genmat.dashboard.rendering import property_title
from genmat.database.statistics import BIN, funnel_of
from genmat.errors import InputError
from genmat.report import figures
from genmat.report.hull_figures import hull_figure
from genmat.report.outcome import STEPS, ElementOutcome, FunnelStep, ReasonCount
from genmat.report.words import TITLES, plotly_formula, plotly_text, stage_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from genmat.dashboard.board import Board
    from genmat.database.documents import CampaignDocument
    from genmat.report.figures import Figure

MAX_HULL_ELEMENTS = 4
PARITIES = ("energy_above_hull", "formation_energy_per_atom", "volume_per_atom")
"""Properties whose values by the potential and by DFT are compared."""
OUTLIERS = 6
"""Largest differences, which are named."""
FEW = 6
"""Counts below which an axis of counts has a tick at each."""
_WIDTH, _ROWS = 18, 9
_STEP_NAMES = {stage.value: name for name, stage in STEPS}


def titled(figure: Figure, title: str) -> Figure:
    """Return a figure under its title, which pictures of it carry too."""
    layout = figure["layout"]
    layout["title"] = {"text": title, "x": 0, "xref": "container", "xanchor": "left", "font": {"size": 15}}
    layout["title"] |= {"pad": {"l": 8, "t": 8}, "y": 1, "yanchor": "top"}
    margin = {"l": 10, "r": 30, "t": 44, "b": 48, **layout.get("margin", {})}
    layout["margin"] = {**margin, "t": max(margin["t"], 44) + 30}
    if "height" in layout:
        layout["height"] += 30
    return figure


def campaign_figure(board: Board, document: CampaignDocument, name: str) -> Figure | None:
    """Return a figure of a campaign by name; ``None`` if there is nothing to show yet.

    Raises
    ------
    InputError
        If there is no figure of that name.
    """
    if name in FIGURES:
        title, make = FIGURES[name]
        figure = make(board, document)
        return None if figure is None else titled(figure, title)
    kind, _, rest = name.partition("-")
    if kind == "property" and rest in set(PropertyName):
        return _property(board, document, PropertyName(rest))
    if kind == "parity" and rest in PARITIES:
        return _parity(board, document, rest)
    if kind == "hull":
        return hull(board, document, rest)
    msg = f"no figure {name!r}, expected one of {', '.join(FIGURES)}, property-NAME, hull-Li-O"
    raise InputError(msg)


def _numbers(document: CampaignDocument) -> list[int]:
    return [state.round for state in document.rounds]


def _funnel(board: Board, document: CampaignDocument) -> Figure | None:
    rounds, ends = _numbers(document), board.ends(document.id)
    if not ends or not rounds:
        return None
    by_round = {number: {s.stage: s for s in funnel_of(ends, round_number=number)} for number in rounds}
    drawn = tuple(sum(end.count for end in ends if end.round == number) for number in rounds)
    steps = [FunnelStep("draws", drawn)]
    for counts in funnel_of(ends):
        passed = tuple(
            by_round[number][counts.stage].passed if counts.stage in by_round[number] else 0 for number in rounds
        )
        steps.append(FunnelStep(_STEP_NAMES.get(counts.stage, stage_text(counts.stage).lower()), passed))
    return figures.funnel_bars(steps, rounds)


def _reasons(board: Board, document: CampaignDocument) -> Figure | None:
    rounds = _numbers(document)
    counts: dict[tuple[str, str], Counter[int]] = {}
    for end in board.ends(document.id):
        if end.status == "rejected":
            counts.setdefault((end.stage, end.reason), Counter())[end.round] += end.count
    rows = [ReasonCount(*key, tuple(count[number] for number in rounds)) for key, count in counts.items()]
    rows.sort(key=lambda row: (-row.total, row.reason))
    return figures.reason_bars(rows, rounds) if rows else None


def _rounds(board: Board, document: CampaignDocument) -> Figure | None:
    rounds = board.rounds(document)
    return figures.rate_bars(rounds) if rounds else None


def _energies(board: Board, document: CampaignDocument) -> Figure | None:
    found, config = board.energies(document.id), board.config(document)
    if not found:
        return None
    last = math.ceil(figures.MAX_ENERGY / BIN)
    # A few energies that are too low to be true shall not squeeze the others.
    first = max(-25, min(-1, *(min(bins) for bins in found.values())))
    edges = np.round(np.arange(first, last + 1) * BIN, 6)
    counts = {}
    for number in _numbers(document):
        heights = np.zeros(last - first, dtype=int)
        for place, count in found.get(number, {}).items():
            heights[min(max(place, first), last - 1) - first] += count
        counts[number] = heights
    tolerance = 0.0 if config is None else config.screen.hull_tolerance
    return figures.energy_bars(figures.histogram_bars(counts, edges, x_label="eV/atom"), tolerance=tolerance)


def _property(board: Board, document: CampaignDocument, name: PropertyName) -> Figure | None:
    config = board.config(document)
    targets = [] if config is None else [item for item in config.target.properties if item.name is name]
    if not targets:
        return None
    found: dict[int, list[float]] = {number: [] for number in _numbers(document)}
    for entry in board.relaxed(document.id):
        if name.value in entry.properties and entry.round in found:
            found[entry.round].append(entry.properties[name.value])
    figure = figures.property_bars(found, targets[0])
    return None if figure is None else titled(figure, f"{TITLES[name]} of relaxed candidates")


def _space_groups(board: Board, document: CampaignDocument) -> Figure | None:
    counts = Counter(e.space_group_number for e in board.relaxed(document.id) if e.space_group_number is not None)
    if not counts:
        return None
    figure = figures.space_group_bars({"after relaxation": counts})
    if max(counts.values()) < FEW:
        # Between whole numbers of candidates there is nothing.
        figure["layout"]["xaxis"]["dtick"] = 1
    return figure


def outcomes(board: Board, document: CampaignDocument) -> dict[str, ElementOutcome]:
    """Return for each element of a relaxed candidate how many were relaxed and accepted."""
    tried: Counter[str] = Counter()
    good: Counter[str] = Counter()
    for entry in board.relaxed(document.id):
        tried.update(entry.elements)
        if entry.status == "accepted":
            good.update(entry.elements)
    return {symbol: ElementOutcome(symbol, tried[symbol], good[symbol]) for symbol in sorted(tried)}


def _elements(board: Board, document: CampaignDocument) -> Figure | None:
    import plotly.graph_objects as go
    from pymatgen.core.periodic_table import Element

    found = outcomes(board, document)
    if not found:
        return None
    shares: list[list[float | None]] = [[None] * _WIDTH for _ in range(_ROWS)]
    hover = [[""] * _WIDTH for _ in range(_ROWS)]
    notes = []
    for z in range(1, 104):
        element = Element.from_Z(z)
        row, column = element.row - 1, element.group - 1
        if 57 <= z <= 71 or 89 <= z <= 103:
            row, column = (7, z - 55) if z <= 71 else (8, z - 87)
        outcome = found.get(element.symbol)
        seen = outcome is not None and outcome.relaxed > 0
        if outcome is not None and seen:
            shares[row][column] = 100.0 * outcome.accepted / outcome.relaxed
            hover[row][column] = f"{element.symbol}: {outcome.accepted} of {outcome.relaxed} accepted"
        strong = shares[row][column] is not None and (shares[row][column] or 0.0) > 55.0
        colour = "var(--muted)" if not seen else "var(--paper)" if strong else "var(--ink)"
        font = {"size": 11, "color": colour}
        notes.append({"x": column, "y": row, "text": element.symbol, "showarrow": False, "font": font})
    heat = go.Heatmap(
        z=shares,
        text=hover,
        hovertemplate="%{text}<extra></extra>",
        hoverongaps=False,
        xgap=2,
        ygap=2,
        zmin=0,
        zmax=100,
        colorscale=[[0, "var(--scale-low)"], [1, "var(--scale-high)"]],
        colorbar={
            "title": {"text": "accepted of relaxed (%)", "side": "right"},
            "thickness": 10,
            "outlinewidth": 0,
            "len": 0.9,
        },
    )
    quiet = {"showgrid": False, "zeroline": False, "showticklabels": False, "ticks": ""}
    return figures.finish(
        [heat],
        xaxis=figures.axis("group", **quiet),
        yaxis=figures.axis("period", autorange="reversed", **quiet),
        height=380,
        annotations=notes,
    )


def _cost(board: Board, document: CampaignDocument) -> Figure | None:
    import plotly.graph_objects as go

    work = [entry for entry in board.work(document.id) if entry.hours > 0.0]
    if not work:
        return None
    bar = go.Bar(
        y=[entry.stage for entry in work],
        x=[round(entry.hours, 5) for entry in work],
        orientation="h",
        marker={"color": "var(--round-0)"},
        customdata=[f"{entry.attempts} attempts, {entry.candidates} candidates" for entry in work],
        hovertemplate="%{y}: %{x:.3g} h, %{customdata}<extra></extra>",
    )
    return figures.finish(
        [bar],
        xaxis=figures.axis("time of all attempts (h)", rangemode="tozero"),
        yaxis=figures.axis("kind of work", autorange="reversed"),
        height=150 + 44 * len(work),
        showlegend=False,
    )


def _parity(board: Board, document: CampaignDocument, name: str) -> Figure | None:
    import plotly.graph_objects as go

    pairs = board.store.statistics.pairs(document.id, name)
    if not pairs:
        return None
    far = sorted(pairs, key=lambda pair: -abs(pair.computed - pair.screened))[:OUTLIERS]
    ends = [value for pair in pairs for value in (pair.screened, pair.computed)]
    low, high = min(ends), max(ends)
    points = go.Scatter(
        x=[round(pair.computed, 5) for pair in pairs],
        y=[round(pair.screened, 5) for pair in pairs],
        mode="markers+text",
        text=[plotly_formula(pair.formula) if pair in far else "" for pair in pairs],
        textposition="top center",
        marker={"size": 8, "color": "var(--round-0)"},
        hovertext=[f"{plotly_formula(pair.formula)}, {plotly_text(pair.candidate_id[:12])}" for pair in pairs],
        hovertemplate="%{hovertext}<br>DFT %{x:.3f}, potential %{y:.3f}<extra></extra>",
        name="candidates",
    )
    line = {"color": "var(--muted)", "width": 1, "dash": "dash"}
    same = go.Scatter(x=[low, high], y=[low, high], mode="lines", line=line, hoverinfo="skip", name="equal")
    mean = sum(abs(pair.computed - pair.screened) for pair in pairs) / len(pairs)
    what, unit = property_title(name), pairs[0].unit.replace("^3", "³")
    figure = figures.finish(
        [same, points],
        xaxis=figures.axis(f"{what.lower()}, {plotly_text(pairs[0].fidelity)} ({unit})"),
        yaxis=figures.axis(f"{what.lower()}, potential ({unit})"),
        height=420,
        showlegend=False,
    )
    return titled(figure, f"{what}: potential against DFT, mean difference {mean:.3g} {unit}")


def check_system(text: str) -> tuple[str, ...]:
    """Return the elements of a chemical system such as ``Li-O``.

    Raises
    ------
    InputError
        If it names none, one, too many, or something that is no element.
    """
    try:
        symbols = tuple(sorted({check_element(part) for part in text.split("-")}))
    except ValueError as err:
        msg = f"chemical system {text!r}: {err}"
        raise InputError(msg) from err
    if not 2 <= len(symbols) <= MAX_HULL_ELEMENTS:
        msg = f"chemical system {text!r} has {len(symbols)} elements, expected 2 to {MAX_HULL_ELEMENTS}, such as Li-O"
        raise InputError(msg)
    return symbols


def hull(board: Board, document: CampaignDocument, system: str) -> Figure | None:
    """Return the hull diagram of a chemical system with a campaign's accepted candidates.

    Raises
    ------
    InputError
        If the system is none.
    """
    symbols = check_system(system)
    found = board.hull_system(document, symbols)
    if found is None:
        return None
    if len(symbols) == MAX_HULL_ELEMENTS:
        from genmat.dashboard.tetrahedron import tetrahedron

        return titled(tetrahedron(found), f"Hull of {'–'.join(symbols)}")
    figure = hull_figure(found)
    return None if figure is None else titled(figure, f"Hull of {'–'.join(symbols)}")


FIGURES: dict[str, tuple[str, Callable[[Board, CampaignDocument], Figure | None]]] = {
    "funnel": ("Candidates left after each stage", _funnel),
    "reasons": ("Candidates that fell, by reason", _reasons),
    "rounds": ("Success rates by round, 95 % intervals", _rounds),
    "energies": ("Energy above hull of relaxed candidates", _energies),
    "space-groups": ("Space groups of relaxed candidates", _space_groups),
    "elements": ("Accepted share of relaxed candidates by element", _elements),
    "cost": ("Time spent by kind of work", _cost),
}
"""Title and maker of the figures that every campaign has."""


def names(document: CampaignDocument, board: Board) -> Iterable[str]:
    """Return the names of a campaign's histograms of target properties."""
    config = board.config(document)
    for item in () if config is None else config.target.properties:
        if item.name is not PropertyName.ENERGY_ABOVE_HULL:
            yield f"property-{item.name.value}"
