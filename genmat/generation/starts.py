"""Geometry for a gene: known crystals of the same anonymous gene, with the gene's elements on their sites.

A gene says which element stands on which Wyckoff position; a relaxation needs free coordinates and a cell as well. The
best start is a crystal that exists: of the templates with the same anonymous gene the one whose elements, role by
role, are most like ours. With template elements t, ours e, atomic fractions x of the roles, log-odds s that one
element can stand for the other, volumes v and electronegativities χ of the elements,

    score = Σ_r w_r s(t_r, e_r) − c_v σ_x(ln v_e − ln v_t) − c_χ rms_x(χ_e − χ_t),  w = (x + 1 / n_roles) / 2       (1)

where an element stands for itself with s = 3. Cell shape and free coordinates stay the template's; the volume is what
the composition should have (:mod:`genmat.generation.volume`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from genmat.errors import RepresentationError, did_you_mean
from genmat.generation.charges import electronegativity
from genmat.generation.constraints import KEPT
from genmat.generation.mixing import N_ATOMIC_NUMBERS
from genmat.generation.prototypes import role_assignments
from genmat.reference.entries import ATOMIC_NUMBERS, SYMBOLS
from genmat.representation.contacts import distances_ok
from genmat.representation.conversion import to_arrays
from genmat.representation.crystal import ELEMENTS
from genmat.representation.fingerprint import neighbour_distances
from genmat.representation.lattice import crystal_system
from genmat.representation.wyckoff import space_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from genmat.generation.library import Template, TemplateLibrary
    from genmat.representation.crystal import Crystal
    from genmat.representation.gene import Occupation

    FloatArray = NDArray[np.float64]

SIZE_WEIGHT = 4.0
"""c_v of equation (1)."""

POLARITY_WEIGHT = 1.0
"""c_χ of equation (1)."""

MIN_DISTANCE_RATIO = 0.6
"""A geometry whose atoms would come closer than this times the sum of their covalent radii is passed over: what the
gate ``min_distance`` of a campaign asks by default."""

DIFFERENT = 0.05
"""Root mean square difference of relative neighbour distances from which on two geometries are different ones."""

MAX_LOOKED_AT = 24
"""Decorated templates that are built for each start wanted, before the search for more is given up."""

_N_NEIGHBOURS = 16


@dataclass(frozen=True, slots=True)
class Start:
    """A geometry to relax from.

    Parameters
    ----------
    crystal
        x with the gene that was asked for, in the template's description: letters can differ from those given by an
        element of the normaliser, and the group can be the enantiomorphic one.
    source
        Id of the known crystal whose geometry it is.
    score
        Equation (1): dimensionless, higher is nearer in chemistry, 3 at most.
    """

    crystal: Crystal
    source: str
    score: float


def template_starts(
    number: int,
    occupations: Sequence[Occupation],
    *,
    library: TemplateLibrary,
    n: int = 1,
    exclude: Callable[[Template], bool] | None = None,
) -> list[Start]:
    """Return geometries of known crystals for a gene, the chemically nearest first.

    Parameters
    ----------
    number
        Space group.
    occupations
        Element and Wyckoff letter of each orbit, in any description.
    library
        Known crystals.
    n
        Geometries wanted. They differ from each other by more than :data:`DIFFERENT`.
    exclude
        Says of a template that it must not be used.

    Returns
    -------
    list of Start
        At most ``n``; empty if no known crystal has the anonymous gene, or none without atoms on top of each other.

    Raises
    ------
    RepresentationError
        If the space group has not the letters, or an orbit is no element.
    """
    check_occupations(number, occupations)
    starts: list[Start] = []
    shapes: list[FloatArray] = []
    for looked_at, (template, symbols, score) in enumerate(_ranked(number, occupations, library, exclude)):
        if len(starts) == n or looked_at == MAX_LOOKED_AT * n:
            break
        crystal = _decorated(library, template, symbols)
        if not distances_ok(crystal, min_ratio=MIN_DISTANCE_RATIO):
            continue
        if n > 1:
            shape = _shape(crystal)
            if any(float(np.sqrt(((shape - other) ** 2).mean())) < DIFFERENT for other in shapes):
                continue
            shapes.append(shape)
        starts.append(Start(crystal, template.material_id, round(score, 6)))
        if not crystal.degrees_of_freedom and crystal_system(number) == "cubic":
            break  # all crystals of the gene have one shape
    return starts


def likeness(number: int, occupations: Sequence[Occupation], *, library: TemplateLibrary) -> float | None:
    """Return equation (1) for the known crystal of the same anonymous gene that is nearest in chemistry.

    Returns
    -------
    float or None
        Dimensionless, 3 at most; ``None`` if no known crystal has the anonymous gene.
    """
    check_occupations(number, occupations)
    return next((score for _, _, score in _ranked(number, occupations, library, None)), None)


def check_occupations(number: int, occupations: Sequence[Occupation]) -> None:
    """Check that elements can stand on Wyckoff letters of a space group.

    Raises
    ------
    RepresentationError
        If there are none, one is no element, the group has not the letter, or a point holds two.
    """
    if not occupations:
        msg = f"a gene of space group {number} needs at least one orbit"
        raise RepresentationError(msg)
    group = space_group(number)
    points: set[str] = set()
    for element, letter in occupations:
        if element not in ELEMENTS:
            msg = f"{element!r} is no element." + did_you_mean(element, ELEMENTS)
            raise RepresentationError(msg)
        if group.position(letter).dof == 0:
            if letter in points:
                msg = f"Wyckoff letter {letter} of space group {number} is a point, it holds one orbit only"
                raise RepresentationError(msg)
            points.add(letter)


@lru_cache(maxsize=2)
def _members(library: TemplateLibrary) -> dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return, for each prototype, the places of its templates in the library, and their elements (m, n_roles)."""
    places: dict[int, list[int]] = {}
    for place, template in enumerate(library.templates):
        places.setdefault(template.prototype, []).append(place)
    return {
        prototype: (np.asarray(found), np.asarray([library.templates[place].elements for place in found]))
        for prototype, found in places.items()
    }


@cache
def _electronegativities() -> FloatArray:
    """Return χ by atomic number, shape (119,)."""
    return np.asarray([electronegativity(SYMBOLS[z]) if z else 0.0 for z in range(N_ATOMIC_NUMBERS)])


@lru_cache(maxsize=2)
def _element_terms(library: TemplateLibrary) -> tuple[FloatArray, FloatArray]:
    """Return s with its diagonal, shape (119, 119), and ln v, shape (119,), by atomic numbers."""
    similarity = library.similarity + KEPT * np.eye(N_ATOMIC_NUMBERS)
    return similarity, np.log([library.volume.element_volume(z) for z in range(N_ATOMIC_NUMBERS)])


def _ranked(
    number: int,
    occupations: Sequence[Occupation],
    library: TemplateLibrary,
    exclude: Callable[[Template], bool] | None,
) -> Iterator[tuple[Template, tuple[str, ...], float]]:
    """Yield templates with a symbol for each role and their score, equation (1), best first."""
    key, assignments = role_assignments(number, occupations)
    prototype = library.prototypes.get(key)
    if prototype is None:
        return
    places, olds = _members(library)[prototype]
    counts = np.asarray(library.templates[int(places[0])].counts, dtype=np.float64)
    news = np.asarray([[ATOMIC_NUMBERS[symbol] for symbol in symbols] for symbols in assignments], dtype=np.int64)
    scores = _scores(library, olds, news, counts)
    excluded: dict[int, bool] = {}
    for flat in np.argsort(-scores, axis=None, kind="stable").tolist():
        member, assignment = divmod(flat, len(assignments))
        template = library.templates[places[member]]
        if exclude is not None:
            if member not in excluded:
                excluded[member] = exclude(template)
            if excluded[member]:
                continue
        yield template, assignments[assignment], float(scores[member, assignment])


def _scores(
    library: TemplateLibrary, olds: NDArray[np.int64], news: NDArray[np.int64], counts: FloatArray
) -> FloatArray:
    """Return equation (1) for every template (rows) and assignment (columns).

    Parameters
    ----------
    library
        What is known of elements.
    olds, news
        Atomic numbers by role: of templates, shape (m, r), and of assignments, shape (p, r).
    counts
        Atoms of each role, shape (r,).
    """
    similarity, volumes = _element_terms(library)
    chi = _electronegativities()
    x = counts / counts.sum()
    weights = 0.5 * (x + 1.0 / len(x))
    old, new = olds[:, None, :], news[None, :, :]
    growth = volumes[new] - volumes[old]  # (m, p, r)
    mean = growth @ x
    mismatch = np.sqrt(np.maximum((growth**2) @ x - mean**2, 0.0))
    polarity = np.sqrt(((chi[new] - chi[old]) ** 2) @ x)
    result: FloatArray = similarity[old, new] @ weights - SIZE_WEIGHT * mismatch - POLARITY_WEIGHT * polarity
    return result


def _decorated(library: TemplateLibrary, template: Template, symbols: tuple[str, ...]) -> Crystal:
    """Return x of a template with other elements, at the volume that they should have."""
    old = tuple(zip(template.elements, template.counts, strict=True))
    new = [(ATOMIC_NUMBERS[symbol], count) for symbol, count in zip(symbols, template.counts, strict=True)]
    factor = library.volume.decorated(template.volume_per_atom, old, new) / template.volume_per_atom
    mapping = {SYMBOLS[z]: symbol for z, symbol in zip(template.elements, symbols, strict=True)}
    return library.crystal(template).replace_elements(mapping).scale_volume(factor)


def _shape(crystal: Crystal) -> FloatArray:
    """Return the mean distances of each element's atoms to their neighbours, in units of ∛(volume per atom).

    Returns
    -------
    ndarray
        Elements in alphabetical order, shape (n_elements, 16).
    """
    matrix, symbols, points = to_arrays(crystal)
    nearest = neighbour_distances(matrix, points, k=_N_NEIGHBOURS) / math.cbrt(crystal.volume / len(symbols))
    names = np.asarray(symbols)
    return np.stack([nearest[names == element].mean(axis=0) for element in sorted(set(symbols))])
