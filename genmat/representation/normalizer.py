"""Affine normalisers of space groups, and what they do to Wyckoff letters.

One crystal has many descriptions in the standard setting of its space group G: two of them differ by a
transformation (P, p) with (P, p) G (P, p)⁻¹ = G, an element of the *affine normaliser* of G. It contains every
Euclidean normaliser, those of special metrics (a = b in an orthorhombic group) included, so letters that any origin
shift, axis relabelling, cell choice or mirror image exchanges are exchanged by it. For triclinic and monoclinic
groups it is infinite; its action on letters is finite and is generated here by small unimodular matrices.

Source: International Tables for Crystallography A (2016), chapter 3.5. Everything is exact integer arithmetic.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genmat.errors import RepresentationError
from genmat.representation.affine import DENOMINATOR, Affine, IntArray, free_coordinate_solver

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_GENERIC = 1009
"""Generic points have coordinates in units of 1 / (DENOMINATOR · _GENERIC); a prime avoids special positions."""


@dataclass(frozen=True, slots=True)
class ExactPosition:
    """A Wyckoff position: its letter and its first image as an exact map of the free coordinates."""

    letter: str
    first: Affine

    @property
    def free_axes(self) -> list[int]:
        """Coordinates (0, 1, 2) that are free."""
        return [axis for axis in range(3) if self.first.matrix[:, axis].any()]

    @property
    def solver(self) -> IntArray:
        """Integer matrix that returns the free coordinates of a point on the first image, shape (3, 3)."""
        return free_coordinate_solver(self.first.matrix)


@dataclass(frozen=True, slots=True)
class ExactGroup:
    """A space group in its standard setting.

    Parameters
    ----------
    system
        Crystal system, which fixes the linear parts that may normalise the group.
    operations
        One operation for each coset of the translations.
    centring
        Lattice points of the conventional cell in units of 1/24, shape (n, 3), the origin first.
    positions
        Wyckoff positions by ascending letter.
    """

    system: str
    operations: tuple[Affine, ...]
    centring: IntArray
    positions: tuple[ExactPosition, ...]


@dataclass(frozen=True, slots=True)
class LetterMap:
    """What one affine map does to the letters: the i-th letter of a group becomes ``letters[i]``."""

    affine: Affine
    letters: tuple[str, ...]


def candidate_matrices(system: str) -> list[IntArray]:
    """Return linear parts whose products hold every linear part of the normalisers of a crystal system."""
    match system:
        case "triclinic":
            return _elementary_matrices()
        case "monoclinic":
            return _monoclinic_matrices()
        case "orthorhombic" | "cubic":
            return _signed_permutations()
        case "tetragonal":
            return [m for m in _signed_permutations() if m[2, 2]]
        case "trigonal" | "hexagonal":
            sixfold = np.array([[1, -1, 0], [1, 0, 0], [0, 0, 1]])
            mirror = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])
            return _closure([sixfold, mirror, -np.eye(3, dtype=np.int64)])
        case _:
            msg = f"unknown crystal system {system!r}"
            raise RepresentationError(msg)


def _signed_permutations() -> list[IntArray]:
    """Return the 48 signed permutation matrices."""
    identity = np.eye(3, dtype=np.int64)
    return [
        np.array(signs)[:, None] * identity[list(order)]
        for order in itertools.permutations(range(3))
        for signs in itertools.product((1, -1), repeat=3)
    ]


def _elementary_matrices() -> list[IntArray]:
    """Return generators of GL(3, Z): transvections, sign changes and transpositions."""
    matrices = list(_signed_permutations())
    for row, column in itertools.permutations(range(3), 2):
        matrix = np.eye(3, dtype=np.int64)
        matrix[row, column] = 1
        matrices.append(matrix)
    return matrices


def _monoclinic_matrices() -> list[IntArray]:
    """Return unimodular maps that keep the axis b and the plane (a, c), with entries up to 2.

    They contain generators of every congruence subgroup of level 2, which centring and glide vectors select.
    """
    matrices: list[IntArray] = []
    for p, q, r, s in itertools.product(range(-2, 3), repeat=4):
        if abs(p * s - q * r) == 1:
            matrices.extend(np.array([[p, 0, q], [0, sign, 0], [r, 0, s]]) for sign in (1, -1))
    return matrices


def _closure(generators: Sequence[IntArray]) -> list[IntArray]:
    """Return the finite matrix group that ``generators`` generate."""
    found = {np.eye(3, dtype=np.int64).tobytes(): np.eye(3, dtype=np.int64)}
    queue = list(found.values())
    while queue:
        matrix = queue.pop()
        for generator in generators:
            product = generator @ matrix
            if product.tobytes() not in found:
                found[product.tobytes()] = product
                queue.append(product)
    return list(found.values())


def _inverse(matrix: IntArray) -> IntArray:
    """Return the inverse of a unimodular matrix."""
    return np.rint(np.linalg.inv(matrix)).astype(np.int64)


def conjugating_shifts(source: ExactGroup, target: ExactGroup, matrix: IntArray) -> IntArray:
    """Return every p (units of 1/24, shape (n, 3)) for which (P, p) carries ``source`` onto ``target``.

    (P, p) (W, w) (P, p)⁻¹ = (W', P w + (I - W') p) with W' = P W P⁻¹ must lie in ``target``.
    """
    empty = np.zeros((0, 3), dtype=np.int64)
    lattice = {tuple(v) for v in target.centring.tolist()}
    if {tuple(v) for v in ((source.centring @ matrix.T) % DENOMINATOR).tolist()} != lattice:
        return empty
    wanted = {operation.matrix.tobytes(): operation.shift for operation in target.operations}
    inverse = _inverse(matrix)
    shifts = np.array(list(itertools.product(range(DENOMINATOR), repeat=3)), dtype=np.int64)
    for operation in source.operations:
        rotated = matrix @ operation.matrix @ inverse
        required = wanted.get(rotated.tobytes())
        if required is None:
            return empty
        moved = matrix @ operation.shift + shifts @ (np.eye(3, dtype=np.int64) - rotated).T
        excess = (moved - required) % DENOMINATOR
        allowed = (excess[:, None, :] == target.centring[None]).all(axis=2).any(axis=1)
        shifts = shifts[allowed]
        if not len(shifts):
            return empty
    return shifts


def letter_of(point: IntArray, group: ExactGroup, scale: int) -> str:
    """Return the Wyckoff letter of a point given exactly in units of 1/``scale`` (a multiple of 24)."""
    unit = scale // DENOMINATOR
    orbit = np.array([o.matrix @ point + o.shift * unit for o in group.operations])
    points = (orbit[:, None, :] + group.centring[None] * unit).reshape(-1, 3)
    for position in sorted(group.positions, key=lambda p: len(p.free_axes)):
        relative = points - position.first.shift * unit
        residual = relative - relative @ position.solver.T @ position.first.matrix.T
        if (residual % scale == 0).all(axis=1).any():
            return position.letter
    msg = f"no Wyckoff position holds {point.tolist()} / {scale}: the table of this group is incomplete"
    raise RepresentationError(msg)


def letter_map(affine: Affine, source: ExactGroup, target: ExactGroup) -> LetterMap:
    """Return what ``affine``, which carries ``source`` onto ``target``, does to the letters of ``source``."""
    scale = DENOMINATOR * _GENERIC
    generic = np.array([7919, 15013, 21101], dtype=np.int64)
    letters = []
    for position in source.positions:
        point = position.first.matrix @ generic + position.first.shift * _GENERIC
        letters.append(letter_of(affine.matrix @ point + affine.shift * _GENERIC, target, scale))
    return LetterMap(affine, tuple(letters))


def normalizer_letter_maps(group: ExactGroup) -> list[LetterMap]:
    """Return one element of the affine normaliser for every permutation of the letters that it brings about.

    Returns
    -------
    list of LetterMap
        The identity first; closed under composition.
    """
    identity = Affine(np.eye(3, dtype=np.int64), np.zeros(3, dtype=np.int64))
    names = [position.letter for position in group.positions]
    if len(names) == 1:
        return [LetterMap(identity, tuple(names))]
    generators: dict[tuple[str, ...], LetterMap] = {}
    for affine in _normalizer_generators(group):
        mapped = letter_map(affine, group, group)
        generators.setdefault(mapped.letters, mapped)
    index = {letter: i for i, letter in enumerate(names)}
    start = LetterMap(identity, tuple(names))
    found = {start.letters: start}
    queue = [start]
    while queue:
        queue = list(_products(queue, generators.values(), index, found))
    return list(found.values())


def _normalizer_generators(group: ExactGroup) -> Iterable[Affine]:
    """Yield the translations of the normaliser, then one element for every candidate linear part."""
    identity = np.eye(3, dtype=np.int64)
    for shift in conjugating_shifts(group, group, identity):
        yield Affine(identity, shift)
    for matrix in candidate_matrices(group.system):
        shifts = conjugating_shifts(group, group, matrix)
        if len(shifts):
            yield Affine(matrix, shifts[0])


def _products(
    frontier: Sequence[LetterMap],
    generators: Iterable[LetterMap],
    index: dict[str, int],
    found: dict[tuple[str, ...], LetterMap],
) -> Iterable[LetterMap]:
    """Yield the elements one generator beyond ``frontier`` whose permutation is not among ``found``; add them."""
    generators = list(generators)
    for element in frontier:
        for generator in generators:
            letters = tuple(generator.letters[index[letter]] for letter in element.letters)
            if letters not in found:
                found[letters] = LetterMap((generator.affine @ element.affine).modulo(), letters)
                yield found[letters]


def enantiomorph_letter_map(group: ExactGroup, other: ExactGroup) -> LetterMap:
    """Return a mirror operation that carries ``group`` onto its enantiomorph ``other``.

    Raises
    ------
    RepresentationError
        If the two groups are no enantiomorphic pair.
    """
    for matrix in candidate_matrices(group.system):
        if round(float(np.linalg.det(matrix))) == -1:
            shifts = conjugating_shifts(group, other, matrix)
            if len(shifts):
                return letter_map(Affine(matrix, shifts[0]), group, other)
    msg = "no mirror operation carries one group onto the other: they are no enantiomorphic pair"
    raise RepresentationError(msg)
