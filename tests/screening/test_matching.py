"""The test of equality on arrays says what StructureMatcher says."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from scipy.optimize import linear_sum_assignment

from genmat.screening.identity import describe, describe_disordered, is_same_cell, substitutes
from genmat.screening.matching import reduce_cell
from genmat.screening.uniqueness import FEW, Candidate, KnownDraws, find_duplicates

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


@pytest.mark.parametrize("displacement", [0.0, 0.03, 0.1])
def test_a_pseudo_supercell_is_as_primitive_as_pymatgen_says(displacement):
    for name, crystal in CRYSTALS.items():
        for seed in range(3):
            larger = crystal.copy()
            larger.make_supercell([[1, 1, 0], [0, 2, 1], [0, 0, 1 + seed % 2]])
            larger = larger.perturb(displacement, seed=seed) if displacement else larger
            expected = larger.get_reduced_structure("niggli").get_primitive_structure(0.25)
            assert len(reduce_cell(larger).points) == len(expected), name


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


def test_compiled_code_judges_every_pair_as_arrays_do():
    crystals = [changed(crystal, seed=seed, displacement=0.4) for crystal in CRYSTALS.values() for seed in range(2)]
    cells = [reduce_cell(crystal) for crystal in (*crystals, *CRYSTALS.values(), ZINC_BLENDE, WURTZITE)]
    judged = [(is_same_cell(one, other), is_same_cell(one, other, compiled=True)) for one in cells for other in cells]
    assert all(arrays == compiled for arrays, compiled in judged)
    assert 0 < sum(arrays for arrays, _ in judged) < len(judged)


def test_a_cell_without_volume_is_no_other_crystal():
    from genmat.screening import comparison

    flat, counts = np.array([[3.0, 0.0, 0.0], [0.0, 3.0, 0.0], [3.0, 3.0, 0.0]]), np.array([1])
    for lattice in (flat, np.full((3, 3), np.nan)):
        assert not comparison.is_same_cell(lattice, np.zeros((1, 3)), flat, np.zeros((1, 3)), counts, (0.2, 0.3, 5.0))


def test_compiled_assignment_of_partners_is_the_best_one():
    from genmat.screening import comparison

    dice = np.random.default_rng(0)
    counts, metric, shift = np.array([7, 1, 4]), np.diag([9.0, 16.0, 25.0]), np.array([0.1, 0.2, 0.3])
    for _ in range(20):
        points, others, partners = dice.random((12, 3)), dice.random((12, 3)), np.zeros(12, dtype=np.int64)
        comparison._assign(points, others, shift, metric, counts, partners)
        between = (points - shift)[:, None] - others[None]
        squares = ((between - np.round(between)) ** 2 * np.diag(metric)).sum(axis=-1)
        for start, end in ((0, 7), (7, 8), (8, 12)):
            rows, columns = linear_sum_assignment(squares[start:end, start:end])
            assert sorted(partners[start:end]) == list(range(start, end))
            assert squares[range(start, end), partners[start:end]].sum() == pytest.approx(
                squares[start:end, start:end][rows, columns].sum()
            )


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
    known = KnownDraws(compiled=True)
    assert {draw.id: known.add(draw) for draw in draws} == found


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
    assert "substitute for each other" in disordered["b"].evidence.text
    assert disordered["c"] is None
