from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from genmat.models.pool import PotentialPool
from genmat.reference.formula import parse_formula
from genmat.reference.io import load_reference
from genmat.reference.table import Reference, ReferenceRow
from genmat.representation import Crystal, Orbit, to_structure

if TYPE_CHECKING:
    from collections.abc import Iterator

ELEMENTS = {"Br", "Ca", "Cl", "Cs", "Cu", "F", "I", "K", "Li", "Na", "Rb", "S", "Te", "Zn"}


@pytest.fixture(scope="session")
def reference() -> Reference:
    """Return what the packaged reference knows of a few elements: its hull takes milliseconds."""
    full = load_reference()
    rows = [
        ReferenceRow(
            material_id=full.material_ids[row],
            formula=formula,
            gene=full.genes[row],
            fingerprint=full.fingerprints[row],
            n_sites=int(full.n_sites[row]),
            energy_per_atom=None if np.isnan(full.energies[row]) else float(full.energies[row]),
            relaxed=bool(full.relaxed[row]),
            crystal=full.crystal(row),
        )
        for row, formula in enumerate(full.formulas)
        if ELEMENTS.issuperset(parse_formula(formula))
    ]
    return Reference.from_rows(rows, metadata=full.metadata)


@pytest.fixture(scope="session")
def pool() -> Iterator[PotentialPool]:
    """Return a pool of one real CHGNet."""
    with PotentialPool("chgnet-0.3.0", workers=1) as pool:
        yield pool


def rocksalt_of(metal: str, anion: str, *, edge: float) -> Structure:
    """Return a rocksalt in its conventional cell, the edge in Å."""
    crystal = Crystal(225, (Orbit(metal, "a"), Orbit(anion, "b")), (edge, edge, edge, 90.0, 90.0, 90.0))
    return to_structure(crystal, primitive=False)


@pytest.fixture
def rocksalt() -> Structure:
    """Return NaCl, which everybody knows, in its conventional cell."""
    return rocksalt_of("Na", "Cl", edge=5.69)


@pytest.fixture
def unknown() -> Structure:
    """Return LiBr in the structure of CsCl, which the reference does not hold."""
    return Structure(Lattice.cubic(3.35), ["Li", "Br"], [[0, 0, 0], [0.5, 0.5, 0.5]])
