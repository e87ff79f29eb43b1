"""The page: one HTML file that needs nothing else, neither network nor other files."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from genmat.campaign import PropertyName
from genmat.report import figures, words
from genmat.report.hull_figures import hull_figure, stable
from genmat.report.io import read_plotly_script, read_template
from genmat.report.outcome import (
    compare_rounds,
    difference_interval,
    element_outcomes,
    funnel,
    reasons,
    space_group_counts,
    summaries,
)
from genmat.report.picture import element_colour, svg, turnable
from genmat.report.scene import scene
from genmat.report.templating import template_environment
from genmat.report.validation_figures import compared, parity_figure, residual_figure
from genmat.screening.ssun import engine_ssun_words
from genmat.screening.verdict import Reason
from genmat.validation.summary import Deviation, summarise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Environment
    from pymatgen.core.structure import Structure

    from genmat.report.content import CampaignReport, ReportedCandidate
    from genmat.report.figures import Figure
    from genmat.report.outcome import ElementOutcome

N_BEST = 20
"""Candidates in the table of the best."""

N_PICTURES = 6
"""Candidates whose structures are shown."""

_COLUMNS = (
    PropertyName.ENERGY_ABOVE_HULL,
    PropertyName.FORMATION_ENERGY_PER_ATOM,
    PropertyName.VOLUME_PER_ATOM,
    PropertyName.DENSITY,
    PropertyName.BULK_MODULUS,
)


@dataclass(frozen=True, slots=True)
class Picture:
    """A structure to look at: a still picture, and the numbers by which the script turns it."""

    name: str
    candidate: ReportedCandidate
    still: Markup
    numbers: Figure
    caption: str
    legend: list[tuple[str, str]]


def render(report: CampaignReport) -> str:
    """Return the page of a campaign.

    Parameters
    ----------
    report
        Everything that it shows; all of it is escaped.

    Returns
    -------
    str
        HTML5 with styles, scripts and data inside; its content security policy allows no connection at all.
    """
    best = report.accepted[:N_BEST]
    plots = _plots(report)
    pictures = [_picture(c, c.structure) for c in best[:N_PICTURES] if c.structure is not None]
    plots |= {picture.name: picture.numbers for picture in pictures}
    scripts = {"plotly": read_plotly_script(), "page": read_template("theme.js") + read_template("report.js")}
    drawn, _, kept = space_group_counts(report)
    context: dict[str, Any] = {
        "report": report,
        "campaign": report.campaign,
        "target": words.target_words(report.campaign),
        "best": best,
        "columns": _columns(report, best),
        "plots": {name: embedded_json(plot) for name, plot in plots.items()},
        "pictures": pictures,
        "funnel": funnel(report),
        "reasons": reasons(report),
        "rounds": summaries(report),
        "comparison": compare_rounds(summaries(report)),
        "elements": _periodic_table(element_outcomes(report)),
        "kept": (kept, drawn.total()),
        "ranges": [item for item in report.campaign.target.properties if f"property-{item.name.value}" in plots],
        "definition": next((r.definition for r in reversed(report.rounds) if r.definition is not None), None),
        "glossary": _glossary(report),
        "deviations": summarise(Deviation.from_values(c.elements, c.validation) for c in compared(report)),
        "engine_ssun": _engine_ssun(report),
        "learned": _learned(report),
        "scripts": {name: Markup(text) for name, text in scripts.items()},  # noqa: S704 - our own and plotly's
        "script_hashes": [script_hash(text) for text in scripts.values()],
        "style": Markup(read_template("report.css")),  # noqa: S704
    }
    return _environment().get_template("report.html.j2").render(context)


def embedded_json(value: object) -> Markup:
    """Return JSON that can stand inside a script element: nothing in it ends the element or begins a comment."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704


def script_hash(text: str) -> str:
    """Return the source expression by which a content security policy allows an inline script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _environment() -> Environment:
    environment = template_environment(read_template)
    environment.filters |= {
        "unit": words.unit,
        "title_of": words.TITLES.__getitem__,
        "origin": words.origin_words,
        "round_name": figures.round_name,
        "stable": stable,
    }
    environment.globals |= {
        "value": _value,
        "why": words.why_words,
        "difference": difference_interval,
        "max_energy": figures.MAX_ENERGY,
        "decimals": words.DECIMALS,
    }
    return environment


def _plots(report: CampaignReport) -> dict[str, Figure]:
    """Return the figures of a page by name."""
    if not report.rounds:
        return {}
    plots: dict[str, Figure | None] = {
        "funnel": figures.funnel_figure(report),
        "reasons": figures.reasons_figure(report),
        "rounds": figures.rounds_figure(report),
        "weights": figures.weights_figure(report),
        "energies": figures.energy_figure(report),
        "space-groups": figures.space_group_figure(report),
    }
    for item in report.campaign.target.properties:
        if item.name is not PropertyName.ENERGY_ABOVE_HULL:
            plots[f"property-{item.name.value}"] = figures.property_figure(report, item)
    for place, system in enumerate(report.systems):
        plots[f"hull-{place}"] = hull_figure(system)
    plots |= {"parity": parity_figure(report), "residuals": residual_figure(report)}
    return {name: plot for name, plot in plots.items() if plot is not None}


def _engine_ssun(report: CampaignReport) -> list[tuple[str, tuple[int, int], str]]:
    """Return the S.S.U.N. of each validated round by the potential, successes and draws, and by the engine in words."""
    return [
        (figures.round_name(entry.number), entry.ssun["ssun_after"], engine_ssun_words(entry.engine_ssun))
        for entry in report.rounds
        if entry.engine_ssun and "ssun_after" in entry.ssun
    ]


def _learned(report: CampaignReport) -> str:
    """Return what the campaign learned about its potential, in words; empty if nothing was computed."""
    if report.calibration is None or report.campaign.validation is None:
        return ""
    limits = {
        "confirmed": report.campaign.validation.hull_tolerance,
        "tolerance": report.campaign.screen.hull_tolerance,
    }
    return words.learned_words(report.calibration, report.geometry, **limits)


def _columns(report: CampaignReport, best: list[ReportedCandidate]) -> list[PropertyName]:
    """Return the properties that the table shows: those that every campaign has, the others if asked for."""
    asked = report.campaign.target.needed_properties
    return [
        name for name in _COLUMNS if name in asked or any(_value(candidate, name) is not None for candidate in best)
    ]


def _value(candidate: ReportedCandidate, name: PropertyName) -> float | None:
    """Return a property of a candidate, in its unit."""
    if name is PropertyName.ENERGY_ABOVE_HULL and candidate.energy_above_hull is not None:
        return candidate.energy_above_hull
    return candidate.properties.get(name.value)


def _picture(candidate: ReportedCandidate, structure: Structure) -> Picture:
    shown = scene(structure)
    name = f"crystal-{candidate.rank}"
    title = f"{candidate.formula}, candidate {candidate.rank}: conventional cell"
    n_atoms = len(structure)
    caption = f"{words.lattice_words(shown.lattice)}; {n_atoms} atom{'s' if n_atoms > 1 else ''} in the primitive cell"
    legend = [(symbol, element_colour(symbol)) for symbol in shown.elements]
    return Picture(name, candidate, svg(shown, title=title, identifier=name), turnable(shown), caption, legend)


def _periodic_table(outcomes: Mapping[str, ElementOutcome]) -> list[dict[str, Any]]:
    """Return the cells of the periodic table with their places; elements of the f block stand in rows 9 and 10."""
    from pymatgen.core.periodic_table import Element

    shares = {key: item.accepted / item.relaxed for key, item in outcomes.items() if item.relaxed}
    largest = max(shares.values(), default=0.0) or 1.0
    cells = []
    for z in range(1, 104):
        element = Element.from_Z(z)
        row, column = element.row, element.group
        if 57 <= z <= 71 or 89 <= z <= 103:
            row, column = (9, z - 54) if z <= 71 else (10, z - 86)
        cell: dict[str, Any] = {"symbol": element.symbol, "row": row, "column": column}
        cell["outcome"] = outcomes.get(element.symbol)
        cell["share"] = shares.get(element.symbol, 0.0) / largest
        cells.append(cell)
    return cells


def _glossary(report: CampaignReport) -> list[tuple[str, str]]:
    """Return the reasons that occur in the campaign with their meaning."""
    met = {verdict.reason for candidate in report.candidates for verdict in candidate.verdicts}
    return [(reason.value, reason.text) for reason in Reason if reason in met and reason is not Reason.OK]
