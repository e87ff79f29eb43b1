"""Convex hulls: invariants on made-up energies, exactness on real ones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from pymatgen.core.composition import Composition

from genmat.energy import EnergyScale
from genmat.errors import EnergyScaleError, InputError, MissingReferenceError, ReferenceDataError
from genmat.reference.entries import HullEntries, fractions_of, sub_systems, system_key, system_name
from genmat.reference.facets import lower_hull
from genmat.reference.hull import Hull

SCALE = EnergyScale("chgnet-0.3.0", "PBE", "MP", "PBE", "MP2020")
OTHER_SCALE = EnergyScale("vasp", "PBE", "MP", "PBE", "MP2020")
ELEMENTS = ("Fe", "Li", "O", "P", "Ti")


def make_entries(table: dict[str, tuple[str, float]]) -> HullEntries:
    """Return entries from ``{id: (formula, energy in eV/atom)}``."""
    return HullEntries.from_compositions(
        table, [Composition(formula) for formula, _ in table.values()], [energy for _, energy in table.values()]
    )


def random_entries(seed: int, *, n_compounds: int = 60) -> HullEntries:
    """Return elements and random compounds with negative and positive formation energies, eV/atom."""
    random = np.random.default_rng(seed)
    energies = {symbol: float(random.uniform(-9.0, -1.0)) for symbol in ELEMENTS}
    table = {f"el-{symbol}": (symbol, energy) for symbol, energy in energies.items()}
    for index in range(n_compounds):
        chosen = random.choice(ELEMENTS, size=random.integers(2, 5), replace=False)
        amounts = random.integers(1, 5, size=len(chosen))
        elemental = sum(n * energies[s] for s, n in zip(chosen, amounts, strict=True)) / amounts.sum()
        formula = "".join(f"{s}{n}" for s, n in zip(chosen, amounts, strict=True))
        table[f"c-{index}"] = (formula, float(elemental + random.uniform(-2.0, 0.3)))
    return make_entries(table)


@pytest.fixture
def binary() -> Hull:
    return Hull(
        make_entries({"li": ("Li", -2.0), "o": ("O", -5.0), "li2o": ("Li2O", -5.0), "lio": ("LiO", -4.9)}), scale=SCALE
    )


@pytest.mark.parametrize("seed", range(4))
def test_hull_is_never_above_an_entry(seed):
    hull = Hull(random_entries(seed), scale=SCALE)
    assert hull.entries_above_hull().min() >= 0.0
    for fractions, energy in zip(hull.entries.compositions, hull.entries.energies, strict=True):
        composition = dict(zip(_symbols(fractions.numbers), fractions.values, strict=True))
        assert hull.hull_energy_per_atom(composition) <= energy + 1e-9


def _symbols(numbers):
    return [system_name(system_key([z])) for z in numbers]


@pytest.mark.parametrize("seed", range(4))
def test_hull_energy_is_the_energy_of_its_decomposition(seed):
    entries = random_entries(seed)
    hull = Hull(entries, scale=SCALE)
    energy_of = dict(zip(entries.material_ids, entries.energies, strict=True))
    random = np.random.default_rng(seed)
    for _ in range(20):
        amounts = dict(zip(ELEMENTS, random.integers(1, 9, size=5).astype(float), strict=True))
        phases = hull.decomposition(amounts)
        assert sum(phase.fraction for phase in phases) == pytest.approx(1.0, abs=1e-9)
        energy = sum(phase.fraction * energy_of[phase.material_id] for phase in phases)
        assert energy == pytest.approx(hull.hull_energy_per_atom(amounts), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_decomposition_conserves_every_element(seed):
    entries = random_entries(seed)
    hull = Hull(entries, scale=SCALE)
    compositions = dict(zip(entries.material_ids, entries.compositions, strict=True))
    target = fractions_of({"Fe": 1, "Li": 1, "O": 4, "P": 1})
    total = dict.fromkeys(target.numbers, 0.0)
    for phase in hull.decomposition({"Fe": 1, "Li": 1, "O": 4, "P": 1}):
        part = compositions[phase.material_id]
        for z, x in zip(part.numbers, part.values, strict=True):
            total[z] += phase.fraction * x
    assert list(total.values()) == pytest.approx(target.values, abs=1e-9)


def test_hull_does_not_depend_on_the_order_of_entries():
    entries = random_entries(1)
    order = np.random.default_rng(0).permutation(len(entries))
    shuffled = HullEntries(
        tuple(entries.material_ids[i] for i in order),
        tuple(entries.formulas[i] for i in order),
        tuple(entries.compositions[i] for i in order),
        entries.energies[order],
    )
    left, right = Hull(entries, scale=SCALE), Hull(shuffled, scale=SCALE)
    assert left.entries_above_hull()[order] == pytest.approx(right.entries_above_hull(), abs=1e-12)
    query = {"Fe": 2, "Li": 1, "O": 3, "P": 1, "Ti": 1}
    assert [p.material_id for p in left.decomposition(query)] == [p.material_id for p in right.decomposition(query)]


def test_a_stable_addition_lowers_the_hull_and_raises_the_distance_of_others(binary):
    lower = binary.with_entries(make_entries({"new": ("Li2O2", -6.0)}), scale=SCALE)
    assert lower.hull_energy_per_atom({"Li": 1, "O": 1}) == pytest.approx(-6.0, abs=1e-12)
    assert lower.energy_above_hull({"Li": 1, "O": 1}, -4.9, scale=SCALE) == pytest.approx(1.1, abs=1e-12)
    assert binary.hull_energy_per_atom({"Li": 1, "O": 1}) > -6.0


def test_an_addition_above_the_hull_changes_nothing(binary):
    same = binary.with_entries(make_entries({"new": ("Li3O", 3.0)}), scale=SCALE)
    assert same.hull_energy_per_atom({"Li": 3, "O": 1}) == binary.hull_energy_per_atom({"Li": 3, "O": 1})


@pytest.mark.parametrize("seed", range(3))
def test_a_snapshot_equals_the_hull_built_from_scratch(seed):
    entries = random_entries(seed)
    first = [i for i in range(len(entries)) if i % 3 or i < len(ELEMENTS)]
    later = [i for i in range(len(entries)) if i not in first]
    hull = Hull(_subset(entries, first), scale=SCALE)
    hull.entries_above_hull()
    snapshot = hull.with_entries(_subset(entries, later), scale=SCALE)
    scratch = Hull(_subset(entries, first + later), scale=SCALE)
    assert snapshot.entries_above_hull() == pytest.approx(scratch.entries_above_hull(), abs=0.0)


def _subset(entries, rows):
    return HullEntries(
        tuple(entries.material_ids[i] for i in rows),
        tuple(entries.formulas[i] for i in rows),
        tuple(entries.compositions[i] for i in rows),
        entries.energies[rows],
    )


def test_a_crystal_below_the_hull_has_a_negative_distance(binary):
    assert binary.energy_above_hull({"Li": 2, "O": 1}, -5.25, scale=SCALE) == pytest.approx(-0.25, abs=1e-12)


def test_a_vertex_decomposes_into_itself(binary):
    assert [(p.material_id, p.fraction) for p in binary.decomposition({"Li": 4, "O": 2})] == [
        ("li2o", pytest.approx(1.0))
    ]


def test_a_single_element_is_judged_against_its_most_stable_form():
    hull = Hull(make_entries({"graphite": ("C", -9.2), "diamond": ("C", -9.1)}), scale=SCALE)
    assert hull.energy_above_hull({"C": 8}, -9.1, scale=SCALE) == pytest.approx(0.1, abs=1e-12)
    assert hull.decomposition({"C": 1})[0].material_id == "graphite"


def test_formation_energy_is_relative_to_the_elements(binary):
    formation = binary.formation_energy_per_atom({"Li": 2, "O": 1}, -5.0, scale=SCALE)
    assert formation == pytest.approx(-5.0 + (2 * 2.0 + 5.0) / 3, abs=1e-12)


def test_a_system_without_compounds_interpolates_its_elements():
    hull = Hull(make_entries({"fe": ("Fe", -8.0), "ti": ("Ti", -7.0), "p": ("P", -5.0)}), scale=SCALE)
    assert hull.hull_energy_per_atom({"Fe": 1, "Ti": 1, "P": 2}) == pytest.approx(-6.25, abs=1e-12)


def test_compounds_on_one_plane_are_all_vertices_or_on_the_hull():
    table = {"fe": ("Fe", -1.0), "o": ("O", -1.0), "p": ("P", -1.0)}
    for index, amounts in enumerate(itertools.product(range(1, 4), repeat=3)):
        formula = "".join(f"{s}{n}" for s, n in zip(("Fe", "O", "P"), amounts, strict=True))
        table[f"c{index}"] = (formula, -2.0)
    distances = Hull(make_entries(table), scale=SCALE).entries_above_hull()
    assert distances == pytest.approx(np.zeros(len(table)), abs=1e-9)


def test_energies_of_another_scale_are_refused(binary):
    with pytest.raises(EnergyScaleError, match="one energy scale"):
        binary.energy_above_hull({"Li": 2, "O": 1}, -5.0, scale=OTHER_SCALE)
    with pytest.raises(EnergyScaleError, match="one energy scale"):
        binary.with_entries(make_entries({"x": ("LiO3", -4.0)}), scale=OTHER_SCALE)
    with pytest.raises(EnergyScaleError, match="one energy scale"):
        binary.energies_above_hull([{"Li": 1}], [-2.0], scale=OTHER_SCALE)


def test_an_element_without_reference_is_named(binary):
    with pytest.raises(MissingReferenceError, match="no reference crystal of Na"):
        binary.energy_above_hull({"Na": 2, "O": 1}, -5.0, scale=SCALE)
    with pytest.raises(MissingReferenceError, match="Na, U"):
        binary.check_elements(["Li", "Na", "U"])


def test_an_energy_that_is_not_finite_is_refused(binary):
    with pytest.raises(InputError, match="nan eV/atom"):
        binary.energy_above_hull({"Li": 2, "O": 1}, float("nan"), scale=SCALE)


def test_an_unknown_element_is_refused_with_the_nearest_name(binary):
    with pytest.raises(InputError, match=r"unknown element 'Lii'\. Did you mean 'Li'"):
        binary.energy_above_hull({"Lii": 2, "O": 1}, -1.0, scale=SCALE)


def test_an_id_that_occurs_twice_is_refused(binary):
    with pytest.raises(ReferenceDataError, match="'li2o' occurs twice"):
        binary.with_entries(make_entries({"li2o": ("Li2O", -5.0)}), scale=SCALE)


def test_many_distances_at_once_equal_single_ones():
    hull = Hull(random_entries(2), scale=SCALE)
    compositions = [Composition("LiFeO2"), Composition("TiP2"), Composition("Li3PO4"), Composition("Fe")]
    energies = [-3.0, -2.0, -5.5, -1.0]
    together = hull.energies_above_hull(compositions, energies, scale=SCALE)
    single = [hull.energy_above_hull(c, e, scale=SCALE) for c, e in zip(compositions, energies, strict=True)]
    assert together == pytest.approx(single, abs=1e-12)


def test_isotopes_of_hydrogen_are_hydrogen():
    assert fractions_of(Composition("D2O")) == fractions_of({"H": 2, "O": 1})


def test_sub_systems_are_all_proper_subsets():
    key = system_key([3, 8, 15])
    assert sorted(map(system_name, sub_systems(key))) == ["Li", "Li-O", "Li-P", "O", "O-P", "P"]


def test_lower_hull_of_a_triangle_reaches_its_corners():
    fractions = np.vstack([np.eye(3), [[0.5, 0.5, 0.0]], [[1 / 3, 1 / 3, 1 / 3]]])
    energies = np.array([-1.0, -2.0, -3.0, -3.0, -4.0])
    hull = lower_hull(fractions, energies)
    assert hull.energies(fractions) == pytest.approx(energies, abs=1e-12)
