"""Wyckoff positions of the 230 space groups in their standard setting.

The standard setting is that of the International Tables: unique axis b and cell choice 1 for monoclinic groups,
origin choice 2, hexagonal axes for rhombohedral groups. It is spglib's default apart from the origin of the groups
with two choices; :attr:`SpaceGroup.spglib_shift` leads from spglib's to this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genmat.errors import RepresentationError, did_you_mean
from genmat.representation.affine import DENOMINATOR, Affine, IntArray, free_coordinate_solver, parse_affine
from genmat.representation.io import read_wyckoff_table
from genmat.representation.lattice import crystal_system

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class WyckoffPosition:
    """One Wyckoff position: all its images as affine maps of the free coordinates.

    A point u holds the free coordinates at :attr:`free_axes` and anything elsewhere; image i lies at
    ``rotations[i] @ u + translations[i]``. The first ``multiplicity / n_centring`` images are those of the primitive
    cell, the others are the same shifted by the centring vectors.

    Parameters
    ----------
    letter
        Wyckoff letter; ``A`` is the 27th, α.
    multiplicity
        Images in the conventional cell, m.
    dof
        Free coordinates, 0 to 3.
    free_axes
        Which of x, y, z (0, 1, 2) are free, in the order of the free coordinates.
    rotations
        Shape (m, 3, 3), integers.
    translations
        Shape (m, 3), in [0, 1).
    solver
        Integers S with S (x - translations[0]) = u for x on the first image, shape (3, 3).
    site_symmetry
        Oriented site symmetry symbol, such as ``-43m`` or ``..2``.
    """

    letter: str
    multiplicity: int
    dof: int
    free_axes: tuple[int, ...]
    rotations: NDArray[np.int64]
    translations: FloatArray
    solver: NDArray[np.int64]
    site_symmetry: str


@dataclass(frozen=True, slots=True, eq=False)
class LetterPermutation:
    """An element of the affine normaliser: x → ``matrix`` @ x + ``shift`` turns letter l into ``letters[l]``."""

    matrix: NDArray[np.int64]
    shift: FloatArray
    letters: dict[str, str]


@dataclass(frozen=True, eq=False)
class SpaceGroup:
    """A space group type in its standard setting.

    Parameters
    ----------
    number
        1 to 230.
    symbol
        Short Hermann-Mauguin symbol.
    rotations, shifts
        One operation for each coset of the translations, shapes (n, 3, 3) and (n, 3).
    centring
        Lattice points of the conventional cell, shape (c, 3), the origin first.
    spglib_shift
        What leads from spglib's default origin to the standard one, shape (3,).
    positions
        Wyckoff positions by ascending letter.
    enantiomorph
        The enantiomorphic group of lower number and the letter there of each letter here; None if there is none.
    """

    number: int
    symbol: str
    rotations: NDArray[np.int64]
    shifts: FloatArray
    centring: FloatArray
    spglib_shift: FloatArray
    positions: dict[str, WyckoffPosition]
    enantiomorph: tuple[int, dict[str, str]] | None

    @property
    def crystal_system(self) -> str:
        """Crystal system, such as ``cubic``."""
        return crystal_system(self.number)

    @property
    def n_centring(self) -> int:
        """Primitive cells in the conventional cell."""
        return len(self.centring)

    @cached_property
    def normalizer(self) -> tuple[LetterPermutation, ...]:
        """One element of the affine normaliser for each permutation of the letters, the identity first."""
        permutations = []
        for text, images in _group_table(self.number)["normalizer"]:
            affine = parse_affine(text)
            letters = dict(zip(self.positions, images, strict=True))
            permutations.append(LetterPermutation(affine.matrix, affine.shift / DENOMINATOR, letters))
        return tuple(permutations)

    def position(self, letter: str) -> WyckoffPosition:
        """Return the position of ``letter``.

        Raises
        ------
        RepresentationError
            If the group has no such letter.
        """
        try:
            return self.positions[letter]
        except KeyError:
            letters = "".join(self.positions)
            msg = f"space group {self.number} ({self.symbol}) has no Wyckoff letter {letter!r}, it has {letters}"
            raise RepresentationError(msg + did_you_mean(letter, letters)) from None


def _group_table(number: int) -> dict[str, Any]:
    """Return the packaged entry of one group."""
    crystal_system(number)
    entry: dict[str, Any] = read_wyckoff_table()["groups"][number - 1]
    return entry


@cache
def space_group(number: int) -> SpaceGroup:
    """Return space group ``number`` in its standard setting.

    Raises
    ------
    RepresentationError
        If there is no such group.
    """
    entry = _group_table(number)
    operations = [parse_affine(text) for text in entry["operations"]]
    vectors = read_wyckoff_table()["centrings"][entry["symbol"][0]]
    centring = np.array([parse_affine(text).shift for text in vectors])
    positions = {
        letter: _wyckoff_position(letter, site_symmetry, parse_affine(first), operations, centring)
        for letter, site_symmetry, first in entry["positions"]
    }
    enantiomorph = None
    if "enantiomorph" in entry:
        other, _, images = entry["enantiomorph"]
        enantiomorph = (other, dict(zip(positions, images, strict=True)))
    return SpaceGroup(
        number=number,
        symbol=entry["symbol"],
        rotations=np.array([o.matrix for o in operations]),
        shifts=np.array([o.shift for o in operations]) / DENOMINATOR,
        centring=centring / DENOMINATOR,
        spglib_shift=parse_affine(entry["spglib_shift"]).shift / DENOMINATOR,
        positions=positions,
        enantiomorph=enantiomorph,
    )


def wyckoff_positions(number: int) -> dict[str, WyckoffPosition]:
    """Return the Wyckoff positions of space group ``number`` by ascending letter (a … z, A)."""
    return space_group(number).positions


def _wyckoff_position(
    letter: str, site_symmetry: str, first: Affine, operations: list[Affine], centring: IntArray
) -> WyckoffPosition:
    """Return a position with all its images, which are the distinct maps that the operations make of the first."""
    images: dict[bytes, Affine] = {}
    for operation in operations:
        image = (operation @ first).modulo()
        shifted = (image.shift + centring) % DENOMINATOR
        lowest = min(shifted.tolist())
        images.setdefault(Affine(image.matrix, np.array(lowest)).key, image)
    primitive = list(images.values())
    translations = np.array([i.shift for i in primitive])[None] + centring[:, None]  # (centring, primitive images, 3)
    free_axes = tuple(axis for axis in range(3) if first.matrix[:, axis].any())
    return WyckoffPosition(
        letter=letter,
        multiplicity=len(primitive) * len(centring),
        dof=len(free_axes),
        free_axes=free_axes,
        rotations=np.tile(np.array([i.matrix for i in primitive]), (len(centring), 1, 1)),
        translations=(translations.reshape(-1, 3) % DENOMINATOR) / DENOMINATOR,
        solver=free_coordinate_solver(first.matrix),
        site_symmetry=site_symmetry,
    )
