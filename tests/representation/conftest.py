"""Crystals for the tests of the representation: textbook prototypes, and real ones where they are at hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

N_REAL = 300


@dataclass(frozen=True)
class Prototype:
    """A structure from the textbook, made by pymatgen, with what is known of it."""

    name: str
    structure: Structure
    number: int
    gene: str
    anonymous: str


def group(symbol, lattice, *sites):
    """Return the structure that pymatgen's own space group tables make of (element, coordinates) pairs."""
    return Structure.from_spacegroup(symbol, lattice, [s for s, _ in sites], [x for _, x in sites])


CUBIC, HEXAGONAL = Lattice.cubic, Lattice.hexagonal

PROTOTYPES = [
    Prototype("copper", group("Fm-3m", CUBIC(3.61), ("Cu", [0, 0, 0])), 225, "225:Cu.a", "225:A.a"),
    Prototype("iron", group("Im-3m", CUBIC(2.87), ("Fe", [0, 0, 0])), 229, "229:Fe.a", "229:A.a"),
    Prototype(
        "magnesium", group("P6_3/mmc", HEXAGONAL(3.21, 5.21), ("Mg", [1 / 3, 2 / 3, 0.25])), 194, "194:Mg.c", "194:A.c"
    ),
    Prototype(
        "diamond",
        Structure(Lattice([[0, 1.78, 1.78], [1.78, 0, 1.78], [1.78, 1.78, 0]]), ["C", "C"], [[0, 0, 0], [0.25] * 3]),
        227,
        "227:C.a",
        "227:A.a",
    ),
    Prototype(
        "rock salt",
        group("Fm-3m", CUBIC(5.64), ("Na", [0, 0, 0]), ("Cl", [0.5, 0.5, 0.5])),
        225,
        "225:Cl.a,Na.b",
        "225:A.a,B.b",
    ),
    Prototype(
        "caesium chloride",
        group("Pm-3m", CUBIC(4.12), ("Cs", [0, 0, 0]), ("Cl", [0.5, 0.5, 0.5])),
        221,
        "221:Cl.a,Cs.b",
        "221:A.a,B.b",
    ),
    Prototype(
        "zinc blende",
        group("F-43m", CUBIC(5.41), ("Zn", [0, 0, 0]), ("S", [0.25, 0.25, 0.25])),
        216,
        "216:S.a,Zn.c",
        "216:A.a,B.c",
    ),
    Prototype(
        "wurtzite",
        group("P6_3mc", HEXAGONAL(3.82, 6.26), ("Zn", [1 / 3, 2 / 3, 0]), ("S", [1 / 3, 2 / 3, 0.375])),
        186,
        "186:S.b,Zn.b",
        "186:A.b,B.b",
    ),
    Prototype(
        "fluorite",
        group("Fm-3m", CUBIC(5.46), ("Ca", [0, 0, 0]), ("F", [0.25, 0.25, 0.25])),
        225,
        "225:Ca.a,F.c",
        "225:A.a,B.c",
    ),
    Prototype(
        "perovskite",
        group("Pm-3m", CUBIC(3.9), ("Sr", [0, 0, 0]), ("Ti", [0.5, 0.5, 0.5]), ("O", [0.5, 0.5, 0])),
        221,
        "221:O.c,Sr.a,Ti.b",
        "221:A.a,B.b,C.c",
    ),
    Prototype(
        "rutile",
        group("P4_2/mnm", Lattice.tetragonal(4.59, 2.96), ("Ti", [0, 0, 0]), ("O", [0.305, 0.305, 0])),
        136,
        "136:O.f,Ti.a",
        "136:A.a,B.f",
    ),
    Prototype(
        "corundum",
        group("R-3c", HEXAGONAL(4.76, 12.99), ("Al", [0, 0, 0.352]), ("O", [0.306, 0, 0.25])),
        167,
        "167:Al.c,O.e",
        "167:A.c,B.e",
    ),
    Prototype(
        "left quartz",
        group("P3_221", HEXAGONAL(4.91, 5.41), ("Si", [0.47, 0, 2 / 3]), ("O", [0.41, 0.27, 0.785])),
        154,
        "152:O.c,Si.a",
        "152:A.a,B.c",
    ),
    Prototype(
        "right quartz",
        group("P3_121", HEXAGONAL(4.91, 5.41), ("Si", [0.47, 0, 1 / 3]), ("O", [0.41, 0.27, 0.215])),
        152,
        "152:O.c,Si.a",
        "152:A.a,B.c",
    ),
    Prototype(
        "calcite",
        group("R-3c", HEXAGONAL(4.99, 17.06), ("Ca", [0, 0, 0]), ("C", [0, 0, 0.25]), ("O", [0.257, 0, 0.25])),
        167,
        "167:C.a,Ca.b,O.e",
        "167:A.a,B.b,C.e",
    ),
    Prototype(
        "pyrite", group("Pa-3", CUBIC(5.42), ("Fe", [0, 0, 0]), ("S", [0.385] * 3)), 205, "205:Fe.a,S.c", "205:A.a,B.c"
    ),
    Prototype(
        "nickel arsenide",
        group("P6_3/mmc", HEXAGONAL(3.62, 5.03), ("Ni", [0, 0, 0]), ("As", [1 / 3, 2 / 3, 0.25])),
        194,
        "194:As.c,Ni.a",
        "194:A.a,B.c",
    ),
    Prototype(
        "tungsten carbide",
        group("P-6m2", HEXAGONAL(2.91, 2.84), ("W", [0, 0, 0]), ("C", [1 / 3, 2 / 3, 0.5])),
        187,
        "187:C.a,W.d",
        "187:A.a,B.d",
    ),
    Prototype(
        "olivine",
        group(
            "Pnma",
            Lattice.orthorhombic(10.2, 5.98, 4.76),
            ("Mg", [0, 0, 0]),
            ("Mg", [0.277, 0.25, 0.99]),
            ("Si", [0.094, 0.25, 0.426]),
            ("O", [0.092, 0.25, 0.766]),
            ("O", [0.448, 0.25, 0.222]),
            ("O", [0.163, 0.033, 0.278]),
        ),
        62,
        "62:Mg.a,Mg.c,O.c2,O.d,Si.c",
        "62:A.a,A.c,B.c,C.c2,C.d",
    ),
    Prototype(
        "baddeleyite",
        group(
            "P2_1/c",
            Lattice.monoclinic(5.15, 5.21, 5.32, 99.2),
            ("Zr", [0.275, 0.04, 0.208]),
            ("O", [0.07, 0.332, 0.345]),
            ("O", [0.45, 0.757, 0.479]),
        ),
        14,
        "14:O.e2,Zr.e",
        "14:A.e,B.e2",
    ),
    Prototype(
        "A15",
        group("Pm-3n", CUBIC(4.56), ("Si", [0, 0, 0]), ("Cr", [0.25, 0, 0.5])),
        223,
        "223:Cr.c,Si.a",
        "223:A.a,B.c",
    ),
    Prototype(
        "gallia",
        group(
            "C2/m",
            Lattice.monoclinic(12.23, 3.04, 5.8, 103.7),
            ("Ga", [0.09, 0, 0.795]),
            ("Ga", [0.341, 0, 0.686]),
            ("O", [0.167, 0, 0.11]),
            ("O", [0.496, 0, 0.257]),
            ("O", [0.828, 0, 0.437]),
        ),
        12,
        "12:Ga.i2,O.i3",
        "12:A.i2,B.i3",
    ),
    Prototype(
        "triclinic",
        Structure(
            Lattice.from_parameters(4.1, 5.3, 6.7, 81, 94, 103),
            ["K", "As", "S", "S"],
            [[0, 0, 0], [0.31, 0.23, 0.57], [0.72, 0.11, 0.33], [0.45, 0.84, 0.26]],
        ),
        1,
        "1:As.a,K.a,S.a2",
        "1:A.a,B.a,C.a2",
    ),
]


@pytest.fixture(params=PROTOTYPES, ids=lambda p: p.name.replace(" ", "_"))
def prototype(request):
    return request.param


@pytest.fixture(scope="session")
def prototypes():
    return {p.name: p for p in PROTOTYPES}


@pytest.fixture(scope="session")
def real_structures(shared_data):
    """Return some hundred Materials Project crystals, drawn evenly from the table."""
    columns = ["lattice", "species", "frac_coords"]
    table = pq.read_table(shared_data / "mp_structures.parquet", columns=columns)
    rows = table.take(np.linspace(0, len(table) - 1, N_REAL).astype(int)).to_pylist()
    return [
        Structure(np.reshape(r["lattice"], (3, 3)), r["species"], np.reshape(r["frac_coords"], (-1, 3))) for r in rows
    ]


@pytest.fixture
def redescribe():
    """Return a function that describes the same crystal by another cell, origin, orientation and order of atoms."""

    def transform(structure, seed):
        generator = np.random.default_rng(seed)
        while True:
            cell = generator.integers(-1, 3, (3, 3))
            if round(abs(np.linalg.det(cell))) == 1:
                break
        rotation, _ = np.linalg.qr(generator.normal(size=(3, 3)))
        if np.linalg.det(rotation) < 0:
            rotation[:, 0] *= -1
        order = generator.permutation(len(structure))
        coordinates = structure.frac_coords @ np.linalg.inv(cell) + generator.random(3)
        return Structure(
            cell @ structure.lattice.matrix @ rotation,
            [structure[i].species for i in order],
            coordinates[order] % 1.0,
        )

    return transform
