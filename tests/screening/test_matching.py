"""The test of equality on arrays says what StructureMatcher says."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.screening.identity import describe, describe_disordered, is_same_cell, substitutes
from genmat.screening.matching import reduce_cell
from genmat.screening.uniqueness import FEW, Candidate, find_duplicates

from .conftest import CRYSTALS

ZINC_BLENDE = Structure.from_spacegroup("F-43m", Lattice.cubic(5.4), ["Zn", "S"], [[0] * 3, [0.25] * 3])
WURTZITE = Structure.from_spacegroup(
    "P6_3mc", Lattice.hexagonal(3.8, 6.2), ["Zn", "S"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.375]]
)


def changed(structure: Structure, *, seed: int, displacement: float = 0.05) -> Structure:
    """Return a crystal in another cell, origin and order of atoms, strained and with moved atoms."""
    dice = np.random.default_rng(seed)
    strain = dice.uniform(-0.02, 0.02, (3, 3))
    order = dice.permutation(len(structure))
    lattice = Lattice(structure.lattice.matrix @ (np.eye(3) + 0.5 * (strain + strain.T)) * dice.uniform(0.95, 1.05))
    species = [structure[int(place)].specie for place in order]
    result = Structure(lattice, species, structure.frac_coords[order] + dice.random(3))
    result.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    return result.perturb(displacement) if displacement else result


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("seed", range(3))
def test_a_crystal_is_itself_in_another_cell_strained_and_perturbed(name, seed):
    other = changed(CRYSTALS[name], seed=seed)
    assert is_same_cell(reduce_cell(CRYSTALS[name]), reduce_cell(other))
    assert is_same_cell(reduce_cell(other), reduce_cell(CRYSTALS[name]))


def test_a_supercell_is_reduced_to_the_primitive_cell():
    assert len(reduce_cell(changed(ZINC_BLENDE, seed=0, displacement=0.0)).points) == 2
    assert len(reduce_cell(changed(WURTZITE, seed=0, displacement=0.0)).points) == 4


def test_polymorphs_and_other_elements_are_different():
    other = ZINC_BLENDE.copy()
    other.replace_species({"Zn": "Cd"})
    assert not is_same_cell(reduce_cell(ZINC_BLENDE), reduce_cell(WURTZITE))
    assert not is_same_cell(reduce_cell(ZINC_BLENDE), reduce_cell(other))


def test_the_order_of_elements_on_one_lattice_matters():
    """Half-Heusler crystals: the same lattice of points, another element in the middle."""
    sites = [[0] * 3, [0.25] * 3, [0.5] * 3]
    one, other = (
        Structure.from_spacegroup("F-43m", Lattice.cubic(5.9), symbols, sites)
        for symbols in (["Ti", "Ni", "Sn"], ["Ti", "Sn", "Ni"])
    )
    assert not is_same_cell(reduce_cell(one), reduce_cell(other))
    assert not StructureMatcher().fit(one, other)


def test_real_crystals_of_one_formula_are_judged_as_the_matcher_does(shared_data):
    import pyarrow.parquet as pq

    columns = ["formula", "lattice", "species", "frac_coords"]
    table = pq.ParquetFile(shared_data / "mp_structures.parquet")
    rows: dict[str, list[dict[str, object]]] = {}
    for row in next(table.iter_batches(batch_size=3000, columns=columns)).to_pylist():
        rows.setdefault(row["formula"], []).append(row)
    pairs = [group[:2] for group in rows.values() if len(group) > 1][:30]
    matcher, same = StructureMatcher(), 0
    for pair in pairs:
        one, other = (
            Structure(np.reshape(r["lattice"], (3, 3)), r["species"], np.reshape(r["frac_coords"], (-1, 3)))
            for r in pair
        )
        expected = matcher.fit(one, other)
        same += expected
        assert is_same_cell(reduce_cell(one), reduce_cell(other)) == expected
    assert len(pairs) > 10


def test_more_crystals_of_one_formula_than_few_are_compared_by_fingerprint_with_the_same_result():
    draws = [Candidate("zinc-blende", (0, 0), describe(ZINC_BLENDE, gene=""))]
    for number in range(2 * FEW):
        stretched = Structure(Lattice.tetragonal(4.0, 1.5 * 1.4**number), ["Zn", "S"], [[0] * 3, [0.5] * 3])
        draws.append(Candidate(f"{number}", (0, number + 1), describe(stretched, gene="")))
    draws.append(Candidate("again", (1, 0), describe(changed(ZINC_BLENDE, seed=1), gene="")))
    found = find_duplicates(draws)
    assert found["again"].id == "zinc-blende"
    assert sum(duplicate is None for duplicate in found.values()) > FEW
    assert found["again"].difference is not None


def test_elements_substitute_that_are_alike_in_size_and_electronegativity():
    assert substitutes(["Cl", "Fe", "Mn", "Na", "Co"]) == (("Cl",), ("Co", "Fe", "Mn"), ("Na",))


def test_two_orderings_of_one_solid_solution_are_the_same_only_as_disordered_crystals():
    sites = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    one, other = (
        Structure(Lattice.cubic(3.6), symbols, sites)
        for symbols in (["Fe", "Fe", "Co", "Co"], ["Fe", "Fe", "Fe", "Co"])
    )
    layered = Structure(
        Lattice([[3.6, 0, 0], [0, 3.6, 0], [0, 0, 7.2]]),
        ["Fe"] * 4 + ["Co"] * 4,
        [[x, y, z / 2 + shift / 2] for shift in (0, 1) for x, y, z in sites],
    )
    ordered = find_duplicates(
        [Candidate("a", (0, 0), describe(one, gene="")), Candidate("b", (0, 1), describe(layered, gene=""))]
    )
    assert ordered["b"] is None
    draws = [
        Candidate(name, (0, k), describe_disordered(s))
        for k, (name, s) in enumerate({"a": one, "b": layered, "c": other}.items())
    ]
    disordered = find_duplicates(draws)
    assert disordered["b"].id == "a"
    assert disordered["c"] is None
