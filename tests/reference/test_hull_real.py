"""Hulls of Materials Project crystals against pymatgen's phase diagrams and MP's own labels."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core.composition import Composition

from genmat.energy import EnergyScale
from genmat.reference.entries import ATOMIC_NUMBERS, HullEntries, system_key
from genmat.reference.hull import Hull

SCALE = EnergyScale("vasp", "PBE", "MP", "PBE", "MP2020")
SYSTEMS = (
    "Li-O",
    "Al-Ni",
    "C-Fe",
    "Ba-O-Ti",
    "Fe-Li-O-P",
    "Cu-In-Se",
    "Ca-Mg-O-Si",
    "Al-Ca-H-O-Si",
    "Co-Li-Mn-Ni-O",
    "Fe-H-K-Na-O-S",
)
EXACT = 1e-9


@pytest.fixture(scope="module")
def real(shared_data):
    """Return compositions and a hull of all labelled crystals and the elements, formation energies in eV/atom."""
    columns = ["material_id", "formula", "formation_energy_per_atom", "energy_above_hull", "hull_source"]
    table = pq.read_table(shared_data / "mp_structures.parquet", columns=columns).to_pydict()
    rows = [i for i, energy in enumerate(table["formation_energy_per_atom"]) if energy is not None]
    compositions = [Composition(table["formula"][i]) for i in rows]
    symbols = sorted({element.symbol for composition in compositions for element in composition})
    ids = [table["material_id"][i] for i in rows] + [f"element-{symbol}" for symbol in symbols]
    energies = [float(table["formation_energy_per_atom"][i]) for i in rows] + [0.0] * len(symbols)
    compositions += [Composition(symbol) for symbol in symbols]
    labels = np.array([table["energy_above_hull"][i] for i in rows])
    return Hull(HullEntries.from_compositions(ids, compositions, energies), scale=SCALE), compositions, labels


def members(hull: Hull, system: str) -> list[int]:
    """Return the rows of the entries of a chemical system and its sub-systems."""
    key = system_key(ATOMIC_NUMBERS[symbol] for symbol in system.split("-"))
    return [row for row, item in enumerate(hull.entries.compositions) if item.key & ~key == 0]


@pytest.mark.parametrize("system", SYSTEMS)
def test_distances_equal_those_of_a_phase_diagram(real, system):
    hull, compositions, _ = real
    rows = members(hull, system)
    names, energies = hull.entries.material_ids, hull.entries.energies
    entries = [PDEntry(compositions[i], energies[i] * compositions[i].num_atoms, name=names[i]) for i in rows]
    diagram = PhaseDiagram(entries)
    expected = [diagram.get_e_above_hull(entry) for entry in entries]
    found = hull.energies_above_hull([compositions[i] for i in rows], energies[rows], scale=SCALE)
    assert found == pytest.approx(np.array(expected), abs=EXACT)
    assert set(hull.stable_ids(dict.fromkeys(system.split("-"), 1))) == {e.name for e in diagram.stable_entries}


@pytest.mark.parametrize("system", ["Fe-Li-O-P", "Ca-Mg-O-Si", "Co-Li-Mn-Ni-O"])
def test_decompositions_equal_those_of_a_phase_diagram(real, system):
    hull, compositions, _ = real
    rows = members(hull, system)
    names, energies = hull.entries.material_ids, hull.entries.energies
    diagram = PhaseDiagram(
        [PDEntry(compositions[i], energies[i] * compositions[i].num_atoms, name=names[i]) for i in rows]
    )
    random = np.random.default_rng(0)
    for _ in range(10):
        composition = Composition(dict(zip(system.split("-"), random.integers(1, 12, size=9), strict=False)))
        expected = {e.name: share for e, share in diagram.get_decomposition(composition).items() if share > 1e-8}
        found = {phase.material_id: phase.fraction for phase in hull.decomposition(composition)}
        assert found == pytest.approx(expected, abs=1e-8)


def test_labels_of_the_materials_project_are_reproduced_in_the_median(real):
    hull, compositions, labels = real
    rows = np.random.default_rng(1).choice(len(labels), size=400, replace=False)
    found = hull.energies_above_hull([compositions[i] for i in rows], hull.entries.energies[rows], scale=SCALE)
    assert np.median(np.abs(found - labels[rows])) < 1e-3
