"""A reference of a few well-known crystals, two of them known by gene and fingerprint alone."""

from __future__ import annotations

import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.energy import EnergyScale
from genmat.reference.fingerprint import fingerprint
from genmat.reference.formula import reduced_formula
from genmat.reference.table import Reference, ReferenceMetadata, ReferenceRow
from genmat.representation import from_structure, gene

ROCK_SALT = [[0, 0, 0], [0.5, 0.5, 0.5]]

CRYSTALS: dict[str, Structure] = {
    "rock-salt": Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], ROCK_SALT),
    "caesium-chloride": Structure(Lattice.cubic(3.5), ["Na", "Cl"], ROCK_SALT),
    "quartz": Structure.from_spacegroup(
        "P3_221", Lattice.hexagonal(4.91, 5.43), ["Si", "O"], [[0.47, 0, 2 / 3], [0.41, 0.27, 0.78]]
    ),
    "cristobalite": Structure.from_spacegroup(
        "P4_12_12", Lattice.tetragonal(4.97, 6.93), ["Si", "O"], [[0.3, 0.3, 0], [0.24, 0.1, 0.18]]
    ),
}

WITHOUT_GEOMETRY = ("caesium-chloride", "cristobalite")


def gene_of(structure: Structure) -> str:
    """Return the gene of a structure."""
    return gene(from_structure(structure))


@pytest.fixture(scope="session")
def reference() -> Reference:
    metadata = ReferenceMetadata(
        potential="chgnet-0.3.0",
        potential_sha256="ab" * 32,
        scale=EnergyScale("chgnet-0.3.0", "PBE", "MP", "PBE", "MP2020"),
        protocol={},
        versions={},
        source="textbooks",
        attribution="nobody",
    )
    rows = [
        ReferenceRow(
            material_id=name,
            formula=reduced_formula(structure.composition),
            gene=gene_of(structure),
            fingerprint=fingerprint(structure),
            n_sites=len(structure),
            crystal=None if name in WITHOUT_GEOMETRY else from_structure(structure),
        )
        for name, structure in CRYSTALS.items()
    ]
    return Reference.from_rows(rows, metadata=metadata)
