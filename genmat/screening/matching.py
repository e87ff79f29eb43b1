"""The test of pymatgen's ``StructureMatcher`` on arrays: whether two reduced cells are one crystal.

Two crystals of one formula are the same if, scaled to one volume, some cell of the one has the edges (``ltol``) and
angles (``angle_tol``) of the other's, and some translation and assignment of atoms brings each within ``stol`` of its
partner (in units of the cube root of the volume per atom, in the mean of both cells, the mean shift removed). The
matcher searches cell by cell and translation by translation; here all of them are compared at once, or, where many
pairs are asked about, one by one by compiled code (:mod:`genmat.screening.comparison`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np
import spglib
from scipy.optimize import linear_sum_assignment

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.core.structure import Structure

    type FloatArray = NDArray[np.float64]

TOLERANCE = 0.25
"""Distance up to which a translation maps atoms onto atoms, Å: pymatgen's default for primitive cells."""

_SAME_PRODUCT = 1e-5
"""Difference of scalar products of edges that counts as none where a cell is reduced, Å²."""

_LARGEST = 200_000
"""Distances that are compared at once."""


@dataclass(frozen=True, eq=False)
class Cell:
    """A primitive, Niggli-reduced cell with one unit of volume an atom.

    Parameters
    ----------
    lattice
        Rows a, b, c, shape (3, 3), in units of the cube root of the volume per atom.
    points
        Fractional coordinates, shape (n, 3), sorted by element.
    kinds
        Element symbols, each with its number of atoms, sorted.
    """

    lattice: FloatArray
    points: FloatArray
    kinds: tuple[tuple[str, int], ...]

    @cached_property
    def parameters(self) -> FloatArray:
        """Edges, and angles in degrees, shape (6,)."""
        return np.asarray(_parameters(self.lattice[None])[0])

    @cached_property
    def edges(self) -> tuple[float, ...]:
        """Edges, shortest first."""
        return tuple(sorted(self.parameters[:3].tolist()))

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Number of atoms of each element, shape (n_elements,)."""
        return np.array([number for _, number in self.kinds], dtype=np.int64)

    @cached_property
    def rare(self) -> tuple[int, int]:
        """First atom and number of atoms of the rarest element."""
        numbers = [number for _, number in self.kinds]
        place = numbers.index(min(numbers))
        return sum(numbers[:place]), numbers[place]


def reduce_cell(structure: Structure, *, compiled: bool = False) -> Cell:
    """Return the reduced cell of an ordered crystal.

    Parameters
    ----------
    structure
        Any cell.
    compiled
        Whether compiled code reduces, which pays for thousands of crystals.
    """
    lattice, points, numbers = _sorted_by_element(structure)
    if compiled:
        from genmat.screening.reduction import reduced_cell

        counts = np.array(list(numbers.values()))
        lattice, points, length, repeats = reduced_cell(lattice, points, counts, _SAME_PRODUCT, 2.0 * TOLERANCE)
        if not repeats:
            return Cell(lattice / length, points, tuple(numbers.items()))
    else:
        lattice, points = _niggli(lattice, points)
    while (smaller := _smaller(lattice, points, list(numbers.values()))) is not None:
        numbers = {symbol: number * len(smaller[1]) // len(points) for symbol, number in numbers.items()}
        lattice, points = smaller
    lattice, points = _niggli(lattice, points)
    length = (abs(float(np.linalg.det(lattice))) / len(points)) ** (1.0 / 3.0)
    return Cell(lattice / length, points, tuple(numbers.items()))


def _sorted_by_element(structure: Structure) -> tuple[FloatArray, FloatArray, dict[str, int]]:
    """Return the lattice, coordinates sorted by element, and the number of atoms of each."""
    found: dict[str, list[FloatArray]] = {}
    for site in structure.sites:
        found.setdefault(next(iter(site.species)).symbol, []).append(site.frac_coords)
    found = dict(sorted(found.items()))
    points = np.concatenate([coords for group in found.values() for coords in group]).reshape(-1, 3)
    return structure.lattice.matrix, points, {symbol: len(group) for symbol, group in found.items()}


def _niggli(lattice: FloatArray, points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the Niggli cell of a lattice and the coordinates in it; both as given where the reduction fails."""
    try:
        reduced = spglib.niggli_reduce(lattice, eps=_SAME_PRODUCT)
    except spglib.SpglibError:
        reduced = None
    if reduced is None:
        return lattice, points
    return np.asarray(reduced), points @ (lattice @ np.linalg.inv(reduced))


def _translations(lattice: FloatArray, points: FloatArray, numbers: list[int]) -> FloatArray:
    """Return the translations between atoms of the rarest element that map every atom near one of its kind."""
    if math.gcd(*numbers) == 1:
        return np.empty((0, 3))
    starts = np.concatenate([[0], np.cumsum(numbers)])
    rarest = int(np.argmin(numbers))
    shifts: FloatArray = points[starts[rarest] + 1 : starts[rarest + 1]] - points[starts[rarest]]
    limit = 2.0 * TOLERANCE / np.linalg.norm(lattice, axis=1)
    for begin, end in pairwise(starts):
        group = points[begin:end]
        between = group[None, :, None] + shifts[:, None, None] - group[None, None]
        between -= np.round(between)
        near = (np.abs(between) <= limit).all(axis=-1).any(axis=-1).all(axis=-1)
        shifts = shifts[near]
        if not len(shifts):
            break
    return shifts


def _smaller(lattice: FloatArray, points: FloatArray, numbers: list[int]) -> tuple[FloatArray, FloatArray] | None:
    """Return the smallest multiple of the translations of a cell, atoms averaged; ``None`` if the cell is primitive."""
    shifts = _translations(lattice, points, numbers)
    if not len(shifts):
        return None
    shifts = np.concatenate([np.zeros((1, 3)), shifts])
    limit, repeats = TOLERANCE / np.linalg.norm(lattice, axis=1), math.gcd(*numbers)
    for size in (size for size in range(2, repeats + 1) if repeats % size == 0):
        between = _finer_lattices(size)[:, :, None] - shifts
        between -= np.round(between)
        present = (np.abs(between) < limit).all(axis=-1).any(axis=-1).all(axis=-1)
        for basis in _finer_lattices(size)[present]:
            averaged = _averaged(lattice, points, numbers, basis=basis, size=size)
            if averaged is not None:
                return basis @ lattice, averaged
    return None


@cache
def _finer_lattices(size: int) -> FloatArray:
    """Return bases of all lattices with ``size`` times the points of a lattice, in its units, shape (m, 3, 3)."""
    coarser = [
        [[a, b, c], [0, d, e], [0, 0, size // (a * d)]]
        for a in range(1, size + 1)
        for d in range(1, size + 1)
        if size % (a * d) == 0
        for b, c, e in product(range(a), range(a), range(d))
    ]
    return np.asarray(np.linalg.inv(np.array(coarser, dtype=np.float64)))


def _averaged(
    lattice: FloatArray, points: FloatArray, numbers: list[int], *, basis: FloatArray, size: int
) -> FloatArray | None:
    """Return the atoms in a smaller cell, each the mean of ``size``; ``None`` if they are not equivalent there.

    Neighbours that lie within twice the tolerance of each other in the larger cell are never the same atom.
    """
    apart = 2.0 * TOLERANCE / np.linalg.norm(lattice, axis=1)
    limit = TOLERANCE / np.linalg.norm(basis @ lattice, axis=1)
    inside = points @ np.linalg.inv(basis)
    found = []
    for begin, end in pairwise(np.concatenate([[0], np.cumsum(numbers)])):
        between = points[None, begin:end] - points[begin:end, None]
        between -= np.round(between)
        distinct = (np.abs(between) > apart).any(axis=-1)
        np.fill_diagonal(distinct, val=True)
        between = inside[None, begin:end] - inside[begin:end, None]
        between -= np.round(between)
        same = (np.abs(between) < limit).all(axis=-1) & distinct
        firsts = np.unique(same.argmax(axis=1))
        if (same.sum(axis=0) != size).any() or (same[firsts].sum(axis=0) != 1).any():
            return None
        found.append(inside[begin:end][firsts] + (between * same[..., None])[firsts].sum(axis=1) / size)
    return np.concatenate(found)


def is_same(left: Cell, right: Cell, *, ltol: float, stol: float, angle_tol: float, compiled: bool = False) -> bool:
    """Return whether two reduced cells are one crystal.

    Parameters
    ----------
    left, right
        From :func:`reduce_cell`.
    ltol
        Largest relative difference of edges.
    stol
        Largest displacement of an atom in units of the cube root of the volume per atom.
    angle_tol
        Largest difference of angles, degrees.
    compiled
        Whether compiled code compares: 30 times faster, after the second that it takes to load.
    """
    if left.kinds != right.kinds:
        return False
    if compiled:
        from genmat.screening.comparison import is_same_cell

        tolerances = ltol, stol, angle_tol
        return is_same_cell(left.lattice, left.points, right.lattice, right.points, left.counts, tolerances)
    # The edges of a reduced cell are the shortest independent vectors of its lattice, which a cell like the right one
    # bounds. Without this test a needle beside a compact cell would have millions of vectors to try.
    if any(edge > (1.0 + ltol) * other for edge, other in zip(left.edges, right.edges, strict=True)):
        return False
    scales = _mappings(left, right, ltol=ltol, angle_tol=angle_tol)
    if not len(scales):
        return False
    moved = left.points @ np.linalg.inv(scales)  # (3, 3) @ (m, 3, 3): coordinates in each cell, shape (m, n, 3)
    cells = _cells(0.5 * (_parameters(scales @ left.lattice) + right.parameters))
    step = max(1, _LARGEST // (left.rare[1] * len(left.points) ** 2))
    return any(
        _fits(moved[k : k + step], cells[k : k + step], left, right, stol=stol) for k in range(0, len(scales), step)
    )


def _mappings(left: Cell, right: Cell, *, ltol: float, angle_tol: float) -> NDArray[np.float64]:
    """Return the cells of the left lattice that look like the right one's as integer matrices, the most alike first."""
    lengths, angles = right.parameters[:3], right.parameters[3:]
    heights = 1.0 / np.linalg.norm(np.linalg.inv(left.lattice), axis=0)
    reach = np.floor(lengths.max() * (1.0 + ltol) / heights).astype(int)
    axes = [np.arange(-n, n + 1.0) for n in reach]
    steps = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    vectors = steps @ left.lattice
    norms = np.linalg.norm(vectors, axis=1)
    chosen = [np.flatnonzero((norms < (1.0 + ltol) * edge) & (norms > edge / (1.0 + ltol))) for edge in lengths]
    first, second, third = chosen
    units = vectors / np.where(norms > 0.0, norms, 1.0)[:, None]

    def alike(one: NDArray[np.intp], other: NDArray[np.intp], angle: float) -> NDArray[np.bool_]:
        found = np.degrees(np.arccos(np.clip(units[one] @ units[other].T, -1.0, 1.0)))
        return np.abs(found - angle) <= angle_tol

    good = (
        alike(first, second, angles[2])[:, :, None]
        & alike(first, third, angles[1])[:, None, :]
        & alike(second, third, angles[0])[None]
    )
    i, j, k = np.nonzero(good)
    scales = steps[np.stack([first[i], second[j], third[k]], axis=1)]
    scales = scales[np.abs(np.abs(np.linalg.det(scales)) - 1.0) < 0.5]
    deviations = np.abs(_parameters(scales @ left.lattice) / right.parameters - 1.0).max(axis=1, initial=0.0)
    return np.asarray(scales[np.argsort(deviations, kind="stable")])


def _fits(moved: FloatArray, cells: FloatArray, left: Cell, right: Cell, *, stol: float) -> bool:
    """Return whether the atoms, at (m, n, 3), coincide in one of some cells, given by their rows (m, 3, 3)."""
    begin, number = left.rare
    shifts = moved[:, begin : begin + number] - right.points[begin]  # (m, t, 3)
    # Of the pair that the translation brings together the remaining distance is the mean shift, so both are ≤ stol.
    limit = (2.0 * stol) ** 2
    possible = np.ones(shifts.shape[:2], dtype=bool)
    total = np.zeros(shifts.shape[:2])
    start = 0
    for _, count in left.kinds:
        part = slice(start, start + count)
        between = (moved[:, None, part] - shifts[:, :, None])[:, :, :, None] - right.points[part]
        between -= np.round(between)
        vectors = between.reshape(len(cells), -1, 3) @ cells
        squares = (vectors * vectors).sum(axis=-1).reshape(between.shape[:-1])
        nearest = squares.min(axis=2)
        possible &= nearest.max(axis=2) <= limit
        total += nearest.sum(axis=2)
        start += count
    chosen, places = np.nonzero(possible)
    return any(
        _largest_displacement(moved[m] - shifts[m, t], cells[m], right) <= stol
        for m, t in ((chosen[rank], places[rank]) for rank in np.argsort(total[chosen, places], kind="stable"))
    )


def _largest_displacement(points: FloatArray, lattice: FloatArray, right: Cell) -> float:
    """Return the largest distance of partners of the best assignment, their mean shift removed."""
    start = 0
    found = np.empty_like(points)
    for _, count in right.kinds:
        part = slice(start, start + count)
        between = points[part, None] - right.points[None, part]
        between -= np.round(between)
        vectors = between @ lattice
        squares = (vectors * vectors).sum(axis=-1)
        partners = squares.argmin(axis=1)
        if len(set(partners.tolist())) < count:
            partners = linear_sum_assignment(squares)[1]
        found[part] = vectors[np.arange(count), partners]
        start += count
    found -= found.mean(axis=0)
    return math.sqrt(float((found * found).sum(axis=1).max()))


def _parameters(lattices: FloatArray) -> FloatArray:
    """Return edges and angles (degrees) of lattices (m, 3, 3), shape (m, 6)."""
    products = lattices @ lattices.transpose(0, 2, 1)
    edges = np.sqrt(products[:, [0, 1, 2], [0, 1, 2]])
    cosines = products[:, [1, 0, 0], [2, 2, 1]] / (edges[:, [1, 0, 0]] * edges[:, [2, 2, 1]])
    return np.concatenate([edges, np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))], axis=1)


def _cells(parameters: FloatArray) -> FloatArray:
    """Return cells of the given edges and angles (degrees), rows a, b, c, shape (m, 3, 3)."""
    a, b, c = parameters[:, :3].T
    cosines = np.cos(np.radians(parameters[:, 3:]))
    alpha, beta, gamma = cosines.T
    sine = np.sqrt(1.0 - gamma**2)
    y = (alpha - beta * gamma) / sine
    cells = np.zeros((len(parameters), 3, 3))
    cells[:, 0, 0] = a
    cells[:, 1, 0], cells[:, 1, 1] = b * gamma, b * sine
    cells[:, 2, 0], cells[:, 2, 1] = c * beta, c * y
    cells[:, 2, 2] = c * np.sqrt(np.maximum(1.0 - beta**2 - y**2, 0.0))
    return cells
