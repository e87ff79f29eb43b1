"""Figures of one crystal: atoms in three dimensions, its powder pattern, its relaxation."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from genmat.dashboard.figures import titled
from genmat.report.figures import Figure, axis, finish
from genmat.report.picture import element_colour
from genmat.report.scene import scene

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from pymatgen.core.structure import Structure

    from genmat.report.scene import Scene

MAX_SPHERES = 260
"""Scenes with more atoms show discs instead of spheres."""
MAX_REPEAT = 3
"""Largest supercell, along each axis."""
DIAGONAL = 2.4
"""Diagonal of a scene in plotly's units; its orthographic view shows about as much of the shorter side of a figure."""
WAVELENGTH = "CuKa"
"""Radiation of the simulated powder pattern, λ = 1.5418 Å."""
_SHININESS = {"ambient": 0.55, "diffuse": 0.75, "specular": 0.25, "roughness": 0.6, "fresnel": 0.1}
_FEWEST_CORNERS = 4


def structure_figure(structure: Structure, *, title: str, repeat: int = 1, polyhedra: bool = False) -> Figure:
    """Return the conventional cell of a crystal as a scene to be turned.

    Parameters
    ----------
    structure
        Crystal.
    title
        Title.
    repeat
        Cells along each axis.
    polyhedra
        Whether the neighbours of each metal atom are joined to a polyhedron.
    """
    import plotly.graph_objects as go

    shown = scene(structure, repeat=repeat)
    traces: list[Any] = []
    edges: dict[str, list[float | None]] = {"x": [], "y": [], "z": []}
    for start, end in shown.edges:
        for k, name in enumerate("xyz"):
            edges[name] += [round(float(start[k]), 3), round(float(end[k]), 3), None]
    quiet = {"hoverinfo": "skip", "showlegend": False}
    traces.append(go.Scatter3d(**edges, mode="lines", line={"color": "var(--muted)", "width": 2}, name="cell", **quiet))
    traces += _bonds(shown)
    if polyhedra:
        traces += _polyhedra(shown)
    spheres = len(shown.symbols) <= MAX_SPHERES
    traces += [_spheres(shown, symbol) if spheres else _discs(shown, symbol) for symbol in shown.elements]
    hidden = {"visible": False}
    camera = {"eye": {"x": 1.0, "y": 0.75, "z": 0.5}, "projection": {"type": "orthographic"}}
    figure = titled(
        finish(
            traces,
            scene={
                "xaxis": hidden,
                "yaxis": hidden,
                "zaxis": hidden,
                "aspectmode": "manual",
                "aspectratio": _aspect(shown),
                "camera": camera,
                "dragmode": "orbit",
            },
            height=460,
            legend={"x": 1, "xanchor": "right", "y": 1, "yanchor": "top"},
        ),
        title,
    )
    figure["layout"]["margin"] = {"l": 0, "r": 0, "t": 0, "b": 0}
    return figure


def _aspect(shown: Scene) -> dict[str, float]:
    """Return the sides of the box around a scene; its diagonal fits into a view that is as wide as it is high."""
    atoms = shown.positions
    ends = np.concatenate(
        [atoms - shown.radii[:, None], atoms + shown.radii[:, None], np.reshape(np.array(shown.edges), (-1, 3))]
    )
    sides = np.ptp(ends, axis=0)
    return dict(zip("xyz", np.round(DIAGONAL * sides / np.linalg.norm(sides), 3).tolist(), strict=True))


@cache
def _sphere() -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return corners (42, 3) and faces (80, 3) of an icosahedron whose faces are divided once."""
    golden = (1.0 + np.sqrt(5.0)) / 2.0
    corners = [(0, s, t * golden) for s in (-1, 1) for t in (-1, 1)]
    points = np.array([np.roll(corner, k) for k in range(3) for corner in corners], dtype=float)
    faces = [
        (i, j, k)
        for i in range(12)
        for j in range(i)
        for k in range(j)
        if max(np.linalg.norm(points[a] - points[b]) for a, b in ((i, j), (j, k), (i, k))) < 2.1
    ]
    vertices = [tuple(point) for point in points]
    divided = []
    for face in faces:
        middles = []
        for a, b in ((0, 1), (1, 2), (2, 0)):
            middle = tuple((points[face[a]] + points[face[b]]) / 2.0)
            if middle not in vertices:
                vertices.append(middle)
            middles.append(vertices.index(middle))
        divided += [
            (face[0], middles[0], middles[2]),
            (face[1], middles[1], middles[0]),
            (face[2], middles[2], middles[1]),
            tuple(middles),
        ]
    array = np.array(vertices)
    array /= np.linalg.norm(array, axis=1, keepdims=True)
    # Corners of a face run the same way seen from outside, else it is lit from inside.
    turned = [face if np.linalg.det(array[list(face)]) > 0.0 else face[::-1] for face in divided]
    return array, np.array(turned)


def _spheres(shown: Scene, symbol: str) -> Any:
    import plotly.graph_objects as go

    corners, faces = _sphere()
    rows = [k for k, name in enumerate(shown.symbols) if name == symbol]
    points = np.concatenate([shown.positions[k] + shown.radii[k] * corners for k in rows])
    indices = np.concatenate([faces + place * len(corners) for place in range(len(rows))])
    x, y, z = np.round(points, 2).T.tolist()
    i, j, k = indices.T.tolist()
    return go.Mesh3d(
        x=x,
        y=y,
        z=z,
        i=i,
        j=j,
        k=k,
        color=element_colour(symbol),
        lighting=_SHININESS,
        flatshading=False,
        name=symbol,
        showlegend=True,
        hoverinfo="name",
    )


def _discs(shown: Scene, symbol: str) -> Any:
    import plotly.graph_objects as go

    rows = [k for k, name in enumerate(shown.symbols) if name == symbol]
    x, y, z = np.round(shown.positions[rows], 2).T.tolist()
    marker = {"size": 7, "color": element_colour(symbol), "line": {"width": 1, "color": "var(--ink)"}}
    return go.Scatter3d(x=x, y=y, z=z, mode="markers", marker=marker, name=symbol, hoverinfo="name")


def _bonds(shown: Scene) -> list[Any]:
    """Return the halves of the bonds, each in the colour of its atom."""
    import plotly.graph_objects as go

    halves: dict[str, dict[str, list[float | None]]] = {}
    for pair in shown.bonds:
        middle = shown.positions[list(pair)].mean(axis=0)
        for atom in pair:
            lines = halves.setdefault(shown.symbols[atom], {"x": [], "y": [], "z": []})
            for k, name in enumerate("xyz"):
                lines[name] += [round(float(shown.positions[atom][k]), 2), round(float(middle[k]), 2), None]
    return [
        go.Scatter3d(
            **lines,
            mode="lines",
            line={"color": element_colour(symbol), "width": 7},
            hoverinfo="skip",
            showlegend=False,
            name=f"bonds of {symbol}",
        )
        for symbol, lines in halves.items()
    ]


def _polyhedra(shown: Scene) -> list[Any]:
    """Return the hulls of the bonded neighbours of metal atoms with at least four of them."""
    import plotly.graph_objects as go
    from pymatgen.core.periodic_table import Element
    from scipy.spatial import ConvexHull, QhullError

    neighbours: dict[int, set[int]] = {}
    for i, j in shown.bonds:
        neighbours.setdefault(i, set()).add(j)
        neighbours.setdefault(j, set()).add(i)
    traces = []
    for atom, others in sorted(neighbours.items()):
        symbol = shown.symbols[atom]
        if len(others) < _FEWEST_CORNERS or not Element(symbol).is_metal:
            continue
        points = shown.positions[sorted(others)]
        try:
            faces = ConvexHull(points).simplices
        except QhullError:
            continue
        x, y, z = np.round(points, 2).T.tolist()
        i, j, k = faces.T.tolist()
        options = {"opacity": 0.3, "color": element_colour(symbol), "flatshading": True, "hoverinfo": "skip"}
        traces.append(go.Mesh3d(x=x, y=y, z=z, i=i, j=j, k=k, name=f"polyhedron of {symbol}", **options))
    return traces


def diffraction_figure(structure: Structure, *, title: str) -> Figure:
    """Return the simulated powder X-ray pattern of a crystal, Cu Kα."""
    import plotly.graph_objects as go
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    pattern = XRDCalculator(wavelength=WAVELENGTH).get_pattern(structure, two_theta_range=(5, 90))
    names = [" + ".join("".join(map(str, family["hkl"])) for family in families[:3]) for families in pattern.hkls]
    bar = go.Bar(
        x=np.round(pattern.x, 3).tolist(),
        y=np.round(pattern.y, 2).tolist(),
        width=0.35,
        marker={"color": "var(--round-0)"},
        customdata=names,
        hovertemplate="2θ = %{x:.2f}°, %{y:.0f} %<br>%{customdata}<extra></extra>",
    )
    return titled(
        finish(
            [bar],
            xaxis=axis("2θ (°), Cu Kα", range=[5, 90]),
            yaxis=axis("intensity (% of the strongest)", rangemode="tozero"),
            height=320,
            barmode="overlay",
            showlegend=False,
        ),
        title,
    )


def relaxation_figure(trajectory: Mapping[str, Sequence[float]]) -> Figure | None:
    """Return energy and volume over the steps of a relaxation; ``None`` without steps.

    Parameters
    ----------
    trajectory
        ``energies`` (eV/atom) and ``volumes`` (Å^3/atom) of every step.
    """
    import plotly.graph_objects as go

    energies, volumes = trajectory.get("energies") or (), trajectory.get("volumes") or ()
    if not energies:
        return None
    steps = list(range(len(energies)))
    hover = "step %{x}: %{y:.4f}"
    traces = [
        go.Scatter(
            x=steps,
            y=[round(value, 6) for value in energies],
            name="energy",
            mode="lines+markers",
            marker={"size": 4},
            line={"color": "var(--round-0)", "width": 2},
            hovertemplate=f"{hover} eV/atom<extra></extra>",
        ),
        go.Scatter(
            x=list(range(len(volumes))),
            y=[round(value, 4) for value in volumes],
            name="volume",
            yaxis="y2",
            mode="lines+markers",
            marker={"size": 4, "symbol": "square"},
            line={"color": "var(--round-1)", "width": 2, "dash": "dot"},
            hovertemplate=f"{hover} Å³/atom<extra></extra>",
        ),
    ]
    figure = finish(
        traces,
        xaxis=axis("step"),
        yaxis=axis("energy (eV/atom)", tickformat=".3f"),
        yaxis2={**axis("volume (Å³/atom)", tickformat=".2f"), "overlaying": "y", "side": "right", "showgrid": False},
        height=320,
        legend={"orientation": "h", "y": 1.02, "x": 0},
    )
    return titled(figure, "Relaxation: energy and volume")
