import numpy as np
import pytest

from genmat.errors import RepresentationError
from genmat.generation.random_start import random_lattice, random_start
from genmat.representation.contacts import distances_ok
from genmat.representation.lattice import conventional_volume, lattice_is_compatible

GENES = {
    1: [("Na", "a"), ("Cl", "a"), ("Na", "a"), ("Cl", "a")],
    2: [("Ti", "i"), ("O", "i"), ("O", "i")],
    14: [("Zr", "e"), ("O", "e"), ("O", "e")],
    62: [("Ca", "c"), ("Ti", "b"), ("O", "c"), ("O", "d")],
    139: [("K", "e"), ("Ni", "a"), ("F", "c"), ("F", "e")],
    154: [("Si", "a"), ("O", "c")],
    166: [("Bi", "c"), ("Te", "a"), ("Te", "c")],
    186: [("Zn", "b"), ("S", "b")],
    205: [("Fe", "a"), ("S", "c")],
    227: [("Mg", "a"), ("Al", "d"), ("O", "e")],
}


@pytest.mark.parametrize(("number", "occupations"), GENES.items())
def test_a_random_start_is_the_gene_at_the_volume_with_distances_kept(number: int, occupations: list) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        crystal = random_start(number, occupations, rng=rng, volume_per_atom=14.0, min_distance_ratio=0.65)
        assert [(orbit.element, orbit.letter) for orbit in crystal.orbits] == occupations
        assert crystal.number == number
        assert crystal.volume / crystal.n_atoms == pytest.approx(14.0)
        assert distances_ok(crystal, min_ratio=0.65)


def test_equal_seeds_give_equal_starts_and_different_ones_do_not() -> None:
    first, again, other = (
        random_start(62, GENES[62], rng=np.random.default_rng(seed), volume_per_atom=11.0) for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


def test_atoms_that_do_not_fit_give_nothing() -> None:
    assert random_start(205, GENES[205], rng=np.random.default_rng(0), volume_per_atom=1.0, tries=5) is None


@pytest.mark.parametrize("number", [1, 5, 19, 99, 143, 195])
def test_random_cells_suit_their_crystal_system_and_vary_with_it(number: int) -> None:
    rng = np.random.default_rng(0)
    cells = [random_lattice(number, 100.0, rng=rng) for _ in range(20)]
    assert all(lattice_is_compatible(number, cell) for cell in cells)
    assert [conventional_volume(cell) for cell in cells] == pytest.approx([100.0] * 20)
    assert len({round(cell[0], 6) for cell in cells}) == (1 if number == 195 else 20)


@pytest.mark.parametrize("volume", [0.0, -3.0, float("nan")])
def test_an_impossible_volume_is_refused(volume: float) -> None:
    with pytest.raises(RepresentationError, match="must be positive and finite"):
        random_start(225, [("Na", "a"), ("Cl", "b")], rng=np.random.default_rng(0), volume_per_atom=volume)
