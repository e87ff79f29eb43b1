"""The symmetry search: from any cell of a crystal to its standardised conventional cell with Wyckoff letters.

spglib decides. One shortcut: spglib names the letters of groups with the point group m-3m in 2 to 20 ms a crystal,
where the others take 0.5 ms. A crystal whose lattice is metrically cubic is therefore shown to moyo first, with *half*
the tolerance. If that is enough for m-3m, nothing higher exists for the full tolerance to find, and moyo's answer is
taken; every crystal near a threshold is left to spglib. ``benchmarks/bench_round_trip.py`` counts where the two differ.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import moyopy
import numpy as np
import spglib
from numpy.typing import NDArray

from genmat.errors import RepresentationError
from genmat.representation.wyckoff import SpaceGroup, space_group

FloatArray = NDArray[np.float64]

DEFAULT_SYMPREC = 0.01
"""Distance tolerance in Å."""

DEFAULT_ANGLE_TOLERANCE = -1.0
"""Negative: the angle tolerance follows from the distance tolerance, which spglib recommends."""

_FIRST_M3M = 221

_SHORT_VECTORS = np.array([c for c in itertools.product((-1.0, 0.0, 1.0), repeat=3) if c > (0.0, 0.0, 0.0)])
"""One of each pair ±v of small combinations of reduced basis vectors, shape (13, 3)."""

_CUBIC_VOLUMES = {3: 1.0, 4: 4.0 / 27.0**0.5, 6: 0.5**0.5}
"""V / d³ of the primitive cell by the number of pairs of shortest vectors d: cubic P, I and F lattices."""

_CUBIC_TOLERANCE = 0.005


@dataclass(frozen=True, slots=True, eq=False)
class Standardized:
    """The conventional cell of a crystal in the standard setting.

    Parameters
    ----------
    group
        Space group.
    lattice
        Idealised rows a, b, c in Å, shape (3, 3).
    points
        Idealised fractional coordinates, shape (n, 3).
    kinds
        Kind of each atom as given to the search.
    letters
        Wyckoff letter of each atom.
    orbit_of
        Label of the orbit of each atom, shape (n,).
    """

    group: SpaceGroup
    lattice: FloatArray
    points: FloatArray
    kinds: list[int]
    letters: list[str]
    orbit_of: NDArray[np.int64]


def standardize(
    lattice: FloatArray, frac_coords: FloatArray, kinds: list[int], *, symprec: float, angle_tolerance: float
) -> Standardized:
    """Return the standardised conventional cell.

    Parameters
    ----------
    lattice
        Rows a, b, c in Å, shape (3, 3), finite.
    frac_coords
        Fractional coordinates, shape (n, 3), finite.
    kinds
        An integer for each atom, equal for equal elements.
    symprec
        Distance tolerance in Å.
    angle_tolerance
        Angle tolerance in degrees, negative to derive it from ``symprec``.

    Raises
    ------
    RepresentationError
        If the search fails.
    """
    if angle_tolerance < 0.0 and _is_metrically_cubic(lattice):
        found = _search_m3m(lattice, frac_coords, kinds, symprec / 2.0)
        if found is not None:
            return found
    return _search(lattice, frac_coords, kinds, symprec, angle_tolerance)


def _search(
    lattice: FloatArray, frac_coords: FloatArray, kinds: list[int], symprec: float, angle_tolerance: float
) -> Standardized:
    """Return what spglib finds."""
    try:
        dataset = spglib.get_symmetry_dataset(
            (lattice, frac_coords, kinds),  # type: ignore[arg-type]  # arrays are what spglib wants
            symprec=symprec,
            angle_tolerance=angle_tolerance,
        )
    except spglib.SpglibError as err:
        msg = f"spglib finds no symmetry at symprec {symprec} Å: {err}"
        raise RepresentationError(msg) from err
    if dataset is None:
        msg = f"spglib finds no symmetry at symprec {symprec} Å: atoms may coincide, or the cell be degenerate"
        raise RepresentationError(msg)
    group = space_group(int(dataset.number))
    to_primitive = dataset.std_mapping_to_primitive
    first_atom = np.unique(dataset.mapping_to_primitive, return_index=True)[1]  # an input atom for each primitive one
    return Standardized(
        group=group,
        lattice=dataset.std_lattice,
        points=dataset.std_positions + group.spglib_shift,
        kinds=dataset.std_types.tolist(),
        letters=[dataset.wyckoffs[atom] for atom in first_atom[to_primitive].tolist()],
        orbit_of=dataset.crystallographic_orbits[first_atom][to_primitive].astype(np.int64),
    )


def _search_m3m(lattice: FloatArray, frac_coords: FloatArray, kinds: list[int], symprec: float) -> Standardized | None:
    """Return what moyo finds if its point group is m-3m, else None."""
    cell = moyopy.Cell(lattice.tolist(), frac_coords.tolist(), kinds)
    try:
        dataset = moyopy.MoyoDataset(cell, symprec=symprec, setting=moyopy.Setting.standard())
    except ValueError:
        return None
    if dataset.number < _FIRST_M3M:
        return None
    group = space_group(dataset.number)
    primitive, conventional = dataset.prim_std_cell, dataset.std_cell
    basis = np.array(conventional.basis)
    to_conventional = np.rint(2.0 * np.array(primitive.basis) @ np.linalg.inv(basis)) / 2.0  # rows: multiples of 1/2
    points = np.array(primitive.positions) @ to_conventional
    first_atom = np.unique(dataset.mapping_std_prim, return_index=True)[1]
    letters, orbits = dataset.wyckoffs, dataset.orbits
    return Standardized(
        group=group,
        lattice=basis,
        points=(points[None] + group.centring[:, None]).reshape(-1, 3),
        kinds=list(primitive.numbers) * group.n_centring,
        letters=[letters[atom] for atom in first_atom] * group.n_centring,
        orbit_of=np.tile(np.array([orbits[atom] for atom in first_atom], dtype=np.int64), group.n_centring),
    )


def _is_metrically_cubic(lattice: FloatArray) -> bool:
    """Return whether the lattice may be cubic: as many shortest vectors, and as large a cell, as a cubic one."""
    try:
        reduced = spglib.delaunay_reduce(lattice, eps=1e-8)
    except spglib.SpglibError:
        return False
    if reduced is None:
        return False
    vectors = _SHORT_VECTORS @ reduced
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    shortest = float(lengths.min())
    cubic_volume = _CUBIC_VOLUMES.get(int((lengths < (1.0 + _CUBIC_TOLERANCE) * shortest).sum()))
    if cubic_volume is None:
        return False
    volume = abs(float(np.linalg.det(reduced)))
    return bool(abs(volume - cubic_volume * shortest**3) < 2.0 * _CUBIC_TOLERANCE * volume)
