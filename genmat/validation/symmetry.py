"""A crystal on the symmetry that it has within a tolerance: what an engine that looks closer would not find."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

SYMPREC = 0.01
"""Tolerance of the search, Å: small, so that a crystal is not put on the saddle between two distorted ones."""
FARTHEST = 0.05
"""Displacement beyond which the crystal stays as it is, Å."""
DENOMINATOR = 24
"""Translations about a standard origin are multiples of 1/24 of the axes."""


def symmetrized(structure: Structure) -> Structure:
    """Return a crystal with atoms and cell moved onto its space group and its origin on the standard one.

    A relaxed crystal holds its space group to some 1e-4 Å. A program that asks for 1e-7, and for operations without a
    translation, finds few of them, and with few operations a crystal has many times the k-points. Under the operations
    (W, w), with the permutation p of the sites and whole numbers n,

        x'_p(i) = mean over (W, w) of W x_i + w + n,    G' = mean over W of W^T G W

    for the fractional coordinates x and the metric tensor G.

    Parameters
    ----------
    structure
        Ordered crystal, with any cell; sites keep their order.

    Returns
    -------
    Structure
        The same crystal where no symmetry is found, or the sites would move too far.
    """
    import numpy as np
    import spglib

    from genmat.representation.operations import Symmetry

    numbers = [site.specie.Z for site in structure]
    cell = (structure.lattice.matrix.tolist(), structure.frac_coords.tolist(), numbers)
    try:
        found = spglib.get_symmetry_dataset(cell, symprec=SYMPREC)
    except spglib.SpglibError:
        found = None
    if found is None or found.number == 1:
        return structure
    rotations = np.asarray(found.rotations, dtype=np.float64)
    origin = np.linalg.solve(found.transformation_matrix, found.origin_shift)
    placed = type(structure)(structure.lattice, structure.species, structure.frac_coords + origin)
    near = found.translations + origin - rotations @ origin
    translations = np.round(near * DENOMINATOR) / DENOMINATOR
    symmetry = Symmetry.from_operations(placed, rotations, translations)
    if symmetry is None:
        return structure
    moved = symmetry.applied(placed, cell=True, origin=True)
    away = (moved.frac_coords - placed.frac_coords) @ moved.lattice.matrix
    return moved if np.linalg.norm(away, axis=1).max() <= FARTHEST else structure
