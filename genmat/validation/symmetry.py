"""A crystal on the symmetry that it has within a tolerance: what an engine that looks closer would not find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray
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
    placed = structure.frac_coords + origin
    near = found.translations + origin - rotations @ origin
    translations = np.round(near * DENOMINATOR) / DENOMINATOR
    matrix = _lattice(structure.lattice.matrix, rotations)
    coords = _positions(placed, rotations, translations, np.asarray(numbers))
    farthest = np.linalg.norm((coords - placed) @ matrix, axis=1).max()
    return type(structure)(matrix, structure.species, coords) if farthest <= FARTHEST else structure


def _lattice(matrix: NDArray[Any], rotations: NDArray[Any]) -> NDArray[Any]:
    """Return the nearest lattice, rows a, b, c, with the averaged metric: a pure stretch U, (L U)(L U)^T = G'."""
    import numpy as np

    metric = np.einsum("gki,kl,glj->ij", rotations, matrix @ matrix.T, rotations) / len(rotations)
    inverse = np.linalg.inv(matrix)
    values, vectors = np.linalg.eigh(inverse @ metric @ inverse.T)
    return np.asarray(matrix @ (vectors * np.sqrt(values)) @ vectors.T)


def _positions(
    coords: NDArray[Any], rotations: NDArray[Any], translations: NDArray[Any], numbers: NDArray[Any]
) -> NDArray[Any]:
    import numpy as np

    moved = np.zeros_like(coords)
    for rotation, translation in zip(rotations, translations, strict=True):
        images = coords @ rotation.T + translation
        gap = coords[None, :, :] - images[:, None, :]  # (image, site, 3)
        whole = np.round(gap)
        away = np.linalg.norm(gap - whole, axis=2) + 1e3 * (numbers[None, :] != numbers[:, None])
        site = away.argmin(axis=1)
        moved[site] += images + whole[np.arange(len(site)), site]
    return np.asarray(moved / len(rotations))
