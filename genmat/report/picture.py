"""Pictures of crystals as SVG: a still one, and the numbers by which the page's script turns it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup, escape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genmat.report.scene import Scene

WIDTH = 320.0
"""Longer side of a picture, user units."""

PADDING = 8.0

BOND_WIDTH = 0.22
"""Width of a stick, Å."""

_VIEW = np.radians([-24.0, -68.0])
"""Turn about the vertical and tilt towards the reader, rad."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """A piece of a picture with its depth; the nearer, the larger."""

    depth: float
    markup: str


@dataclass(frozen=True, slots=True)
class View:
    """Parallel projection of a scene that fits it into a picture.

    Parameters
    ----------
    rotation
        Turns row vectors into the view: x right, y up, z towards the reader; shape (3, 3).
    scale
        User units per Å.
    size
        Width and height of the picture, user units.
    origin
        Where the centre of the cell is, user units from the upper left corner.
    """

    rotation: NDArray[np.float64]
    scale: float
    size: tuple[float, float]
    origin: tuple[float, float]

    @classmethod
    def of(cls, scene: Scene) -> View:
        """Return the view that shows all of a scene."""
        rotation = _rotation()
        turned, corners = scene.positions @ rotation, scene.edges @ rotation
        radii = scene.radii[:, None]
        low = np.minimum((turned[:, :2] - radii).min(axis=0), corners[..., :2].min(axis=(0, 1)))
        high = np.maximum((turned[:, :2] + radii).max(axis=0), corners[..., :2].max(axis=(0, 1)))
        scale = (WIDTH - 2 * PADDING) / float((high - low).max())
        width, height = (high - low) * scale + 2 * PADDING
        left, bottom = PADDING - low * scale
        return cls(rotation, scale, (float(width), float(height)), (float(left), float(height - bottom)))

    def place(self, turned: NDArray[np.float64]) -> tuple[float, float]:
        """Return where a turned point lies in the picture."""
        x, y = turned[:2] * self.scale
        return round(float(self.origin[0] + x), 1), round(float(self.origin[1] - y), 1)


def element_colour(symbol: str) -> str:
    """Return the colour of an element in Jmol, as ``#rrggbb``."""
    from ase.data import atomic_numbers
    from ase.data.colors import jmol_colors

    red, green, blue = (round(255 * float(value)) for value in jmol_colors[atomic_numbers[symbol]])
    return f"#{red:02x}{green:02x}{blue:02x}"


def svg(scene: Scene, *, title: str, identifier: str) -> Markup:
    """Return a still picture: atoms shaded, far things behind near ones.

    Parameters
    ----------
    scene
        What to show.
    title
        What it is, for those who do not see it.
    identifier
        Distinguishes the picture from others on the page.
    """
    view = View.of(scene)
    turned = scene.positions @ view.rotation
    shapes = []
    for start, end in scene.edges @ view.rotation:
        x1, y1, x2, y2 = *view.place(start), *view.place(end)
        line = f'<line class="edge" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'
        shapes.append(_Shape(float(min(start[2], end[2])) - 0.5, line))
    for i, j in scene.bonds:
        middle = 0.5 * (turned[i] + turned[j])
        for atom in (i, j):
            depth = float(0.5 * (turned[atom][2] + middle[2]))
            colour = element_colour(scene.symbols[atom])
            shapes.append(
                _Shape(depth, _stick(view.place(turned[atom]), view.place(middle), colour, BOND_WIDTH * view.scale))
            )
    for symbol, point, radius in zip(scene.symbols, turned, scene.radii, strict=True):
        x, y = view.place(point)
        fill = f"url(#{identifier}-{symbol})"
        circle = f'<circle class="atom" cx="{x}" cy="{y}" r="{radius * view.scale:.1f}" fill="{fill}"/>'
        shapes.append(_Shape(float(point[2] + 0.3 * radius), circle))
    gradients = "".join(_gradient(f"{identifier}-{symbol}", element_colour(symbol)) for symbol in scene.elements)
    body = "".join(shape.markup for shape in sorted(shapes, key=lambda shape: shape.depth))
    head = f'<svg class="crystal" viewBox="0 0 {view.size[0]:.0f} {view.size[1]:.0f}" role="img" '
    head += f'tabindex="0" data-crystal="{escape(identifier)}" aria-label="{escape(title)}">'
    return Markup(f"{head}<defs>{gradients}</defs><g>{body}</g></svg>")  # noqa: S704 - numbers and element symbols


def turnable(scene: Scene) -> dict[str, Any]:
    """Return what the page's script needs to draw a scene from any side; lengths in Å."""
    view = View.of(scene)
    return {
        "rotation": np.round(view.rotation, 6).tolist(),
        "scale": round(view.scale, 4),
        "origin": [round(value, 2) for value in view.origin],
        "positions": np.round(scene.positions, 3).tolist(),
        "radii": np.round(scene.radii, 3).tolist(),
        "symbols": list(scene.symbols),
        "colours": {symbol: element_colour(symbol) for symbol in scene.elements},
        "bonds": [list(pair) for pair in scene.bonds],
        "edges": np.round(scene.edges, 3).tolist(),
        "bond_width": BOND_WIDTH,
    }


def _rotation() -> NDArray[np.float64]:
    turn, tilt = _VIEW
    about_z = np.array([[np.cos(turn), np.sin(turn), 0], [-np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]])
    about_x = np.array([[1.0, 0, 0], [0, np.cos(tilt), np.sin(tilt)], [0, -np.sin(tilt), np.cos(tilt)]])
    result: NDArray[np.float64] = about_z @ about_x
    return result


def _stick(start: tuple[float, float], end: tuple[float, float], colour: str, width: float) -> str:
    common = f'x1="{start[0]}" y1="{start[1]}" x2="{end[0]}" y2="{end[1]}"'
    outline = f'<line class="outline" {common} stroke-width="{width + 1.6:.1f}"/>'
    return f'{outline}<line {common} stroke="{colour}" stroke-width="{width:.1f}"/>'


def _gradient(identifier: str, colour: str) -> str:
    light, dark = _mixed(colour, 255, 0.65), _mixed(colour, 0, 0.35)
    stops = f'<stop offset="0" stop-color="{light}"/><stop offset=".45" stop-color="{colour}"/>'
    end = f'<stop offset="1" stop-color="{dark}"/>'
    return f'<radialGradient id="{identifier}" cx=".36" cy=".32" r=".75">{stops}{end}</radialGradient>'


def _mixed(colour: str, other: int, share: float) -> str:
    """Return a colour mixed with a share of a grey of brightness ``other``."""
    channels = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return "#" + "".join(f"{round((1 - share) * value + share * other):02x}" for value in channels)
