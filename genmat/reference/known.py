"""The known crystals without their atoms: hull and geometric neighbours, in a third of the reference's memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genmat.reference.entries import HullEntries, fractions_of
from genmat.reference.fingerprint import N_ALL, fingerprint, fingerprint_difference
from genmat.reference.formula import parse_formula
from genmat.reference.hull import Hull

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.core.structure import Structure

    from genmat.reference.table import ReferenceMetadata


_SYMBOL = re.compile("[A-Z][a-z]?")


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A known crystal near another one.

    Parameters
    ----------
    material_id, formula
        Of the known crystal.
    difference
        Of the fingerprints, dimensionless; 0 for the same arrangement of atoms, whatever the elements and the size.
    """

    material_id: str
    formula: str
    difference: float


@dataclass(frozen=True, slots=True, eq=False)
class KnownCrystals:
    """Columns of a reference.

    Parameters
    ----------
    id
        Id of the reference, as its file states it.
    metadata
        What it was made from.
    material_ids, formulas
        Length n.
    fingerprints
        Shape (n, ``N_ALL``), uint16: the part that does not distinguish elements.
    energies
        eV/atom, shape (n,); NaN where not computed.
    """

    id: str
    metadata: ReferenceMetadata
    material_ids: tuple[str, ...]
    formulas: tuple[str, ...]
    fingerprints: NDArray[np.uint16]
    energies: NDArray[np.float64]

    def hull(self) -> Hull:
        """Return the hull of all rows that have an energy."""
        rows = np.flatnonzero(~np.isnan(self.energies))
        formulas = tuple(self.formulas[row] for row in rows)
        compositions = tuple(fractions_of(parse_formula(formula)) for formula in formulas)
        names = tuple(self.material_ids[row] for row in rows)
        return Hull(HullEntries(names, formulas, compositions, self.energies[rows]), scale=self.metadata.scale)

    def nearest(self, structure: Structure, *, number: int) -> list[Neighbour]:
        """Return the known crystals of the same elements whose arrangement of atoms is most alike, nearest first."""
        elements = {element.symbol for element in structure.composition.elements}
        rows = np.array(
            [k for k, text in enumerate(self.formulas) if set(_SYMBOL.findall(text)) == elements], dtype=int
        )
        differences = fingerprint_difference(fingerprint(structure)[:N_ALL], self.fingerprints[rows])
        order = np.argsort(differences, kind="stable")[:number]
        return [Neighbour(self.material_ids[rows[k]], self.formulas[rows[k]], float(differences[k])) for k in order]
