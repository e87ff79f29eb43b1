"""A few crystals and a small reference made of them."""

from __future__ import annotations

import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.energy import EnergyScale
from genmat.reference.fingerprint import fingerprint
from genmat.reference.formula import reduced_formula
from genmat.reference.table import Reference, ReferenceMetadata, ReferenceRow
from genmat.representation import from_structure, gene

SCALE = EnergyScale("chgnet-0.3.0", "PBE", "MP", "PBE", "MP2020")


def make_structures() -> dict[str, Structure]:
    """Return well-known crystals by id."""
    rock_salt = [[0, 0, 0], [0.5, 0.5, 0.5]]
    return {
        "na": Structure.from_spacegroup("Im-3m", Lattice.cubic(4.2), ["Na"], [[0, 0, 0]]).get_primitive_structure(),
        "cl": Structure(Lattice.orthorhombic(4.5, 5.0, 8.2), ["Cl"] * 2, [[0, 0.4, 0.1], [0, 0.6, 0.9]]),
        "nacl": Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], rock_salt),
        "cscl-nacl": Structure(Lattice.cubic(3.5), ["Na", "Cl"], rock_salt),
        "quartz": Structure.from_spacegroup(
            "P3_221", Lattice.hexagonal(4.91, 5.43), ["Si", "O"], [[0.47, 0, 2 / 3], [0.41, 0.27, 0.78]]
        ),
        "si": Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.47), ["Si"], [[0, 0, 0]]),
        "o": Structure(Lattice.orthorhombic(3.5, 4.0, 4.5), ["O"] * 2, [[0, 0, 0.13], [0, 0, 0.87]]),
    }


ENERGIES = {"na": -1.3, "cl": -1.8, "nacl": -3.4, "cscl-nacl": -3.3, "quartz": -7.9, "si": -5.4, "o": -4.9}
"""Invented energies, eV/atom, in a sensible order."""

METADATA = ReferenceMetadata(
    potential="chgnet-0.3.0",
    potential_sha256="ab" * 32,
    scale=SCALE,
    protocol={"fmax": 0.05},
    versions={"genmat": "0.1.0"},
    source="made up",
    attribution="nobody",
)


def make_row(material_id: str, structure: Structure, **fields: object) -> ReferenceRow:
    """Return the row of a structure."""
    return ReferenceRow(
        material_id=material_id,
        formula=reduced_formula(structure.composition),
        gene=gene(from_structure(structure)),
        fingerprint=fingerprint(structure),
        n_sites=len(structure),
        **fields,
    )


@pytest.fixture(scope="session")
def structures() -> dict[str, Structure]:
    return make_structures()


@pytest.fixture(scope="session")
def small_reference(structures) -> Reference:
    """Return a reference of all structures, with x for those that are relaxed."""
    rows = [
        make_row(
            name,
            structure,
            energy_per_atom=ENERGIES[name],
            relaxed=name != "cscl-nacl",
            crystal=None if name == "cscl-nacl" else from_structure(structure),
        )
        for name, structure in structures.items()
    ]
    rows.append(make_row("unlabelled", Structure(Lattice.cubic(4.0), ["K", "Br"], [[0, 0, 0], [0.5, 0.5, 0.5]])))
    return Reference.from_rows(rows, metadata=METADATA)
