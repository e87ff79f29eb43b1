"""Conventional lattices: crystal systems, their constraints, lattice parameters and matrices.

Lattice parameters are always (a, b, c, alpha, beta, gamma) of the conventional cell in Å and degrees; matrices have
rows a, b, c in Å.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from genmat.errors import RepresentationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LatticeParameters = tuple[float, float, float, float, float, float]

N_SPACE_GROUPS = 230

_LAST_NUMBER = (
    (2, "triclinic"),
    (15, "monoclinic"),
    (74, "orthorhombic"),
    (142, "tetragonal"),
    (167, "trigonal"),
    (194, "hexagonal"),
    (230, "cubic"),
)

_FREE_PARAMETERS: dict[str, tuple[str, ...]] = {
    "triclinic": ("a", "b", "c", "alpha", "beta", "gamma"),
    "monoclinic": ("a", "b", "c", "beta"),
    "orthorhombic": ("a", "b", "c"),
    "tetragonal": ("a", "c"),
    "trigonal": ("a", "c"),
    "hexagonal": ("a", "c"),
    "cubic": ("a",),
}

_COMPATIBLE_LENGTH = 1e-4
_COMPATIBLE_ANGLE = 1e-2
_SMALLEST_SINE_PRODUCT = 1e-3


def crystal_system(number: int) -> str:
    """Return the crystal system of space group ``number``.

    Raises
    ------
    RepresentationError
        If there is no such space group.
    """
    if number >= 1:
        for last, name in _LAST_NUMBER:
            if number <= last:
                return name
    msg = f"space group {number} does not exist, expected 1 to {N_SPACE_GROUPS}"
    raise RepresentationError(msg)


def free_lattice_parameters(number: int) -> tuple[str, ...]:
    """Return the names of the lattice parameters that the crystal system of ``number`` leaves free."""
    return _FREE_PARAMETERS[crystal_system(number)]


def lattice_parameters(number: int, free: tuple[float, ...]) -> LatticeParameters:
    """Return all six lattice parameters from the free ones.

    Parameters
    ----------
    number
        Space group number.
    free
        Values of :func:`free_lattice_parameters`, in that order; Å and degrees.

    Raises
    ------
    RepresentationError
        If the count of values is wrong.
    """
    names = free_lattice_parameters(number)
    if len(free) != len(names):
        msg = f"{len(free)} lattice parameters given, space group {number} has {len(names)} free: {', '.join(names)}"
        raise RepresentationError(msg)
    values = dict(zip(names, free, strict=True))
    a = values["a"]
    return constrain(
        number,
        (
            a,
            values.get("b", a),
            values.get("c", a),
            values.get("alpha", 90.0),
            values.get("beta", 90.0),
            values.get("gamma", 90.0),
        ),
    )


def constrain(number: int, lattice: LatticeParameters) -> LatticeParameters:
    """Return ``lattice`` with the constraints of the crystal system imposed.

    Lengths that symmetry makes equal become their geometric mean; fixed angles get their value. Rhombohedral groups
    have hexagonal axes, monoclinic groups the unique axis b.

    Parameters
    ----------
    number
        Space group number.
    lattice
        Conventional lattice parameters, Å and degrees.
    """
    a, b, c, alpha, beta, gamma = lattice
    match crystal_system(number):
        case "triclinic":
            return (a, b, c, alpha, beta, gamma)
        case "monoclinic":
            return (a, b, c, 90.0, beta, 90.0)
        case "orthorhombic":
            return (a, b, c, 90.0, 90.0, 90.0)
        case "tetragonal":
            a = a if a == b else math.sqrt(a * b)
            return (a, a, c, 90.0, 90.0, 90.0)
        case "cubic":
            a = a if a == b == c else math.cbrt(a * b * c)
            return (a, a, a, 90.0, 90.0, 90.0)
        case _:
            a = a if a == b else math.sqrt(a * b)
            return (a, a, c, 90.0, 90.0, 120.0)


def lattice_is_compatible(number: int, lattice: LatticeParameters) -> bool:
    """Return whether ``lattice`` fulfils the constraints of the crystal system of ``number``.

    Lengths may differ by a relative 1e-4, angles by 0.01 degrees.
    """
    ideal = constrain(number, lattice)
    lengths = all(abs(x - y) <= _COMPATIBLE_LENGTH * y for x, y in zip(lattice[:3], ideal[:3], strict=True))
    return lengths and all(abs(x - y) <= _COMPATIBLE_ANGLE for x, y in zip(lattice[3:], ideal[3:], strict=True))


def volume_factor(lattice: LatticeParameters) -> float:
    """Return V² / (abc)² of a cell with these angles; not positive where no such cell exists."""
    ca, cb, cg = (math.cos(math.radians(angle)) for angle in lattice[3:])
    return 1.0 - ca * ca - cb * cb - cg * cg + 2.0 * ca * cb * cg


def check_lattice(lattice: LatticeParameters) -> None:
    """Raise unless ``lattice`` spans a cell.

    Raises
    ------
    RepresentationError
        If a value is not finite, a length is not positive, or the three angles close no cell.
    """
    if not all(math.isfinite(value) for value in lattice):
        msg = f"lattice parameters {lattice} are not all finite"
        raise RepresentationError(msg)
    if min(lattice[:3]) <= 0.0:
        msg = f"lattice lengths {lattice[:3]} Å must be positive"
        raise RepresentationError(msg)
    if min(lattice[3:]) <= 0.0 or max(lattice[3:]) >= 180.0 or volume_factor(lattice) <= _SMALLEST_SINE_PRODUCT**2:
        msg = f"lattice angles {lattice[3:]} degrees span no cell"
        raise RepresentationError(msg)


def conventional_volume(lattice: LatticeParameters) -> float:
    """Return the volume of the conventional cell in Å³."""
    return lattice[0] * lattice[1] * lattice[2] * math.sqrt(volume_factor(lattice))


def lattice_matrix(lattice: LatticeParameters) -> NDArray[np.float64]:
    """Return rows a, b, c in Å, shape (3, 3): a along x, b in the xy plane, right-handed.

    Right angles and 120° give exact zeros and halves, so the matrix of an ideal cell is exactly symmetric.
    """
    a, b, c = lattice[:3]
    ca, cb, cg = (_exact_cosine(angle) for angle in lattice[3:])
    sg = math.sqrt(1.0 - cg * cg)
    x = (ca - cb * cg) / sg
    return np.array([[a, 0.0, 0.0], [b * cg, b * sg, 0.0], [c * cb, c * x, c * math.sqrt(1.0 - cb * cb - x * x)]])


def matrix_parameters(matrix: NDArray[np.float64]) -> LatticeParameters:
    """Return the lattice parameters of rows a, b, c (Å, shape (3, 3))."""
    gram = (matrix @ matrix.T).tolist()
    a, b, c = (math.sqrt(gram[i][i]) for i in range(3))
    cosines = (gram[1][2] / (b * c), gram[0][2] / (a * c), gram[0][1] / (a * b))
    alpha, beta, gamma = (math.degrees(math.acos(max(-1.0, min(1.0, value)))) for value in cosines)
    return (a, b, c, alpha, beta, gamma)


def _exact_cosine(angle: float) -> float:
    """Return the cosine of ``angle`` (degrees), exact at 60°, 90° and 120°."""
    return {60.0: 0.5, 90.0: 0.0, 120.0: -0.5}.get(angle, math.cos(math.radians(angle)))
