"""Descriptors that enrich x, so that rare elements and positions borrow from common ones.

Three channels: elements (size, electronegativity, valence, place in the periodic table), compositions (statistics of
these) and site environments (what surrounds an atom). Elemental values are those that pymatgen tabulates.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from matscipy.neighbours import neighbour_list
from pymatgen.core.periodic_table import Element

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

N_ATOMIC_NUMBERS = 119
"""Length of arrays that an atomic number indexes; 0 stands for nothing."""

GRAMS_PER_CUBIC_CENTIMETRE = 1.66053906892
"""1 atomic mass unit/Å³ in g/cm³ (CODATA 2022)."""

ELEMENT_DESCRIPTORS = (
    "period",
    "group",
    "electronegativity",
    "atomic_radius",
    "ionic_radius",
    "ionization_energy",
    "electron_affinity",
    "mendeleev_number",
    "min_oxidation_state",
    "max_oxidation_state",
    "s_electrons",
    "p_electrons",
    "d_electrons",
    "f_electrons",
)
"""Columns of :func:`element_descriptors`."""

SHELLS = (1.0, 1.35, 1.8)
"""Centres of the shells of an environment, in units of the sum of two elemental radii."""

SHELL_WIDTH = 0.2
"""Gaussian width of a shell, same unit."""

ENVIRONMENT_CUTOFF = 5.0
"""Å: neighbours beyond are not looked for."""

N_ENVIRONMENT = 3 * len(SHELLS) + 1
"""Numbers that describe an environment."""

_LAST_KNOWN = 103
_UNKNOWN_RADIUS = 1.5
_TABULATED = ("X", "atomic_radius", "average_ionic_radius", "ionization_energy", "electron_affinity", "mendeleev_no")


@cache
def element_descriptors() -> FloatArray:
    """Return the standardised descriptors of the elements, shape (119, 14), rows by atomic number.

    Each column has zero mean and unit variance over the elements that have a value; one that has none gets 0, and so
    does everything beyond lawrencium.
    """
    table = np.full((N_ATOMIC_NUMBERS, len(ELEMENT_DESCRIPTORS)), np.nan)
    for number in range(1, _LAST_KNOWN + 1):
        table[number] = _describe(Element.from_Z(number))
    mean, deviation = np.nanmean(table, axis=0), np.nanstd(table, axis=0)
    standardised = np.nan_to_num((table - mean) / deviation, nan=0.0)
    standardised[0] = 0.0
    standardised.setflags(write=False)
    return standardised


@cache
def element_radii() -> FloatArray:
    """Return atomic radii (Slater) by atomic number, Å, shape (119,)."""
    radii = np.full(N_ATOMIC_NUMBERS, _UNKNOWN_RADIUS)
    for number in range(1, N_ATOMIC_NUMBERS):
        radius = Element.from_Z(number).atomic_radius
        if radius is not None:
            radii[number] = float(radius)
    radii.setflags(write=False)
    return radii


def composition_descriptors(numbers: NDArray[np.int64], amounts: FloatArray) -> FloatArray:
    """Return mean, standard deviation, minimum and maximum of the elements' descriptors, shape (..., 56).

    Parameters
    ----------
    numbers
        Atomic numbers, shape (..., n); 0 pads.
    amounts
        Atoms of each, shape (..., n); 0 where padded.
    """
    values = element_descriptors()[numbers]  # (..., n, 14)
    weights = (amounts / np.maximum(amounts.sum(axis=-1, keepdims=True), 1e-12))[..., None]
    mean = (weights * values).sum(axis=-2)
    spread = np.sqrt(np.maximum((weights * (values - mean[..., None, :]) ** 2).sum(axis=-2), 0.0))
    present = weights > 0
    low = np.where(present, values, np.inf).min(axis=-2)
    high = np.where(present, values, -np.inf).max(axis=-2)
    return np.concatenate([mean, spread, low, high], axis=-1)


def site_environments(lattice: FloatArray, numbers: Sequence[int], frac_coords: FloatArray) -> FloatArray:
    """Return what surrounds each atom, shape (n, 10).

    For each shell s at reduced distance c_s the sum over neighbours j, with u = d / (r_i + r_j),

        n_s = Σ_j exp(-(u - c_s)² / 2 w²)

    and the means, so weighted, of the neighbours' electronegativity and of its difference from the atom's own; last the
    nearest u. Counts are divided by 6, roughly a coordination number.

    Parameters
    ----------
    lattice
        Rows a, b, c in Å, shape (3, 3).
    numbers
        Atomic number of each atom.
    frac_coords
        Fractional coordinates, shape (n, 3).
    """
    kinds = np.asarray(numbers)
    n_atoms = len(kinds)
    i, j, d = neighbour_list(
        "ijd", cell=lattice, pbc=np.ones(3, dtype=bool), positions=frac_coords @ lattice, cutoff=ENVIRONMENT_CUTOFF
    )
    radii = element_radii()[kinds]
    chi = element_descriptors()[kinds, ELEMENT_DESCRIPTORS.index("electronegativity")]
    u = d / (radii[i] + radii[j])
    environment = np.zeros((n_atoms, N_ENVIRONMENT))
    for shell, centre in enumerate(SHELLS):
        weight = np.exp(-0.5 * ((u - centre) / SHELL_WIDTH) ** 2)
        count = np.bincount(i, weight, minlength=n_atoms)
        mean = np.bincount(i, weight * chi[j], minlength=n_atoms) / (count + 0.1)
        environment[:, 3 * shell] = count / 6.0
        environment[:, 3 * shell + 1] = mean
        environment[:, 3 * shell + 2] = mean - chi * count / (count + 0.1)
    nearest = np.full(n_atoms, 2.0)
    np.minimum.at(nearest, i, u)
    environment[:, -1] = nearest
    return environment


def _describe(element: Element) -> list[float]:
    states = element.common_oxidation_states or element.oxidation_states or (0,)
    shells = _valence_shells(element.electronic_structure)
    return [
        float(element.row),
        float(element.group),
        *(_tabulated(element, name) for name in _TABULATED),
        float(min(states)),
        float(max(states)),
        *(float(count) for count in shells.values()),
    ]


def _valence_shells(configuration: str) -> dict[str, int]:
    """Return the electrons outside the core, such as of ``[Ar].3d6.4s2``; d and f shells below a p shell are core."""
    shells = dict.fromkeys("spdf", 0)
    for term in configuration.rsplit("]", maxsplit=1)[-1].strip(".").split("."):
        shells[term[1]] += int(term[2:])
    if shells["p"]:
        shells["d"] = shells["f"] = 0
    return shells


def _tabulated(element: Element, name: str) -> float:
    """Return a number that pymatgen may lack: it then raises, or says None, NaN or 0 Å."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = getattr(element, name)
    except KeyError:
        return np.nan
    return np.nan if value is None or (name.endswith("radius") and value == 0) else float(value)
