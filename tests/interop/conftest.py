"""Candidates with crystals."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from genmat.database.documents import CandidateDocument
from genmat.interop.export import ExportedCrystal


@pytest.fixture
def make_crystal():
    """Return a maker of exported rock salts."""

    def make(**fields) -> ExportedCrystal:
        lattice = Lattice([[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]])
        structure = Structure(lattice, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
        known = {
            "id": "c0ffee" * 5,
            "campaign": "salts",
            "round": 0,
            "index": 7,
            "generator": "template",
            "generator_hash": "abc",
            "seed": 1,
            "rank": 1,
            "status": "accepted",
            "stage": "rank",
            "formula_pretty": "NaCl",
            "space_group_number": 225,
            "energy_above_hull": 0.0125,
            "properties": {"energy_above_hull": 0.0125, "density": 2.2},
            "origin": {"template": "mp-1"},
        }
        candidate = CandidateDocument(**{**known, **fields})
        return ExportedCrystal(
            candidate, structure, relaxed=True, energy_per_atom=-3.4, energy_source="mlip:chgnet-0.3.0"
        )

    return make
