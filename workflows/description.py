"""Documents of crystals: what is stored about a structure besides its atoms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genmat.database.documents import StructureDocument
from genmat.errors import RepresentationError
from genmat.representation import average_minimum_distances, content_id, from_structure, gene

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

    from genmat.representation import Crystal

SYMPREC = 0.01
"""Distance tolerance of every symmetry search, Å."""
STORED_FINGERPRINT = 16
"""Average minimum distances that a document keeps."""


@dataclass(frozen=True, slots=True)
class Described:
    """A structure with its representation; ``crystal`` is None where the symmetry search fails."""

    structure: Structure
    crystal: Crystal | None

    @property
    def space_group_number(self) -> int | None:
        """Number of the space group, None without representation."""
        return None if self.crystal is None else self.crystal.number


def describe(structure: Structure) -> Described:
    """Return a structure with its representation x, in its primitive cell where x is known."""
    try:
        return Described(structure, from_structure(structure, symprec=SYMPREC))
    except RepresentationError:
        return Described(structure, None)


def structure_document(described: Described, *, identifier: str, parents: list[str]) -> StructureDocument:
    """Return the document of a described structure."""
    crystal = described.crystal
    return StructureDocument.from_structure(
        described.structure,
        identifier=identifier,
        space_group_number=described.space_group_number,
        gene=None if crystal is None else gene(crystal),
        fingerprint=average_minimum_distances(described.structure, k=STORED_FINGERPRINT).tolist(),
        content_hash=None if crystal is None else content_id(crystal),
        parents=parents,
        x=None if crystal is None else crystal.to_dict(),
    )
