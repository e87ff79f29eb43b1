"""Magpie's descriptors of a crystal, for the baseline that property heads have to beat.

Ward et al., npj Comput. Mater. 2, 16028 (2016), doi:10.1038/npjcompumats.2016.28: six statistics over the composition
of elemental properties, stoichiometric norms and the share of valence orbitals; here with the density and symmetry
descriptors that go with them where a structure is known. matminer, which computes the original ones, demands an older
pandas than this project's pins; elemental data are therefore pymatgen's. Of Magpie's 22 elemental properties that
leaves out the ground state's band gap, moment and space group, which pymatgen lacks, and adds nine that it has.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core.periodic_table import Element

from genmat.representation import space_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genmat.representation import Crystal

    FloatArray = NDArray[np.float64]

TABULATED = (
    "Z",
    "mendeleev_no",
    "atomic_mass",
    "melting_point",
    "group",
    "row",
    "atomic_radius",
    "X",
    "molar_volume",
    "atomic_radius_calculated",
    "van_der_waals_radius",
    "average_ionic_radius",
    "ionization_energy",
    "electron_affinity",
    "boiling_point",
    "bulk_modulus",
    "thermal_conductivity",
    "coefficient_of_linear_thermal_expansion",
)
"""Properties that pymatgen's elements have; the first nine are Magpie's."""

SHELLS = {"s": 2, "p": 6, "d": 10, "f": 14}
NORMS = (2, 3, 5, 7, 10)
SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")
_HEAVIEST = 103
_AVOGADRO_CM3 = 0.602214
"""Atoms per mol, times cm³ per Å³."""


@cache
def elemental() -> FloatArray:
    """Return the elements' properties, shape (104, 28), NaN where nobody measured one."""
    table = np.full((_HEAVIEST + 1, len(TABULATED) + 2 * (len(SHELLS) + 1)), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(1, _HEAVIEST + 1):
            element = Element.from_Z(number)
            values = [getattr(element, name, None) for name in TABULATED]
            table[number, : len(TABULATED)] = [np.nan if value is None else float(value) for value in values]
            filled = valence(element)
            unfilled = [SHELLS[shell] - count if count else 0 for shell, count in filled.items()]
            counts = list(filled.values())
            table[number, len(TABULATED) :] = [*counts, sum(counts), *unfilled, sum(unfilled)]
    return table


def valence(element: Element) -> dict[str, int]:
    """Return the electrons of the valence shells; full d and f shells of the p block are core."""
    shells = [(int(n), kind, count) for n, kind, count in element.full_electronic_structure]
    outer = max(n for n, _, _ in shells)
    found = dict.fromkeys(SHELLS, 0)
    for n, kind, count in shells:
        offset = {"s": 0, "p": 0, "d": 1, "f": 2}[kind]
        if n == outer - offset:
            found[kind] = count
    return found


def describe(crystals: Sequence[Crystal]) -> FloatArray:
    """Return the descriptors of crystals, shape (n, 204)."""
    return np.array([[*composition(crystal), *structure(crystal)] for crystal in crystals])


def composition(crystal: Crystal) -> list[float]:
    """Return the statistics of the elements, stoichiometric norms, shares of the orbitals and ionic characters."""
    counts = crystal.element_counts
    numbers = np.array([Element(symbol).Z for symbol in counts])
    x = np.array(list(counts.values()), dtype=float)
    x /= x.sum()
    values = elemental()[np.minimum(numbers, _HEAVIEST)]  # (elements, properties)
    known = ~np.isnan(values)
    weights = np.where(known, x[:, None], 0.0)
    weights /= np.maximum(weights.sum(axis=0), 1e-12)
    filled = np.where(known, values, 0.0)
    mean = (weights * filled).sum(axis=0)
    deviation = (weights * np.abs(filled - mean)).sum(axis=0)
    low = np.where(known, values, np.inf).min(axis=0)
    high = np.where(known, values, -np.inf).max(axis=0)
    statistics = np.array([mean, deviation, high - low, low, high, filled[x.argmax()]])
    statistics[:, ~known.any(axis=0)] = np.nan
    orbitals = mean[len(TABULATED) : len(TABULATED) + len(SHELLS)]
    chi = filled[:, TABULATED.index("X")]
    ionic = 1.0 - np.exp(-0.25 * (chi[:, None] - chi[None]) ** 2)
    return [
        *statistics.T.ravel(),
        float(len(x)),
        *(float((x**p).sum() ** (1.0 / p)) for p in NORMS),
        *(orbitals / max(orbitals.sum(), 1e-12)),
        float(ionic.max()),
        float(x @ ionic @ x),
    ]


def structure(crystal: Crystal) -> list[float]:
    """Return density, volume per atom, packing fraction, cell and symmetry."""
    counts = crystal.element_counts
    elements = [Element(symbol) for symbol in counts]
    amounts = np.array(list(counts.values()), dtype=float)
    radii = np.array([float(element.atomic_radius or 1.5) for element in elements])
    mass = float(amounts @ [float(element.atomic_mass) for element in elements])
    spheres = float(amounts @ (4.0 / 3.0 * np.pi * radii**3))
    ideal = float(amounts @ [float(element.molar_volume or 10.0) for element in elements]) / _AVOGADRO_CM3
    group = space_group(crystal.number)
    a, b, c, *angles = crystal.lattice
    return [
        mass / crystal.volume / _AVOGADRO_CM3,
        crystal.volume / amounts.sum(),
        spheres / crystal.volume,
        crystal.volume / ideal,
        amounts.sum(),
        float(crystal.number),
        float(SYSTEMS.index(group.crystal_system)),
        float(max(position.multiplicity for position in group.positions.values())),
        float(len(crystal.orbits)),
        float(crystal.degrees_of_freedom),
        max(a, b, c) / min(a, b, c),
        *map(float, angles),
    ]
