"""Lower convex hull of one chemical system, as planes of elemental chemical potentials.

A point of the hull problem is a composition (atomic fractions ``x``, d of them, summing to 1) with an energy per atom.
The lower hull is the largest convex function below all points, and it is the maximum over finitely many planes

    E_hull(x) = max_f  Σ_k μ_fk x_k                                  (1)

where ``μ_fk`` is the chemical potential of element k on facet f (eV/atom). Evaluating (1) needs one small matrix
product and no search for the facet that holds ``x``. See Ong et al., Chem. Mater. 20, 1798 (2008),
https://doi.org/10.1021/cm702327g.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import ConvexHull

from genmat.errors import ReferenceDataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERTICAL = 1e-9
"""A facet whose unit normal has a last component above minus this bounds the composition simplex, not the energy."""

SUPPORT_TOLERANCE = 1e-10
"""Largest height (eV/atom) by which a plane may pass above a point: rounding of the facet equations."""


@dataclass(frozen=True, slots=True)
class LowerHull:
    """Facets of a lower hull.

    Parameters
    ----------
    potentials
        Chemical potential of every element on every facet, eV/atom, shape (n_facets, d).
    simplices
        Rows of the point table that span each facet, shape (n_facets, d). Coplanar facets are triangulated.
    """

    potentials: NDArray[np.float64]
    simplices: NDArray[np.intp]

    def energies(self, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the hull energy of each composition, eV/atom, shape (n,), for ``fractions`` of shape (n, d)."""
        result: NDArray[np.float64] = (fractions @ self.potentials.T).max(axis=1)
        return result


@dataclass(frozen=True, slots=True)
class System:
    """Hull of one chemical system.

    Parameters
    ----------
    numbers
        Atomic numbers of its d elements, ascending.
    points
        Rows of the entries that may span it, shape (n,).
    fractions
        Their compositions, shape (n, d).
    hull
        Its facets; they count ``points``.
    """

    numbers: tuple[int, ...]
    points: NDArray[np.intp]
    fractions: NDArray[np.float64]
    hull: LowerHull


def lower_hull(fractions: NDArray[np.float64], energies: NDArray[np.float64]) -> LowerHull:
    """Return the lower hull of points in one chemical system.

    Parameters
    ----------
    fractions
        Atomic fractions, shape (n, d); the first d rows are the pure elements, in the order of the columns.
    energies
        Energies, eV/atom, shape (n,).

    Returns
    -------
    LowerHull
        Planes that no point lies below by more than ``SUPPORT_TOLERANCE``.

    Raises
    ------
    ReferenceDataError
        If the planes do not support the points, which no set of finite energies should bring about.

    Notes
    -----
    Qhull works on formation energies (the elements lie at zero), so that only points with a negative one matter. A
    point above the centre of the simplex makes the hull full-dimensional even if all compounds lie on one plane;
    the facets that hold it are the upper ones. Facets are triangulated (``Qt``) and never joggled (``QJ`` moves the
    points).
    """
    n_elements = fractions.shape[1]
    corners = energies[:n_elements]
    formation = energies - fractions @ corners
    formation[:n_elements] = 0.0
    is_below = formation < 0.0
    if n_elements == 1 or not is_below.any():
        return LowerHull(corners[None, :].copy(), np.arange(n_elements)[None, :])
    is_below[:n_elements] = True
    rows = np.flatnonzero(is_below)
    inside, levels = fractions[rows], formation[rows]
    depth = -levels.min()
    points = np.empty((len(rows) + 1, n_elements))
    points[:-1, :-1] = inside[:, 1:]
    points[:-1, -1] = levels / depth
    points[-1] = 1.0 / n_elements
    points[-1, -1] = 1.0
    hull = ConvexHull(points, qhull_options="Qt")
    equations, facets = hull.equations, hull.simplices
    lower = (equations[:, -2] < -VERTICAL) & (facets.max(axis=1) < len(rows))
    equations, facets = equations[lower], facets[lower]
    # Height of each plane above the corner of element 0 (the origin) and above those of the other elements.
    heights = np.repeat(equations[:, -1:], n_elements, axis=1)
    heights[:, 1:] += equations[:, :-2]
    heights /= -equations[:, -2:-1]
    planes = depth * heights + corners
    excess = inside @ planes.T - energies[rows, None]
    keep = excess.max(axis=0) <= SUPPORT_TOLERANCE
    is_vertex = np.zeros(len(rows), dtype=np.bool_)
    is_vertex[facets] = True
    if not keep.any() or excess[is_vertex][:, keep].max(axis=1).min() < -SUPPORT_TOLERANCE:
        msg = (
            f"the convex hull of {len(rows)} points in {n_elements} elements is numerically singular, expected every "
            f"vertex to lie on a facet within {SUPPORT_TOLERANCE} eV/atom: check the energies of the reference"
        )
        raise ReferenceDataError(msg)
    return LowerHull(planes[keep], rows[facets[keep]])
