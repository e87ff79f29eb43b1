"""Elemental crystals for sources that lack some: a hull needs every corner.

Structure types and lattice parameters at or below room temperature: C. Kittel, Introduction to Solid State Physics, 8th
ed. (Wiley, 2005), chapter 1, table 3; Nd: R. W. G. Wyckoff, Crystal Structures, 2nd ed., vol. 1 (Interscience, 1963),
p. 11. They are starting points: the potential relaxes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core.lattice import Lattice

from genmat.reference.sources.structure import SourceCrystal

if TYPE_CHECKING:
    from collections.abc import Iterable

_THIRD = 1 / 3

_FACE_CENTRED = {"Ne": 4.46, "Pd": 3.89, "Pb": 4.95}
"""Cubic lattice parameter, Å."""

_HEXAGONAL = {
    "Ru": (2.71, 4.28, ((_THIRD, 2 * _THIRD, 0.25), (2 * _THIRD, _THIRD, 0.75))),
    "Nd": (3.657, 11.799, ((0, 0, 0), (0, 0, 0.5), (_THIRD, 2 * _THIRD, 0.25), (2 * _THIRD, _THIRD, 0.75))),
}
"""a and c (Å) and fractional coordinates: close packing (Ru) and double close packing (Nd)."""


def elemental_crystals(symbols: Iterable[str]) -> list[SourceCrystal]:
    """Return the ground states of those elements that are tabulated here, ids such as ``element-Pd``."""
    crystals = []
    for symbol in sorted(symbols):
        if symbol in _FACE_CENTRED:
            a = _FACE_CENTRED[symbol] / 2
            crystals.append(_crystal(symbol, np.array([[0, a, a], [a, 0, a], [a, a, 0]]), ((0, 0, 0),)))
        elif symbol in _HEXAGONAL:
            a, c, sites = _HEXAGONAL[symbol]
            crystals.append(_crystal(symbol, Lattice.hexagonal(a, c).matrix, sites))
    return crystals


def _crystal(symbol: str, lattice: np.ndarray, sites: tuple[tuple[float, float, float], ...]) -> SourceCrystal:
    labels = {"energy_above_hull": 0.0, "formation_energy_per_atom": 0.0}
    return SourceCrystal(f"element-{symbol}", (symbol,) * len(sites), lattice, np.array(sites, dtype=float), labels)
