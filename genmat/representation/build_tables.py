"""Build the packaged Wyckoff table: ``python -m genmat.representation.build_tables`` (needs pyxtal, a few minutes).

Facts, and where they come from:

- operations, Wyckoff letters, representatives, site symmetries of the standard settings: International Tables A as
  given by pyxtal (MIT) and, for the operations, checked against spglib's Hall symbol database;
- the shift from spglib's default origin (choice 1) to the standard one (choice 2): found here, checked with spglib;
- letter permutations of the affine normaliser, enantiomorphic pairs: computed here, exactly.

The table is then checked against spglib: crystals that occupy every position of a group must get the same letters.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import spglib

from genmat.errors import RepresentationError
from genmat.representation.affine import DENOMINATOR, Affine, IntArray, format_affine, parse_affine
from genmat.representation.io import write_wyckoff_table
from genmat.representation.lattice import N_SPACE_GROUPS, crystal_system, lattice_matrix, lattice_parameters
from genmat.representation.normalizer import (
    ExactGroup,
    ExactPosition,
    conjugating_shifts,
    enantiomorph_letter_map,
    normalizer_letter_maps,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

CENTRINGS: dict[str, list[str]] = {
    "P": ["0,0,0"],
    "A": ["0,0,0", "0,1/2,1/2"],
    "C": ["0,0,0", "1/2,1/2,0"],
    "I": ["0,0,0", "1/2,1/2,1/2"],
    "F": ["0,0,0", "0,1/2,1/2", "1/2,0,1/2", "1/2,1/2,0"],
    "R": ["0,0,0", "2/3,1/3,1/3", "1/3,2/3,2/3"],
}
"""Lattice points of the conventional cells that occur in standard settings."""

ENANTIOMORPHS = {78: 76, 95: 91, 96: 92, 145: 144, 153: 151, 154: 152, 170: 169, 172: 171, 179: 178, 181: 180, 213: 212}
"""The eleven enantiomorphic pairs, higher number to lower."""

_FREE_LATTICE = {"a": 7.31, "b": 8.87, "c": 11.53, "alpha": 81.7, "beta": 98.3, "gamma": 103.1}
_SYMPREC = 1e-5
_ORBITS = 3
"""Orbits on each letter that has free coordinates; one alone may have a higher symmetry."""


def build_tables() -> dict[str, Any]:
    """Return the whole table, ready for JSON."""
    groups = [_group_table(number) for number in range(1, N_SPACE_GROUPS + 1)]
    exact = {number: _exact_group(table) for number, table in enumerate(groups, start=1)}
    for number, table in enumerate(groups, start=1):
        table["normalizer"] = [
            [format_affine(element.affine), "".join(element.letters)]
            for element in normalizer_letter_maps(exact[number])
        ]
        if number in ENANTIOMORPHS:
            other = ENANTIOMORPHS[number]
            mirror = enantiomorph_letter_map(exact[number], exact[other])
            table["enantiomorph"] = [other, format_affine(mirror.affine), "".join(mirror.letters)]
        shift = _spglib_shift(number, exact[number])
        table["spglib_shift"] = format_affine(Affine(np.zeros((3, 3), dtype=np.int64), shift))
        logger.info("space group %d: %d letter maps", number, len(table["normalizer"]))
    return {
        "schema_version": 1,
        "source": "International Tables for Crystallography A via pyxtal and spglib; normalisers computed by genmat",
        "centrings": CENTRINGS,
        "groups": groups,
    }


def _group_table(number: int) -> dict[str, Any]:
    """Return symbol, operations and positions of one group."""
    from pyxtal.symmetry import Group

    group = Group(number)
    operations = [parse_affine(operation.as_xyz_str()).modulo() for operation in group[0].ops]
    _check_against_spglib(number, int(group.hall_number), operations)
    symbol = str(group.symbol)
    centring = _vectors(CENTRINGS[symbol[0]])
    positions = sorted(group, key=lambda position: (position.letter.isupper(), position.letter))
    return {
        "number": number,
        "symbol": symbol,
        "operations": [format_affine(operation) for operation in _coset_representatives(operations, centring)],
        "positions": [
            [
                str(position.letter),
                str(position.get_site_symmetry_object().name),
                format_affine(parse_affine(position.ops[0].as_xyz_str())),
            ]
            for position in positions
        ],
    }


def _vectors(texts: list[str]) -> IntArray:
    """Return translations written as text in units of 1/24, shape (n, 3)."""
    return np.array([parse_affine(text).shift for text in texts])


def _coset_representatives(operations: list[Affine], centring: IntArray) -> list[Affine]:
    """Return the first operation of each coset of the centring translations, in the given order."""
    kept: dict[bytes, Affine] = {}
    for operation in operations:
        kept.setdefault(operation.matrix.tobytes(), operation)
    if len(kept) * len(centring) != len(operations):
        msg = f"{len(operations)} operations are not {len(centring)} times {len(kept)} cosets"
        raise RepresentationError(msg)
    return list(kept.values())


def _check_against_spglib(number: int, hall_number: int, operations: list[Affine]) -> None:
    """Raise unless spglib's database holds the same operations for this Hall number."""
    database = spglib.get_symmetry_from_database(hall_number)
    if database is None:
        msg = f"spglib has no Hall number {hall_number}"
        raise RepresentationError(msg)
    shifts = np.rint(database["translations"] * DENOMINATOR).astype(np.int64)
    theirs = {Affine(w.astype(np.int64), t).modulo().key for w, t in zip(database["rotations"], shifts, strict=True)}
    if theirs != {operation.key for operation in operations}:
        msg = f"pyxtal and spglib disagree about the operations of space group {number} (Hall number {hall_number})"
        raise RepresentationError(msg)


def _exact_group(table: dict[str, Any]) -> ExactGroup:
    """Return the group of a table entry."""
    return ExactGroup(
        system=crystal_system(table["number"]),
        operations=tuple(parse_affine(text) for text in table["operations"]),
        centring=_vectors(CENTRINGS[table["symbol"][0]]),
        positions=tuple(ExactPosition(letter, parse_affine(first)) for letter, _, first in table["positions"]),
    )


def _spglib_shift(number: int, group: ExactGroup) -> IntArray:
    """Return s (units of 1/24) such that spglib's default standardised positions + s lie in our setting.

    A crystal that occupies every letter is given to spglib; the shift must put each atom on the letter that spglib
    names. It is zero for every group with one origin.
    """
    lattice, points, types, letters = _crystal_on_every_letter(number, group)
    cell = (lattice.tolist(), points.tolist(), types)
    dataset = spglib.get_symmetry_dataset(cell, symprec=_SYMPREC)
    if dataset is None or dataset.number != number:
        msg = f"spglib does not find space group {number} in a crystal made from its table"
        raise RepresentationError(msg)
    default = spglib.get_symmetry_from_database(dataset.hall_number)
    if default is None:
        msg = f"spglib has no Hall number {dataset.hall_number}"
        raise RepresentationError(msg)
    source = ExactGroup(
        group.system,
        tuple(
            Affine(w.astype(np.int64), np.rint(t * DENOMINATOR).astype(np.int64))
            for w, t in zip(default["rotations"], default["translations"], strict=True)
        ),
        group.centring,
        group.positions,
    )
    named = dict(zip(dataset.mapping_to_primitive.tolist(), dataset.wyckoffs, strict=True))
    names = [named[i] for i in dataset.std_mapping_to_primitive.tolist()]
    if sorted(set(names)) != sorted(letters):
        msg = f"spglib names the letters {sorted(set(names))} of space group {number}, the table {sorted(letters)}"
        raise RepresentationError(msg)
    shifts = conjugating_shifts(source, group, np.eye(3, dtype=np.int64))
    for shift in shifts[np.lexsort(shifts.T[::-1])]:
        if _lie_on(dataset.std_positions + shift / DENOMINATOR, names, group):
            return np.asarray(shift)
    msg = f"no origin shift makes spglib's letters of space group {number} those of the table"
    raise RepresentationError(msg)


def _crystal_on_every_letter(
    number: int, group: ExactGroup
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[int], list[str]]:
    """Return lattice, positions and types of a crystal that occupies every letter, and the letters."""
    names = {"monoclinic": ("a", "b", "c", "beta"), "triclinic": tuple(_FREE_LATTICE), "orthorhombic": ("a", "b", "c")}
    free = {"cubic": ("a",)}.get(group.system, names.get(group.system, ("a", "c")))
    lattice = lattice_matrix(lattice_parameters(number, tuple(_FREE_LATTICE[name] for name in free)))
    points, types = [], []
    generator = np.random.default_rng(number)
    kinds = [position for position in group.positions for _ in range(_ORBITS if position.free_axes else 1)]
    for kind, position in enumerate(kinds, start=1):
        point = position.first.matrix @ generator.random(3) + position.first.shift / DENOMINATOR
        orbit = [
            operation.matrix @ point + (operation.shift + vector) / DENOMINATOR
            for operation in group.operations
            for vector in group.centring
        ]
        unique: list[NDArray[np.float64]] = []
        for candidate in orbit:
            if all(np.abs((d := candidate - other) - np.rint(d)).max() > _SYMPREC for other in unique):
                unique.append(candidate)
        points.extend(unique)
        types.extend([kind] * len(unique))
    return lattice, np.array(points) % 1.0, types, [position.letter for position in group.positions]


def _lie_on(points: NDArray[np.float64], names: list[str], group: ExactGroup) -> bool:
    """Return whether every letter holds, on its first image, one of the points that bear its name."""
    for position in group.positions:
        own = points[[name == position.letter for name in names]] - position.first.shift / DENOMINATOR
        residual = own - own @ position.solver.T @ position.first.matrix.T
        if not (np.abs(residual - np.rint(residual)).max(axis=1) < 1e2 * _SYMPREC).any():
            return False
    return True


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    write_wyckoff_table(build_tables())
