"""MP2020 for potentials of raw energies: pymatgen's own numbers, added once and never twice."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

import numpy as np
import pandas as pd
import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.cli.entry import run
from genmat.energy import EnergyScale
from genmat.errors import EnergyScaleError, InputError
from genmat.models import pool as pool_module
from genmat.models.calculation import calculate
from genmat.models.pool import PotentialPool
from genmat.models.potentials import get_potential
from genmat.models.potentials.correction import mp2020_correction
from genmat.models.potentials.io import allow
from genmat.models.potentials.registry import EVERY_ELEMENT, RAW_MP, corrected, parametrised
from genmat.models.protocol import Failure, RelaxProtocol
from genmat.screening.committee import check_committee
from genmat.validation.chemistry import HUBBARD_METALS
from workflows.committee import _phase_energy
from workflows.identity import relaxed_structure_id

ANIONS = ("O", "F", "Cl", "Br", "I", "S", "Se", "Te", "N", "H", "Si", "Sb")


def raw_argon(name: str = "raw-argon"):
    """Return Lennard-Jones that claims to have learnt raw energies of the Materials Project."""
    options = {"sigma": 3.405, "epsilon": 0.0104, "cutoff": 8.5, "compute_stress": True}
    scale = replace(RAW_MP, engine="argon")
    return parametrised(
        name, "lennard_jones.LennardJonesModel", options, scale=scale, atomic_numbers=EVERY_ELEMENT
    )  # fmt: skip


def oxide(element: str = "Mg") -> Structure:
    return Structure(Lattice.cubic(4.2), [element, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def allowed(tmp_path, monkeypatch):
    """Return the corrected potential, on the allow-list of a data folder of its own."""
    monkeypatch.setenv("GENMAT_DATA_FOLDER", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return allow(corrected(raw_argon("mended-argon")), b"")


@pytest.fixture(scope="module")
def crystals(shared_data) -> list[Structure]:
    """Return Materials Project crystals: twenty of each anion, elements, those with a U, and oxygen in pairs."""
    from pymatgen.core.structure_analyzer import oxide_type

    columns = ["chemsys", "nsites", "lattice", "species", "frac_coords"]
    table = pd.read_parquet(shared_data / "mp_structures.parquet", columns=columns)
    table = table[table.nsites <= 20]
    elements = table.chemsys.str.split("-").map(set)
    groups = [table[[anion in found for found in elements]][:20] for anion in ANIONS]
    groups.append(table[[len(found) == 1 for found in elements]][:20])
    groups.append(table[[bool(found & {"O", "F"}) and bool(found & HUBBARD_METALS) for found in elements]][:40])
    alkali = {"Li", "Na", "K", "Rb", "Cs", "Ca", "Sr", "Ba"}
    pairs = table[[len(found) == 2 and "O" in found and bool(found & alkali) for found in elements]]
    rows = pd.concat([*groups, pairs])
    found = [
        Structure(
            np.reshape(row.lattice.tolist(), (3, 3)), list(row.species), np.reshape(row.frac_coords.tolist(), (-1, 3))
        )
        for row in rows.itertuples()
    ]
    kinds = {oxide_type(s, 1.05) for s in found if "O" in s.symbol_set and len(s.symbol_set) > 1}
    assert {"oxide", "peroxide", "superoxide"} <= kinds
    return found


@pytest.mark.filterwarnings("ignore")
def test_correction_is_pymatgens_of_an_entry_with_the_inputs_of_the_materials_project(crystals):
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
    from pymatgen.entries.computed_entries import ComputedStructureEntry
    from pymatgen.io.vasp.sets import MPRelaxSet

    assert len(crystals) > 200
    scheme, n_hubbard = MaterialsProject2020Compatibility(), 0
    for structure in crystals:
        inputs = MPRelaxSet(structure)
        blocks = [symbol for symbol, _ in groupby(site.specie.symbol for site in inputs.poscar.structure)]
        hubbards = dict(zip(blocks, inputs.incar.get("LDAUU", []), strict=False))
        has_hubbard = bool(inputs.incar.get("LDAU")) and any(hubbards.values())
        n_hubbard += has_hubbard
        parameters = {
            "run_type": "GGA+U" if has_hubbard else "GGA",
            "hubbards": hubbards if has_hubbard else {},
            "potcar_symbols": [f"PBE {symbol}" for symbol in inputs.potcar_symbols],
        }
        entry = scheme.process_entry(ComputedStructureEntry(structure, -1.0, parameters=parameters), inplace=False)
        assert mp2020_correction(structure) == pytest.approx(entry.correction, abs=1e-9), structure.formula
    assert n_hubbard > 40


def test_sulphur_without_a_neighbour_is_corrected_as_a_sulfide():
    bound = Structure(Lattice.cubic(5), ["Zn", "S"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    lone = Structure(Lattice.cubic(90), ["Zn", "S"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert mp2020_correction(lone) == mp2020_correction(bound) < 0


def test_supercell_has_the_correction_of_its_cells():
    assert mp2020_correction(oxide("Fe") * 2) == pytest.approx(8 * mp2020_correction(oxide("Fe")))


@pytest.mark.parametrize("elements", [("He", "Fe", "O"), ("O", "Fe", "He"), ("Fe", "He", "O")])
def test_a_noble_gas_changes_no_correction_wherever_it_stands(elements):
    sites = {"He": [0.5, 0.5, 0], "Fe": [0, 0, 0], "O": [0.5, 0.5, 0.5]}
    mixed = Structure(Lattice.cubic(4.2), elements, [sites[element] for element in elements])
    assert mp2020_correction(mixed) == pytest.approx(mp2020_correction(oxide("Fe")))


def test_a_disordered_crystal_has_no_correction():
    mixed = Structure(Lattice.cubic(4.2), [{"Fe": 0.5, "Co": 0.5}, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(InputError, match="MP2020 corrects ordered crystals, got"):
        mp2020_correction(mixed)


@pytest.mark.parametrize(("max_steps", "failure"), [(300, None), (0, Failure.NOT_CONVERGED)])
def test_a_crystal_that_cannot_be_corrected_has_no_energy_and_the_others_keep_theirs(monkeypatch, max_steps, failure):
    def run():
        relaxed = dict(pool_module._relax_task(structures, RelaxProtocol(max_steps=max_steps)))
        return relaxed, dict(pool_module._evaluate_task(structures))

    def grumpy(structure):
        if "S" in structure.symbol_set:
            msg = "no such sulphide"
            raise KeyError(msg)
        return mp2020_correction(structure)

    potential = corrected(raw_argon())
    structures = [
        Structure(Lattice.cubic(4.2), pair, [[0, 0, 0], [0.5, 0.45, 0.5]])
        for pair in (["Fe", "O"], ["Fe", "S"], ["Mg", "O"])
    ]
    monkeypatch.setattr(pool_module, "_worker", [(potential.load(), potential)])
    undisturbed, their_energies = run()
    assert {outcome.failure for outcome in undisturbed.values()} == {failure}
    monkeypatch.setattr("genmat.models.potentials.correction.mp2020_correction", grumpy)
    outcomes, energies = run()
    for place in (0, 2):
        assert outcomes[place].energies == undisturbed[place].energies
        assert energies[place] == their_energies[place]
    assert (outcomes[1].failure, outcomes[1].converged) == (failure or Failure.EVALUATION_FAILED, False)
    assert np.isnan([outcomes[1].energy, energies[1]]).all()


def test_energies_that_contain_a_correction_or_are_not_the_materials_projects_get_none():
    once = corrected(raw_argon())
    assert (once.scale.correction, once.adds) == ("MP2020", "MP2020")
    for potential in (once, get_potential("chgnet-0.3.0"), get_potential("chgnet-r2scan")):
        with pytest.raises(EnergyScaleError, match="MP2020 cannot be added to energies of"):
            corrected(potential)
    with pytest.raises(EnergyScaleError, match=r"its scale .* has to contain it"):
        replace(once, scale=replace(RAW_MP, engine="argon"))
    with pytest.raises(EnergyScaleError, match="is to get the correction 'MP2020' on the scale"):
        replace(once, scale=EnergyScale("argon", "r2SCAN", "none", "PBE_54", "MP2020"))


def test_corrected_potential_sits_beside_chgnet_and_the_raw_one_does_not():
    chgnet = get_potential("chgnet-0.3.0").scale
    check_committee({"chgnet-0.3.0": chgnet, "mended": corrected(raw_argon()).scale})
    with pytest.raises(EnergyScaleError):
        check_committee({"chgnet-0.3.0": chgnet, "raw": raw_argon().scale})


def test_correction_is_part_of_what_a_relaxed_structure_is_called():
    raw, mended = raw_argon(), corrected(raw_argon())
    assert raw.sha256 == mended.sha256
    names = {relaxed_structure_id("parent", protocol=RelaxProtocol(), potential=p) for p in (raw, mended)}
    assert len(names) == 2
    assert raw.key == raw.sha256


def test_every_energy_of_a_pool_and_of_a_committee_is_corrected_once(allowed):
    found = {"oxide": oxide("Fe"), "far": Structure(Lattice.cubic(6), ["Fe"], [[0, 0, 0]])}
    correction = mp2020_correction(found["oxide"])
    assert correction < -1
    model = allowed.load()
    raw = {name: calculate([structure], model=model)[0].energy for name, structure in found.items()}
    with PotentialPool("mended-argon", workers=1) as pool:
        energies = dict(pool.evaluate(list(found.values())))
        outcomes = dict(pool.relax(found, missing=set(found), protocol=RelaxProtocol(max_steps=3)))
    assert energies[0] - raw["oxide"] == pytest.approx(correction)
    assert energies[1] == pytest.approx(raw["far"])
    path = outcomes["oxide"]
    assert path.energies[0] * 2 - raw["oxide"] == pytest.approx(correction)
    last = calculate([path.structure], model=model)[0].energy
    assert path.energy - last == pytest.approx(mp2020_correction(path.structure))
    assert _phase_energy("mended-argon", "test-oxide", found["oxide"]) * 2 == pytest.approx(energies[0])


def test_adding_weights_says_whether_they_are_corrected_and_refuses_to_do_it_twice(allowed, capsys):
    kind = ("--kind", "lennard_jones.LennardJonesModel", "--option", "sigma=3.4", "--option", "compute_stress=true")
    scale = ("--functional", "PBE", "--hubbard", "MP", "--pseudopotentials", "PBE", "--correction")
    assert run(["models", "add", "mended", *kind, *scale, "none", "--mp2020"]) == 0
    assert "/PBE+U:MP/PBE/MP2020" in capsys.readouterr().out
    assert get_potential("mended").adds == "MP2020"
    assert run(["models", "add", "mended", *kind, *scale, "none"]) == 2
    assert "choose another name" in " ".join(capsys.readouterr().err.split())
    assert run(["models", "add", "twice", *kind, *scale, "MP2020", "--mp2020"]) == 2
    assert "MP2020 cannot be added to energies of twice" in " ".join(capsys.readouterr().err.split())
