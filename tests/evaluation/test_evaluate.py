from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from genmat.errors import EnergyScaleError, InputError
from genmat.evaluation import Options, Row, Sample, evaluate, select
from genmat.evaluation.published import compare
from genmat.models.potentials import get_potential
from genmat.models.protocol import Relaxation, RelaxProtocol
from genmat.reference.journal import Journal
from genmat.representation import Crystal, Orbit

from .conftest import rocksalt_of

if TYPE_CHECKING:
    from collections.abc import Iterator


class StandInPool:
    """Relaxes by doing nothing: each crystal gets one energy; counts what it was asked for."""

    potential = get_potential("chgnet-0.3.0")

    def __init__(self, *, energy_per_atom: float = -3.0, dies_after: int | None = None) -> None:
        self.energy_per_atom = energy_per_atom
        self.dies_after = dies_after
        self.n_relaxed = 0

    def relax(self, structures, *, missing, protocol) -> Iterator[tuple[str, Relaxation]]:
        for name in sorted(missing):
            if self.n_relaxed == self.dies_after:
                raise KeyboardInterrupt
            self.n_relaxed += 1
            structure = structures[name]
            energy = self.energy_per_atom * len(structure)
            yield (
                name,
                Relaxation(structure, energy, 0.0, 0.0, 1, converged=True, failure=None, energies=(), volumes=()),
            )


def _salts(n: int) -> list[Sample]:
    """Return ``n`` different rocksalt crystals that have no duplicates."""
    pairs = [(metal, halogen) for metal in ("Li", "Na", "K", "Rb", "Cs") for halogen in ("F", "Cl", "Br", "I")]
    return [Sample(f"{a}{x}", rocksalt_of(a, x, edge=6.0)) for a, x in pairs[:n]]


def test_a_known_crystal_is_not_novel_and_an_unknown_one_is(reference, rocksalt, unknown):
    result = evaluate([Sample("salt", rocksalt), Sample("new", unknown)], reference=reference)
    assert [row.novel for row in result.rows] == [False, True]
    assert result.rows[0].known_as.startswith("mp-")
    assert [row.number_before for row in result.rows] == [225, 221]
    assert all(row.valid for row in result.rows)


def test_a_sample_counts_in_its_primitive_cell(reference, rocksalt):
    (row,) = evaluate([Sample("salt", rocksalt * (2, 1, 1))], reference=reference).rows
    assert (row.formula, row.n_sites) == ("NaCl", 2)


def test_the_first_of_equal_samples_is_the_unique_one(reference, unknown):
    shifted = unknown.copy()
    shifted.translate_sites([0, 1], [0.3, 0.1, 0.2])
    result = evaluate([Sample("a", unknown), Sample("b", shifted * (1, 2, 1))], reference=reference)
    assert [(row.unique, row.duplicate_of) for row in result.rows] == [(True, None), (False, "a")]


def test_validity_is_that_of_cdvae(reference):
    lattice = Lattice.cubic(4.0)
    samples = [
        Sample("alloy", Structure(lattice, ["Cu", "Zn"], [[0, 0, 0], [0.5, 0.5, 0.5]])),
        Sample("charged", Structure(lattice, ["K", "F", "F"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0]])),
        Sample("close", Structure(lattice, ["Na", "Cl"], [[0, 0, 0], [0.12, 0, 0]])),
    ]
    rows = evaluate(samples, reference=reference).rows
    assert [row.composition_valid for row in rows] == [True, False, True]
    assert [row.structure_valid for row in rows] == [True, True, False]


def test_unscorable_samples_stay_in_every_denominator_with_their_reason(reference, rocksalt):
    half = Structure(Lattice.cubic(4.0), [{"Na": 0.5}], [[0, 0, 0]])
    nan = rocksalt.copy()
    nan._sites[0]._frac_coords = np.array([np.nan, 0.0, 0.0])
    samples = [
        Sample("good", rocksalt),
        Sample("unreadable", None, "the file was torn"),
        Sample("disordered", half),
        Sample("nan", nan),
        Sample("empty", Structure(Lattice.cubic(3.0), [], [])),
    ]
    result = evaluate(samples, reference=reference, pool=StandInPool())
    assert [row.reason for row in result.rows[1:]] == ["unscorable"] * 4
    assert "torn" in result.rows[1].detail
    assert "partial occupancies" in result.rows[2].detail
    assert {item.total for name, item in result.all_samples().items() if name != "p1_of_novel"} == {5}
    assert {item.total for item in result.relaxed_samples().values()} == {5}
    assert result.all_samples()["scorable"].successes == 1


def test_an_element_that_the_potential_does_not_know_is_a_failed_relaxation(reference, pool):
    bad = Structure(Lattice.cubic(5.0), ["Cf", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    (row,) = evaluate([Sample("cf", bad)], reference=reference, pool=pool).rows
    assert row.reason == "unsupported_element"
    assert row.stable is False


def test_a_crystal_on_a_saddle_point_leaves_it_only_when_rattled(reference, pool):
    # A chain of equidistant copper atoms far from all others: symmetric, and far above what its atoms can reach.
    chain = Structure(Lattice.orthorhombic(3.4, 3.4, 2.6), ["Cu", "Cu"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    still = Options(protocol=RelaxProtocol())
    (held,) = evaluate([Sample("chain", chain)], reference=reference, options=still, pool=pool).rows
    (row,) = evaluate([Sample("chain", chain)], reference=reference, pool=pool).rows
    assert held.energy_above_hull_symmetric is None
    assert row.energy_above_hull < min(row.energy_above_hull_symmetric, held.energy_above_hull + 1e-3)


def test_rocksalt_is_stable_symmetric_and_known(reference, rocksalt, pool):
    result = evaluate([Sample("salt", rocksalt)], reference=reference, pool=pool)
    (row,) = result.rows
    assert row.stable
    assert abs(row.energy_above_hull) < 0.01
    assert row.number_after == 225
    assert row.reason == "known"
    assert result.relaxed_samples()["ssun_after"].successes == 0
    assert result.relaxed_samples()["stable"].successes == 1


def test_what_competes_with_elements_alone_is_not_stable(reference):
    sulfide = Sample("CaS", rocksalt_of("Ca", "S", edge=5.7))
    result = evaluate([sulfide], reference=reference, pool=StandInPool(energy_per_atom=-5.0))
    (row,) = result.rows
    assert row.reason == "missing_reference"
    assert row.stable is False
    assert row.energy_above_hull is not None
    assert result.relaxed_samples()["missing_reference"].successes == 1


def test_a_killed_evaluation_continues_where_it_was(reference, tmp_path):
    samples, journal = _salts(12), Journal(tmp_path / "relaxed.jsonl")
    dying = StandInPool(dies_after=7)
    with pytest.raises(KeyboardInterrupt):
        evaluate(samples, reference=reference, pool=dying, journal=journal)
    second = StandInPool()
    resumed = evaluate(samples, reference=reference, pool=second, journal=journal)
    assert second.n_relaxed == 12 - 7
    undisturbed = evaluate(samples, reference=reference, pool=StandInPool())
    assert resumed.rows == undisturbed.rows
    third = StandInPool()
    evaluate(samples, reference=reference, pool=third, journal=journal)
    assert third.n_relaxed == 0


def test_another_protocol_is_not_taken_from_the_journal(reference, tmp_path):
    samples, journal = _salts(2), Journal(tmp_path / "relaxed.jsonl")
    evaluate(samples, reference=reference, pool=StandInPool(), journal=journal)
    options = Options(protocol=replace(Options().protocol, max_steps=10))
    again = StandInPool()
    evaluate(samples, reference=reference, options=options, pool=again, journal=journal)
    assert again.n_relaxed == 2


def test_a_larger_subset_begins_with_the_smaller_one():
    small, large = select(1000, Options(relax=20, seed=4)), select(1000, Options(relax=50, seed=4))
    assert large[:20] == small
    assert select(1000, Options(relax=20, seed=5)) != small


def test_only_the_subset_is_relaxed(reference):
    pool = StandInPool()
    result = evaluate(_salts(12), reference=reference, options=Options(relax=5), pool=pool)
    assert pool.n_relaxed == 5
    assert len(result.relaxed) == 5
    assert result.all_samples()["unique"].total == 12
    assert result.relaxed_samples()["ssun_after"].total == 5


def test_without_a_pool_nothing_is_said_about_stability(reference):
    result = evaluate(_salts(3), reference=reference)
    assert result.relaxed_samples() == {}
    assert {row.stable for row in result.rows} == {None}
    assert {row.reason for row in result.rows} <= {"known", "not_selected"}


def test_the_result_names_everything_it_rests_on(reference):
    definition = evaluate(_salts(1), reference=reference, pool=StandInPool()).to_dict()["definition"]
    assert definition["potential_sha256"] == get_potential("chgnet-0.3.0").sha256
    assert definition["reference_id"] == reference.id
    assert definition["hull_tolerance"] == 0.08
    assert "ltol=0.2" in definition["matcher"]
    assert "smact" in definition["composition_test"]
    assert "failed relaxations included" in definition["denominator"]
    assert definition["options"]["protocol"]["rattle"] == 0.05


def test_published_distances_are_compared(reference, rocksalt):
    samples = [replace(item, published=0.01 * place) for place, item in enumerate(_salts(6))]
    samples[3] = replace(samples[3], published=-5.0)
    comparison = evaluate(samples, reference=reference, pool=StandInPool()).comparison()
    assert comparison.n_compared == 6
    assert sum((comparison.both_stable, comparison.both_unstable)) == round(6 * comparison.agreement)
    wrong = next(outlier for outlier in comparison.outliers if outlier.published == -5.0)
    assert "no crystal's" in wrong.reason


def test_samples_of_our_own_generator_are_crystals(reference):
    crystal = Crystal(225, (Orbit("Na", "a"), Orbit("Cl", "b")), (5.69, 5.69, 5.69, 90.0, 90.0, 90.0))
    (row,) = evaluate([Sample.from_crystal("draw", crystal)], reference=reference).rows
    assert (row.formula, row.number_before, row.novel) == ("NaCl", 225, False)


def test_no_samples_are_refused(reference):
    with pytest.raises(InputError, match="no samples"):
        evaluate([], reference=reference)


def test_relaxing_without_a_pool_is_refused(reference):
    with pytest.raises(InputError, match="no pool"):
        evaluate(_salts(1), reference=reference, options=Options(relax=1))


def test_energies_of_another_scale_are_refused(reference):
    stranger = StandInPool()
    stranger.potential = SimpleNamespace(scale=replace(reference.scale, functional="LDA"))
    with pytest.raises(EnergyScaleError):
        evaluate(_salts(1), reference=reference, pool=stranger)


@pytest.mark.parametrize(("name", "value"), [("symprec", 0.0), ("hull_tolerance", float("nan"))])
def test_options_out_of_range_are_refused(name, value):
    with pytest.raises(InputError, match=name):
        Options(**{name: value})


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ({"published": -5.0, "energy_above_hull": 0.0}, "no crystal's"),
        ({"published": 0.0, "energy_above_hull": -2.0}, "lacks competitors"),
        ({"published": 0.0, "energy_above_hull": -1.0 / 3.0, "reason": "missing_reference"}, "formation energy"),
        (
            {"published": 0.4, "energy_above_hull": 0.1, "energy_above_hull_symmetric": 0.41},
            r"breaking the symmetry lowers it by 0\.310",
        ),
        ({"published": 0.4, "energy_above_hull": 0.1, "energy_above_hull_start": 9.0}, "depends on the optimiser"),
        ({"published": 0.4, "energy_above_hull": 0.1, "energy_above_hull_start": 0.11}, "the hulls differ"),
        ({"published": 0.4, "energy_above_hull": 0.1, "energy_above_hull_start": 0.5}, "another minimum"),
    ],
)
def test_an_outlier_is_explained_by_its_numbers(numbers, expected):
    row = Row("x", selected=True, n_sites=2, energy_per_atom=-3.0, **numbers)
    (outlier,) = compare([row], tolerance=0.08).outliers
    assert re.search(expected, outlier.reason)


def test_agreement_with_published_distances_is_counted_at_the_tolerance():
    pairs = [(0.0, 0.01), (0.05, 0.09), (0.2, 0.05), (0.3, 0.31), (0.5, None)]
    rows = [Row("x", selected=True, published=old, energy_above_hull=new) for old, new in pairs]
    found = compare(rows, tolerance=0.08)
    counts = (found.both_stable, found.only_published_stable, found.only_computed_stable, found.both_unstable)
    assert counts == (1, 1, 1, 1)
    assert (found.n_compared, found.n_failed, found.agreement) == (4, 1, 0.5)
    assert found.mean_absolute_difference == pytest.approx((0.01 + 0.04 + 0.15 + 0.01) / 4)
    assert -1.0 <= found.spearman <= 1.0
