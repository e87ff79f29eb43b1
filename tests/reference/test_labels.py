"""References whose energies the source states: entries of pymatgen, tables, what is refused and what the hull is."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from itertools import combinations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pymatgen.analysis.phase_diagram import PhaseDiagram
from pymatgen.entries.computed_entries import CompositionEnergyAdjustment, ComputedEntry, ComputedStructureEntry

from genmat.energy import EnergyScale
from genmat.errors import InputError, ReferenceDataError, StructureError
from genmat.reference.build import describe_known
from genmat.reference.journal import Journal
from genmat.reference.labels import Refusal, assemble_labelled, label_energies, read_elements
from genmat.reference.sources.io import read_source

MP2020 = EnergyScale.from_name("vasp/PBE+U:MP/PBE/MP2020")
ELEMENTS = {"Na": -1.3, "Cl": -1.8, "Si": -5.4, "O": -4.9}


def entry(
    structure, name, energy_per_atom, *, correction=0.0, correction_name="MP2020 anion correction (Cl)", run="GGA"
):
    adjustments = [CompositionEnergyAdjustment(correction, 1, name=correction_name)] if correction else []
    return ComputedStructureEntry(
        structure,
        energy_per_atom * len(structure),
        energy_adjustments=adjustments,
        parameters={"run_type": run},
        entry_id=f"{name}-GGA",
        data={"material_id": name},
    )


@pytest.fixture
def entries(structures):
    energies = {"na": -1.3, "cl": -1.8, "nacl": -3.0, "cscl-nacl": -2.9}
    corrections = {"nacl": -0.8 * len(structures["nacl"]) / 2, "cscl-nacl": -0.4}
    return [
        entry(structures[name], name, energy, correction=corrections.get(name, 0.0))
        for name, energy in energies.items()
    ]


def write(path, records):
    path.write_text(json.dumps(records))
    return path


def build(crystals, folder, **given):
    labels = label_energies(crystals, scale=given.pop("scale", MP2020), **given)
    journal = Journal(folder / "known.jsonl")
    kept = [crystal for crystal in crystals if crystal.material_id in labels.energies]
    describe_known(kept, journal, progress=lambda *_: None, keep_x=True)
    return assemble_labelled(labels, journal, source="made up", source_sha256="ab" * 32, attribution="nobody")


def energies_of(reference):
    return dict(zip(reference.material_ids, reference.energies.tolist(), strict=True))


def test_entries_keep_the_corrections_that_the_scale_names(entries, tmp_path):
    crystals = read_source(write(tmp_path / "e.json", [item.as_dict() for item in entries]))
    found = label_energies(crystals, scale=MP2020).energies
    assert found == {item.data["material_id"]: pytest.approx(item.energy_per_atom) for item in entries}
    raw = EnergyScale("vasp", "PBE", "MP", "PBE", "none")
    uncorrected = label_energies(crystals, scale=raw).energies
    assert uncorrected == {
        item.data["material_id"]: pytest.approx(item.uncorrected_energy_per_atom) for item in entries
    }


def test_the_hull_of_entries_is_that_of_pymatgen(entries, tmp_path):
    packed = tmp_path / "e.jsonl.gz"
    packed.write_bytes(gzip.compress("\n".join(json.dumps(item.as_dict()) for item in entries).encode()))
    reference = build(read_source(packed), tmp_path)
    diagram = PhaseDiagram(entries)
    above = dict(zip(reference.material_ids, reference.energies_above_hull.tolist(), strict=True))
    assert above == {item.data["material_id"]: pytest.approx(diagram.get_e_above_hull(item)) for item in entries}
    assert reference.scale == MP2020
    assert reference.is_labelled
    assert reference.crystal(reference.material_ids.index("nacl")) is not None


def rows(structures, **labels):
    return [
        {
            "material_id": name,
            "species": [site.symbol for site in structures[name].species],
            "lattice": structures[name].lattice.matrix.ravel().tolist(),
            "frac_coords": structures[name].frac_coords.ravel().tolist(),
            **given,
        }
        for name, given in labels.items()
    ]


def test_formation_energies_become_total_ones_by_the_energies_of_the_elements(structures, tmp_path):
    source = write(tmp_path / "t.json", rows(structures, nacl={"formation_energy_per_atom": -2.0}))
    reference = build(read_source(source), tmp_path, elements=ELEMENTS)
    assert energies_of(reference) == {"nacl": pytest.approx(-3.55), "element-Na": -1.3, "element-Cl": -1.8}
    hull = reference.hull()
    assert hull.formation_energy_per_atom({"Na": 1, "Cl": 1}, -3.55, scale=MP2020) == pytest.approx(-2.0)


def test_elements_of_the_table_serve_its_formation_energies(structures, tmp_path):
    given = {
        "na": {"energy_per_atom": -1.3},
        "cl": {"energy_per_atom": -1.8},
        "nacl": {"formation_energy_per_atom": -2.0},
    }
    reference = build(read_source(write(tmp_path / "t.json", rows(structures, **given))), tmp_path)
    assert energies_of(reference) == {"na": -1.3, "cl": -1.8, "nacl": pytest.approx(-3.55)}


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ({}, Refusal.NO_ENERGY),
        ({"energy_per_atom": float("nan")}, Refusal.NO_ENERGY),
        ({"energy_per_atom": -28.4}, Refusal.IMPLAUSIBLE),
        ({"energy_per_atom": -3.5, "formation_energy_per_atom": -1.7}, Refusal.CONTRADICTION),
        ({"energy_per_atom": -3.5, "run_type": "R2SCAN"}, Refusal.OTHER_FUNCTIONAL),
        ({"energy": -28.0, "correction": -1.0}, Refusal.OTHER_CORRECTION),
    ],
)
def test_a_label_that_cannot_be_used_is_counted_with_its_reason(structures, tmp_path, label, reason):
    good = {"cscl-nacl": {"energy_per_atom": -3.3}}
    crystals = read_source(write(tmp_path / "t.json", rows(structures, nacl=label, **good)))
    labels = label_energies(crystals, scale=MP2020, elements=ELEMENTS)
    assert list(labels.energies) == ["cscl-nacl"]
    assert labels.refused == Counter({reason: 1})
    assert labels.examples == {reason: "nacl"}


def test_formation_energies_without_elements_say_what_is_missing(structures, tmp_path):
    crystals = read_source(write(tmp_path / "t.json", rows(structures, nacl={"formation_energy_per_atom": -2.0})))
    with pytest.raises(ReferenceDataError, match=r"no energy of an element: 1\); .* --elements"):
        label_energies(crystals, scale=MP2020)


def test_a_torn_line_is_left_out_and_a_torn_file_refused(entries, tmp_path):
    lines = [json.dumps(item.as_dict()) for item in entries]
    torn = tmp_path / "e.jsonl"
    torn.write_text("\n".join([*lines, lines[0][:500]]))
    refused = []
    assert len(read_source(torn, refuse=refused.append)) == len(entries)
    assert "line 5 of e.jsonl" in str(refused[0])
    cut = tmp_path / "e.json"
    cut.write_text("[" + ",".join(lines)[:-9])
    with pytest.raises(StructureError, match=r"e\.json cannot be read, it is truncated or no JSON"):
        read_source(cut)


def test_elements_are_read_from_numbers_and_from_entries(tmp_path):
    assert read_elements(write(tmp_path / "n.json", {"Na": -1.3})) == {"Na": -1.3}
    low, high = (ComputedEntry("Na2", 2 * energy, correction=0.2, entry_id="x").as_dict() for energy in (-1.4, -1.2))
    assert read_elements(write(tmp_path / "e.json", [low, high])) == {"Na": pytest.approx(-1.3)}
    with pytest.raises(StructureError, match="names 'Xy', which is no element"):
        read_elements(write(tmp_path / "b.json", {"Xy": 1.0}))


def test_a_scale_is_read_as_it_is_written():
    assert str(MP2020) == "vasp/PBE+U:MP/PBE/MP2020"
    with pytest.raises(InputError, match="energy scale 'PBE' is not written as engine/functional"):
        EnergyScale.from_name("PBE")


def test_the_hull_of_real_labels_agrees_with_the_distances_that_the_source_states(shared_data, tmp_path):
    """A phase that has no label can only make the hull higher, and the distance to it smaller."""
    systems = {"-".join(sorted(some)) for n in range(1, 5) for some in combinations(("Li", "O", "P", "Na", "Cl"), n)}
    table = pq.read_table(shared_data / "mp_structures.parquet", filters=[("chemsys", "in", systems)])
    chosen = [row for row in table.to_pylist() if row["formation_energy_per_atom"] is not None]
    source = tmp_path / "t.parquet"
    pq.write_table(pa.Table.from_pylist(chosen), source)
    corners = read_elements(shared_data / "mp_elemental_reference_entries_2023-02-07.json.gz")
    reference = build(read_source(source), tmp_path, elements=corners)
    stated = {row["material_id"]: row["energy_above_hull"] for row in chosen}
    found = {
        name: above
        for name, above in zip(reference.material_ids, reference.energies_above_hull.tolist(), strict=True)
        if name in stated
    }
    assert len(found) > 40
    assert max(found[name] - stated[name] for name in found) < 0.002
    assert sum(abs(found[name] - stated[name]) < 0.001 for name in found) > 0.6 * len(found)
