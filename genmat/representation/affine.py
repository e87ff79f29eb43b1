"""Crystallographic affine maps in exact integer arithmetic.

An operation is written as in the International Tables, ``"x,x-y,z+1/2"``, and held as an integer matrix and a
translation in units of 1/24: every translation of the 230 groups, of their normalisers and of the standard origin
shifts is a multiple of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from genmat.errors import RepresentationError

DENOMINATOR = 24
"""Translations are integers in units of 1 / DENOMINATOR."""

_AXES = "xyz"
_TERM = re.compile(r"([+-]?)(?:(\d+)(?:/(\d+))?)?([xyz]?)")

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """The map x → W x + w.

    Parameters
    ----------
    matrix
        W, integers, shape (3, 3).
    shift
        w in units of 1/24, shape (3,).
    """

    matrix: IntArray
    shift: IntArray

    def __matmul__(self, other: Affine) -> Affine:
        """Return the map that applies ``other`` first."""
        return Affine(self.matrix @ other.matrix, self.matrix @ other.shift + self.shift)

    def modulo(self) -> Affine:
        """Return the map with its translation reduced to [0, 1)."""
        return Affine(self.matrix, self.shift % DENOMINATOR)

    @property
    def key(self) -> bytes:
        """Hashable exact value."""
        return self.matrix.astype(np.int8).tobytes() + self.shift.astype(np.int8).tobytes()


def parse_affine(text: str) -> Affine:
    """Return the map written as ``"x,2x,z+1/4"``.

    Raises
    ------
    RepresentationError
        If the text does not name three coordinates, or a translation is no multiple of 1/24.
    """
    rows = text.replace(" ", "").lower().split(",")
    if len(rows) != len(_AXES):
        msg = f"{text!r} has {len(rows)} coordinates, expected 3 such as 'x,2x,z+1/4'"
        raise RepresentationError(msg)
    matrix = np.zeros((3, 3), dtype=np.int64)
    shift = np.zeros(3, dtype=np.int64)
    for row, expression in enumerate(rows):
        position = 0
        while position < len(expression):
            match = _TERM.match(expression, position)
            if match is None or match.end() == position:
                msg = f"{expression!r} in {text!r} is no sum of x, y, z and fractions"
                raise RepresentationError(msg)
            sign, numerator, denominator, axis = match.groups()
            value = Fraction(int(numerator or 1), int(denominator or 1)) * (-1 if sign == "-" else 1)
            scaled = value if axis else value * DENOMINATOR
            if scaled.denominator != 1:
                msg = f"{expression!r} in {text!r} is no multiple of 1/{DENOMINATOR}"
                raise RepresentationError(msg)
            if axis:
                matrix[row, _AXES.index(axis)] += int(scaled)
            else:
                shift[row] += int(scaled)
            position = match.end()
    return Affine(matrix, shift)


def format_affine(affine: Affine) -> str:
    """Return the map as text that :func:`parse_affine` reads."""
    rows = []
    for coefficients, shift in zip(affine.matrix, affine.shift, strict=True):
        terms = [
            f"{'-' if c < 0 else '+'}{abs(c) if abs(c) != 1 else ''}{axis}"
            for c, axis in zip(coefficients.tolist(), _AXES, strict=True)
            if c
        ]
        fraction = Fraction(int(shift), DENOMINATOR)
        if fraction or not terms:
            terms.append(f"{'-' if fraction < 0 else '+'}{abs(fraction)}")
        rows.append("".join(terms).removeprefix("+"))
    return ",".join(rows)


def free_coordinate_solver(matrix: IntArray) -> IntArray:
    """Return integers S such that S (A u) = u for every vector u of free coordinates.

    Each free coordinate of a first image stands alone, with sign, in some row: ``x, 2x, z+1/4``.

    Parameters
    ----------
    matrix
        A, shape (3, 3); the columns of fixed coordinates are zero.

    Raises
    ------
    RepresentationError
        If a free coordinate stands alone nowhere.
    """
    solver = np.zeros((3, 3), dtype=np.int64)
    for axis in range(3):
        if not matrix[:, axis].any():
            continue
        alone = [row for row in range(3) if abs(matrix[row, axis]) == 1 and np.abs(matrix[row]).sum() == 1]
        if not alone:
            msg = f"free coordinate {'xyz'[axis]} stands alone in no row of {matrix.tolist()}"
            raise RepresentationError(msg)
        solver[axis, alone[0]] = matrix[alone[0], axis]
    return solver
