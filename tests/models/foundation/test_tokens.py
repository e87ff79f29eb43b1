from __future__ import annotations

import numpy as np
import pytest

from genmat.errors import RepresentationError
from genmat.models.foundation.tokens import MAX_ORBITS, TokenTable, concatenate
from genmat.representation import Crystal, Orbit, gene


def test_crystals_come_back_from_tokens_up_to_single_precision(known):
    crystals, _ = known
    table = TokenTable.from_crystals(crystals)
    for row, crystal in enumerate(crystals):
        found = table.crystal(row)
        assert gene(found) == gene(crystal)
        assert found.number == crystal.number
        assert found.lattice == pytest.approx(crystal.lattice, rel=2e-6, abs=2e-4)
        wanted = sorted((orbit.letter, orbit.element, orbit.free) for orbit in crystal.orbits)
        for orbit, (letter, element, free) in zip(
            sorted(found.orbits, key=lambda o: (o.letter, o.element, o.free)), wanted, strict=True
        ):
            assert (orbit.letter, orbit.element) == (letter, element)
            assert orbit.free == pytest.approx(free, abs=1e-6)


def test_the_order_in_which_orbits_are_given_does_not_matter(known):
    crystals, _ = known
    rng = np.random.default_rng(1)
    shuffled = [
        Crystal(c.number, tuple(c.orbits[i] for i in rng.permutation(len(c.orbits))), c.lattice) for c in crystals
    ]
    one, other = TokenTable.from_crystals(crystals), TokenTable.from_crystals(shuffled)
    for name in ("numbers", "ranks", "elements", "free", "shapes"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    # Sums over neighbours come in another order.
    assert np.allclose(one.environments.astype(float), other.environments.astype(float), atol=5e-3)


def test_a_gene_has_the_tokens_of_its_crystal(known):
    crystals, _ = known
    table = TokenTable.from_crystals(crystals)
    genes = TokenTable.from_genes([(c.number, [(o.element, o.letter) for o in c.orbits]) for c in crystals])
    assert np.array_equal(genes.ranks, table.ranks)
    assert np.array_equal(genes.elements, table.elements)
    assert not genes.free.any()


def test_amounts_count_the_atoms_of_the_primitive_cell(known):
    crystals, _ = known
    assert TokenTable.from_crystals(crystals).amounts.sum(axis=1).tolist() == [c.n_atoms for c in crystals]


def test_parts_make_the_whole(data):
    halves = concatenate([data.tokens[slice(0, 50)], data.tokens[slice(50, None)]])
    assert np.array_equal(halves.free, data.tokens.free)


def test_a_crystal_with_too_many_orbits_is_refused():
    orbits = tuple(Orbit("H", "i", (0.04 * i, 0.3, 0.2)) for i in range(1, MAX_ORBITS + 2))
    crystal = Crystal.from_parts(2, orbits, (9.0, 9.5, 10.0, 80.0, 85.0, 95.0))
    with pytest.raises(RepresentationError, match=f"{MAX_ORBITS + 1} orbits, the foundation model reads at most"):
        TokenTable.from_crystals([crystal])
