"""Distances to competing phases: of one engine and scale, or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pymatgen.core.composition import Composition

from genmat.energy import EnergyScale
from genmat.errors import EnergyScaleError, MissingReferenceError
from genmat.reference.io import load_reference
from genmat.validation.competing import (
    Competitor,
    energy_above_mixture,
    needed_phases,
    shipped_competitors,
    shipped_table,
)
from genmat.validation.deviation import geometry_deviation

from .conftest import LIMIT, crystal, rocksalt

SCALE = EnergyScale("gpaw", "PBE", "none", "gpaw", "none")
PHASES = [
    Competitor("a", "Na", -1.0, SCALE),
    Competitor("b", "Cl", -2.0, SCALE),
    Competitor("c", "NaCl", -3.5, SCALE),
    Competitor("d", "K", -9.0, SCALE),
]


def test_distance_is_that_to_the_lowest_mixture():
    assert energy_above_mixture({"Na": 1, "Cl": 1}, -3.4, PHASES, scale=SCALE) == pytest.approx(0.1)
    # 3/4 of the atoms as NaCl and Na: Na3Cl = NaCl + 2 Na.
    expected = -2.0 - (0.5 * -3.5 + 0.5 * -1.0)
    assert energy_above_mixture({"Na": 3, "Cl": 1}, -2.0, PHASES, scale=SCALE) == pytest.approx(expected)


def test_elements_are_not_needed_where_compounds_span_the_composition():
    phases = [Competitor("x", "MgO", -6.0, SCALE), Competitor("y", "CaO", -6.5, SCALE)]
    assert energy_above_mixture({"Mg": 1, "Ca": 1, "O": 2}, -6.2, phases, scale=SCALE) == pytest.approx(0.05)


def test_energies_of_another_scale_are_refused():
    other = replace(SCALE, engine="vasp")
    with pytest.raises(EnergyScaleError, match="the distance to competing phases needs one energy scale"):
        energy_above_mixture({"Na": 1, "Cl": 1}, -3.4, PHASES, scale=other)


def test_phases_that_do_not_add_up_are_told():
    with pytest.raises(MissingReferenceError, match=r"\(K, Na, NaCl\) do not add up"):
        energy_above_mixture({"Cl": 1}, -2.0, [PHASES[0], PHASES[2], PHASES[3]], scale=SCALE)


@pytest.fixture(scope="module")
def reference(shipped_reference):
    """Return the shipped reference."""
    return load_reference(shipped_reference)


@pytest.mark.dft
@pytest.mark.timeout(3000)
def test_salt_is_on_the_hull_of_gpaw_and_its_polymorph_above(gpaw, relaxed_salt, reference, tmp_path):
    (name,) = needed_phases(reference.hull(), Composition("NaCl"))
    competitors = [shipped_competitors(gpaw.scale)[name]]
    salt = energy_above_mixture(
        relaxed_salt.structure.composition, relaxed_salt.energy_per_atom, competitors, scale=gpaw.scale
    )
    assert salt == pytest.approx(0.0, abs=0.003)
    cubic = crystal("Pm-3m", 3.5, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    polymorph = gpaw.run(cubic, folder=tmp_path / "polymorph", max_seconds=LIMIT)
    assert polymorph.failure is None, polymorph.detail
    above = energy_above_mixture(cubic.composition, polymorph.energy_per_atom, competitors, scale=gpaw.scale)
    # CHGNet's distance in the shipped reference (mp-22851): another method, so that the two agree roughly at best.
    assert above == pytest.approx(0.113, abs=0.06)


@pytest.mark.dft
@pytest.mark.timeout(1800)
def test_shipped_energies_are_on_the_scale_of_the_default_engine(gpaw, reference):
    shipped = shipped_competitors(gpaw.scale)
    assert shipped
    assert set(shipped) <= set(reference.material_ids)
    assert shipped_competitors(replace(gpaw.scale, functional="RPBE")) == {}
    assert shipped_table()["parameters"] == gpaw.parameters


@pytest.mark.parametrize("drift", [[0.2, 0.3, 0.4], [0.5, 0.5, 0.5]])
def test_geometry_that_does_not_change_has_no_deviation_whatever_its_origin(drift):
    salt = rocksalt()
    moved = salt.copy()
    moved.translate_sites(range(len(salt)), drift)
    moved.translate_sites([0], [1e-12, -1e-12, 0.0], to_unit_cell=False)
    change = geometry_deviation(salt, moved)
    assert (change.rmsd, change.volume_change, change.bonds_changed) == pytest.approx((0.0, 0.0, 0.0), abs=1e-9)


def test_strained_and_displaced_crystal_has_the_deviation_that_was_made():
    salt = rocksalt()
    strained = salt.copy()
    strained.apply_strain(0.02)
    assert geometry_deviation(salt, strained).volume_change == pytest.approx(1.02**3 - 1)
    assert geometry_deviation(salt, strained).longest_axis_change == pytest.approx(0.02)
    displaced = salt.copy()
    displaced.translate_sites([0], [0.2, 0.0, 0.0], frac_coords=False)
    assert geometry_deviation(salt, displaced).rmsd == pytest.approx(0.1)
    apart = salt.copy()
    apart.apply_strain(0.6)
    assert geometry_deviation(salt, apart).bonds_changed == 1.0
