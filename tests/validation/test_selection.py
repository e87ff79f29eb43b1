"""Who is computed: the best, the uncertain and a random slice, within a budget, each with its reason."""

from __future__ import annotations

from dataclasses import replace

from genmat.validation.selection import Option, Why, select


def option(rank, *, chemsys="Li-O", cost=1.0, margin=-0.1, phases=None, obstacle=None):
    return Option(f"c{rank}", rank, chemsys, margin, cost, phases or {}, obstacle)


def test_best_come_first_and_few_of_one_chemical_system():
    options = [option(rank) for rank in (4, 1, 3, 2)] + [option(5, chemsys="Na-O")]
    assert set(select(options, top=3).chosen) == {"c1", "c2", "c5"}


def test_budget_counts_a_competing_phase_once_and_says_who_does_not_fit():
    options = [
        option(1, phases={"mp-1": 2.0}),
        option(2, chemsys="Na-O", phases={"mp-1": 2.0}),
        option(3, chemsys="K-O", cost=9.0),
        option(4, chemsys="Ca-O", cost=0.5),
    ]
    selection = select(options, top=3, max_core_hours=5.0)
    assert set(selection.chosen) == {"c1", "c2", "c4"}
    assert selection.core_hours == 4.5
    assert selection.passed_over == {"c3": "9 core hours expected, 1 of 5 are left"}


def test_candidate_that_cannot_be_computed_is_passed_over_with_its_obstacle():
    selection = select([option(1, obstacle="30 atoms"), option(2)], top=1)
    assert set(selection.chosen) == {"c2"}
    assert selection.passed_over == {"c1": "30 atoms"}


def test_one_in_four_is_the_nearest_to_the_tolerance():
    options = [option(rank, chemsys=f"{rank}", margin=-0.2 + 0.02 * rank) for rank in range(1, 12)]
    selection = select(options, top=4)
    assert selection.chosen == {"c1": Why.BEST, "c2": Why.BEST, "c3": Why.BEST, "c10": Why.UNCERTAIN}


def test_interval_that_holds_the_tolerance_comes_before_one_that_is_near():
    options = [option(rank, chemsys=f"{rank}", margin=-0.2 + 0.02 * rank) for rank in range(1, 12)]
    options[6] = replace(options[6], straddles=True)
    assert select(options, top=4).chosen["c7"] is Why.UNCERTAIN


def test_audit_slice_is_random_reproducible_and_ignores_rank():
    options = [option(rank, chemsys=f"{rank}") for rank in range(1, 41)]
    drawn = [set(select(options, top=1, audit=3, seed=seed).chosen) for seed in range(30)]
    assert drawn[0] == set(select(list(reversed(options)), top=1, audit=3, seed=0).chosen)
    assert len(set().union(*drawn)) > 25
    audited = [why for why in select(options, top=1, audit=3, seed=1).chosen.values() if why is Why.AUDIT]
    assert len(audited) == 3
