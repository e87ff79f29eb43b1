"""Known crystals around candidates, taken from a hull for its diagrams."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from genmat.campaign import PropertyName
from genmat.reference.entries import ATOMIC_NUMBERS, fractions_of, system_key
from genmat.reference.facets import lower_hull
from genmat.reference.formula import parse_formula
from genmat.report.content import Decomposition, HullPoint, HullSystem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genmat.reference.hull import Hull
    from genmat.report.content import ReportedCandidate

NEAR_HULL = 0.15
"""Known crystals farther above the hull are not shown, eV/atom."""

MAX_POINTS = 250
"""Known crystals in a diagram, those nearest to the hull."""


def chosen_systems(best: Sequence[ReportedCandidate], *, limit: int) -> list[tuple[str, ...]]:
    """Return the chemical systems of the best candidates, each once, in the order of their first candidate."""
    systems = dict.fromkeys(tuple(sorted(c.elements)) for c in best if len(c.elements) > 1)
    return list(systems)[:limit]


def hull_system(hull: Hull, elements: tuple[str, ...], accepted: Sequence[ReportedCandidate]) -> HullSystem:
    """Return the known crystals of a chemical system near the hull and the accepted candidates in it.

    Parameters
    ----------
    hull
        Hull of the reference, without what the campaign added.
    elements
        Symbols of the system; at least two.
    accepted
        Candidates, of whatever system.

    Raises
    ------
    MissingReferenceError
        If an element has no reference.
    """
    hull.check_elements(elements)
    references = _references(hull, elements)
    mine = [c for c in accepted if tuple(sorted(c.elements)) == tuple(sorted(elements)) and _is_complete(c)]
    candidates = [_candidate(candidate, elements) for candidate in mine]
    decompositions = [
        Decomposition(
            point,
            tuple(
                (phase.formula, phase.material_id, phase.fraction)
                for phase in hull.decomposition(_composition(point, elements))
            ),
        )
        for point in candidates
    ]
    return HullSystem(elements, references, tuple(candidates), _ties(references), tuple(decompositions))


def _is_complete(candidate: ReportedCandidate) -> bool:
    has_energies = PropertyName.FORMATION_ENERGY_PER_ATOM in candidate.properties
    return has_energies and candidate.formula is not None and candidate.energy_above_hull is not None


def _composition(point: HullPoint, elements: tuple[str, ...]) -> dict[str, float]:
    return {symbol: share for symbol, share in zip(elements, point.fractions, strict=True) if share > 0.0}


def _references(hull: Hull, elements: tuple[str, ...]) -> tuple[HullPoint, ...]:
    """Return the elements in their order, then the other crystals, nearest to the hull first."""
    entries = hull.entries
    outside = ~system_key(ATOMIC_NUMBERS[symbol] for symbol in elements)
    columns = {ATOMIC_NUMBERS[symbol]: place for place, symbol in enumerate(elements)}
    rows = [row for row, composition in enumerate(entries.compositions) if composition.key & outside == 0]
    points = []
    for row in rows:
        shares = [0.0] * len(elements)
        for z, share in zip(entries.compositions[row].numbers, entries.compositions[row].values, strict=True):
            shares[columns[z]] = share
        composition = {symbol: share for symbol, share in zip(elements, shares, strict=True) if share > 0.0}
        energy = float(entries.energies[row])
        above = hull.energy_above_hull(composition, energy, scale=hull.scale)
        if above <= NEAR_HULL:
            formation = hull.formation_energy_per_atom(composition, energy, scale=hull.scale)
            name, formula = entries.material_ids[row], entries.formulas[row]
            points.append(HullPoint(name, formula, tuple(shares), formation, max(0.0, round(above, 9))))
    points.sort(key=lambda point: (point.energy_above_hull, point.id))
    pure = [next(point for point in points if point.fractions[place] == 1.0) for place in range(len(elements))]
    return (*pure, *[point for point in points if point not in pure][:MAX_POINTS])


def _candidate(candidate: ReportedCandidate, elements: tuple[str, ...]) -> HullPoint:
    fractions = fractions_of(parse_formula(str(candidate.formula)))
    shares = dict(zip(fractions.numbers, fractions.values, strict=True))
    return HullPoint(
        candidate.id,
        str(candidate.formula),
        tuple(shares.get(ATOMIC_NUMBERS[symbol], 0.0) for symbol in elements),
        candidate.properties[PropertyName.FORMATION_ENERGY_PER_ATOM],
        float(candidate.energy_above_hull or 0.0),
        candidate.rank,
    )


def _ties(references: Sequence[HullPoint]) -> tuple[tuple[int, int], ...]:
    """Return the edges of the hull as pairs of rows; the first rows are the elements."""
    n_elements = len(references[0].fractions)
    rows = list(range(n_elements))
    rows += [k for k in range(n_elements, len(references)) if references[k].energy_above_hull == 0.0]
    fractions = np.asarray([references[row].fractions for row in rows])
    energies = np.asarray([references[row].formation_energy for row in rows])
    hull = lower_hull(fractions, energies)
    pairs = {tuple(sorted((rows[i], rows[j]))) for facet in hull.simplices.tolist() for i, j in combinations(facet, 2)}
    return tuple(sorted((i, j) for i, j in pairs))
