"""Everything that one candidate's page shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genmat.database.story import tell
from genmat.errors import GenmatError
from genmat.report.content import ReportedCandidate
from genmat.report.hull_data import hull_system

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

    from genmat.dashboard.board import Board
    from genmat.database.documents import CandidateDocument
    from genmat.database.store import Lineage
    from genmat.reference.known import Neighbour
    from genmat.report.content import Decomposition

NEIGHBOURS = 6
"""Known crystals that are listed."""
SYMPREC = 0.01
"""Distance tolerance of the symmetry that a page states, Å."""


@dataclass(frozen=True, slots=True)
class Orbit:
    """Equivalent atoms.

    Parameters
    ----------
    symbol
        Element.
    letter, multiplicity
        Wyckoff position in the conventional cell.
    site_symmetry
        Point group of the site, as spglib writes it.
    coordinates
        Fractional coordinates of one atom in the conventional cell.
    """

    symbol: str
    letter: str
    multiplicity: int
    site_symmetry: str
    coordinates: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Symmetry:
    """Space group, conventional cell and orbits of a crystal; lengths in Å, angles in degrees."""

    number: int
    lattice: tuple[float, ...]
    orbits: tuple[Orbit, ...]


@dataclass(frozen=True, slots=True)
class CandidateView:
    """A candidate with everything that is known of it."""

    candidate: CandidateDocument
    story: dict[str, Any]
    lineage: Lineage
    structure: Structure | None
    is_relaxed: bool
    symmetry: Symmetry | None
    decomposition: Decomposition | None
    neighbours: tuple[Neighbour, ...]
    notes: tuple[str, ...] = field(default=())


def structure_of(board: Board, candidate: CandidateDocument) -> Structure | None:
    """Return the relaxed crystal of a candidate, or the drawn one."""
    identifier = candidate.relaxed_structure_id or candidate.structure_id
    document = None if identifier is None else board.store.structures.get(identifier)
    return None if document is None else document.to_structure()


def view(board: Board, identifier: str) -> CandidateView:
    """Return what the page of a candidate shows.

    Raises
    ------
    DatabaseError
        If there is no such candidate.
    """
    lineage = board.store.lineage(identifier)
    candidate = lineage.candidate
    structure = structure_of(board, candidate)
    notes: list[str] = []
    decomposition: Decomposition | None = None
    neighbours: tuple[Neighbour, ...] = ()
    if structure is not None:
        key = ("known", candidate.relaxed_structure_id or candidate.structure_id)
        try:
            decomposition, neighbours = board.cache.keep(key, lambda: _surroundings(board, candidate, structure))
        except GenmatError as err:
            notes.append(f"Nothing is known of its surroundings: {err}")
    return CandidateView(
        candidate=candidate,
        story=tell(board.store, identifier),
        lineage=lineage,
        structure=structure,
        is_relaxed=candidate.relaxed_structure_id is not None,
        symmetry=None if structure is None else symmetry(structure),
        decomposition=decomposition,
        neighbours=neighbours,
        notes=tuple(notes),
    )


def _surroundings(
    board: Board, candidate: CandidateDocument, structure: Structure
) -> tuple[Decomposition | None, tuple[Neighbour, ...]]:
    """Return what competes with a candidate, and the known crystals most like it."""
    known, hull = board.known()
    decomposition = None
    if len(candidate.elements) > 1:
        system = hull_system(hull, tuple(sorted(candidate.elements)), [ReportedCandidate.from_document(candidate)])
        decomposition = system.decompositions[0] if system.decompositions else None
    return decomposition, tuple(known.nearest(structure, number=NEIGHBOURS))


def symmetry(structure: Structure) -> Symmetry | None:
    """Return the symmetry of a crystal; ``None`` if it has none that can be found."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError

    try:
        analyzer = SpacegroupAnalyzer(structure, symprec=SYMPREC)
        cell = analyzer.get_conventional_standard_structure()
        dataset = SpacegroupAnalyzer(cell, symprec=SYMPREC).get_symmetry_dataset()
    except (SymmetryUndeterminedError, ValueError, TypeError):
        return None
    counts: dict[int, int] = {}
    for atom in dataset.equivalent_atoms:
        counts[int(atom)] = counts.get(int(atom), 0) + 1
    orbits = [
        Orbit(
            symbol=cell[atom].specie.symbol,
            letter=str(dataset.wyckoffs[atom]),
            multiplicity=multiplicity,
            site_symmetry=str(dataset.site_symmetry_symbols[atom]),
            coordinates=tuple(round(float(x) % 1.0, 4) for x in cell[atom].frac_coords),
        )
        for atom, multiplicity in counts.items()
    ]
    orbits.sort(key=lambda orbit: (orbit.symbol, orbit.multiplicity, orbit.letter))
    return Symmetry(int(dataset.number), tuple(map(float, cell.lattice.parameters)), tuple(orbits))
