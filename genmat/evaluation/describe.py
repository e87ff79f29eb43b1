"""What the tests of identity and symmetry need to know of a sample."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import spglib
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.errors import RepresentationError
from genmat.representation import from_structure, gene
from genmat.representation.symmetry import DEFAULT_SYMPREC
from genmat.screening.identity import describe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genmat.screening.identity import Description

    type FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Described:
    """A crystal in its primitive cell.

    Parameters
    ----------
    structure
        Primitive cell as given, not idealised.
    number
        Space group; ``None`` where the symmetry search fails.
    description
        What the tests of identity compare.
    """

    structure: Structure
    number: int | None
    description: Description


def describe_sample(structure: Structure, *, symprec: float) -> Described:
    """Return the description of an ordered crystal in any cell.

    Parameters
    ----------
    structure
        The crystal.
    symprec
        Tolerance of its space group, Å. The primitive cell and the gene are found with the tolerance of the reference,
        ``DEFAULT_SYMPREC``.
    """
    primitive = primitive_cell(structure)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            name = gene(from_structure(primitive))
        except RepresentationError:
            name = ""
        return Described(primitive, space_group_number(primitive, symprec=symprec), describe(primitive, gene=name))


def primitive_cell(structure: Structure) -> Structure:
    """Return the primitive cell, its atoms where they are; the cell as given where the symmetry search fails."""
    cell = lattice, points, kinds = _cell(structure)
    try:
        found = spglib.standardize_cell(
            cell,  # type: ignore[arg-type]  # arrays are what spglib wants
            to_primitive=True,
            no_idealize=True,
            symprec=DEFAULT_SYMPREC,
        )
    except spglib.SpglibError:
        found = None
    if found is not None and len(found[2]) and len(structure) % len(found[2]) == 0:
        lattice, points, kinds = np.asarray(found[0]), np.asarray(found[1]), list(found[2])
    symbols = sorted({site.specie.symbol for site in structure})
    return Structure(Lattice(lattice), [symbols[kind] for kind in kinds], points, to_unit_cell=True)


def space_group_number(structure: Structure, *, symprec: float) -> int | None:
    """Return the space group of a crystal; ``None`` where the symmetry search fails."""
    try:
        dataset = spglib.get_symmetry_dataset(
            _cell(structure),  # type: ignore[arg-type]  # arrays are what spglib wants
            symprec=symprec,
        )
    except spglib.SpglibError:
        return None
    return None if dataset is None else int(dataset.number)


def _cell(structure: Structure) -> tuple[FloatArray, FloatArray, list[int]]:
    symbols = sorted({site.specie.symbol for site in structure})
    kinds = [symbols.index(site.specie.symbol) for site in structure]
    return np.asarray(structure.lattice.matrix), np.asarray(structure.frac_coords), kinds
