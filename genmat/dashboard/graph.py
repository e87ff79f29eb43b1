"""The provenance of a candidate as SVG: what used what, and made what, from left to right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genmat.database.store import Lineage

BOX, GAP, ROW = (152, 44), 20, 56
"""Width and height of a box, space between columns, distance of rows; user units."""


@dataclass(frozen=True, slots=True)
class Node:
    """A document: an activity (rounded) or what it used or made.

    Parameters
    ----------
    id
        Distinguishes it.
    title, subtitle
        Its two lines.
    column
        From 0, left to right.
    link
        Address of its page; empty if it has none.
    is_activity
        Whether it is an activity.
    """

    id: str
    title: str
    subtitle: str
    column: int
    link: str
    is_activity: bool = False


def provenance(lineage: Lineage, *, most_values: int = 8) -> tuple[list[Node], list[tuple[str, str]]]:
    """Return boxes and arrows of a candidate's provenance.

    Parameters
    ----------
    lineage
        The candidate with everything that made it.
    most_values
        Values that are shown.
    """
    candidate = lineage.candidate
    origin = str(candidate.origin.get("template") or candidate.generator)
    nodes = [Node("origin", origin, f"generator {candidate.generator}, seed {candidate.seed}", 0, "")]
    arrows: list[tuple[str, str]] = []
    stages = {activity.id: activity for activity in lineage.activities}
    columns: dict[str, int] = {}
    for structure in sorted(lineage.structures, key=lambda entry: len(entry.parents)):
        columns[structure.id] = 2 + 2 * max((columns.get(p, 0) // 2 for p in structure.parents), default=0)
        subtitle = f"{structure.formula_pretty}, {structure.nsites} atoms, {structure.id[:8]}"
        title = "structure as drawn" if structure.id == candidate.structure_id else "relaxed structure"
        link = f"/api/v1/structures/{quote(structure.id, safe='')}"
        nodes.append(Node(structure.id, title, subtitle, columns[structure.id], link))
        makers = [a for a in stages.values() if structure.id in a.generated and not a.stage.startswith("assess")]
        for activity in makers[:1]:
            key = f"{activity.id}:{structure.id}"
            subtitle = f"{activity.model or f'genmat {activity.code_version}'}, {activity.id[:8]}"
            place = f"/provenance/{quote(activity.id, safe='')}"
            nodes.append(Node(key, activity.stage, subtitle, columns[structure.id] - 1, place, is_activity=True))
            arrows.append((key, structure.id))
            arrows += [(parent, key) for parent in structure.parents if parent in columns] or [("origin", key)]
        if not makers:
            arrows += [(parent, structure.id) for parent in structure.parents] or [("origin", structure.id)]
    last = max(columns.values(), default=0)
    for value in lineage.properties[:most_values]:
        subtitle = f"{value.value:.5g} {value.unit}, {value.fidelity}"
        place = f"/provenance/{quote(value.activity_id, safe='')}" if value.activity_id else ""
        nodes.append(Node(value.id, value.name.replace("_", " "), subtitle, last + 1, place))
        arrows.append((value.structure_id, value.id))
    return nodes, arrows


def svg(nodes: Iterable[Node], arrows: Iterable[tuple[str, str]], *, title: str) -> Markup:
    """Return the drawing; every text in it is escaped."""
    places: dict[str, tuple[float, float]] = {}
    rows: dict[int, int] = {}
    shown = list(nodes)
    for node in shown:
        row = rows.get(node.column, 0)
        rows[node.column] = row + 1
        places[node.id] = (node.column * (BOX[0] + GAP) + 2, row * ROW + 2)
    width = (max(rows, default=0) + 1) * (BOX[0] + GAP) - GAP + 4
    height = max(rows.values(), default=1) * ROW
    head = (
        f'<svg class="graph" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(title)}"><defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z"/></marker></defs>'
    )
    parts = [head]
    for start, end in arrows:
        if start in places and end in places:
            x1, y1 = places[start][0] + BOX[0], places[start][1] + BOX[1] / 2
            x2, y2 = places[end][0], places[end][1] + BOX[1] / 2
            middle = (x1 + x2) / 2
            parts.append(
                f'<path class="arrow" marker-end="url(#tip)" d="M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"/>'
            )
    for node in shown:
        x, y = places[node.id]
        kind, radius = ("activity", 20) if node.is_activity else ("entity", 6)
        box = (
            f'<rect class="{kind}" x="{x}" y="{y}" width="{BOX[0]}" height="{BOX[1]}" rx="{radius}"/>'
            f'<text x="{x + BOX[0] / 2}" y="{y + 18}">{escape(_cut(node.title, 22))}</text>'
            f'<text class="small" x="{x + BOX[0] / 2}" y="{y + 34}">{escape(_cut(node.subtitle, 28))}</text>'
        )
        parts.append(f'<a href="{escape(node.link)}">{box}</a>' if node.link else box)
    return Markup("".join(parts) + "</svg>")  # noqa: S704 - numbers, and texts that were escaped


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "\N{HORIZONTAL ELLIPSIS}"
