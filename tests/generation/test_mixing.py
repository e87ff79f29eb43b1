import numpy as np
import pytest

from genmat.generation.mixing import N_ATOMIC_NUMBERS, PairModel, fit_pair_model
from genmat.generation.volume import SMALLEST, VolumeModel, fit_volume_model


def model(a: dict[int, float], b: dict[tuple[int, int], float]) -> PairModel:
    linear, pairs = np.zeros(N_ATOMIC_NUMBERS), np.zeros((N_ATOMIC_NUMBERS, N_ATOMIC_NUMBERS))
    for z, value in a.items():
        linear[z] = value
    for (i, j), value in b.items():
        pairs[i, j] = pairs[j, i] = value
    return PairModel(linear, pairs)


def compositions() -> list[tuple[tuple[int, float], ...]]:
    rng = np.random.default_rng(3)
    drawn = []
    for _ in range(400):
        zs = rng.choice([3, 8, 11, 26, 56], size=int(rng.integers(1, 4)), replace=False)
        drawn.append(tuple((int(z), float(rng.integers(1, 5))) for z in zs))
    return drawn


def test_value_follows_the_equation() -> None:
    x = model({11: 20.0, 17: 30.0}, {(11, 17): -8.0})
    assert x.value([(11, 1), (17, 1)]) == pytest.approx(25.0 - 0.25 * 8.0)


def test_value_knows_neither_order_nor_number_of_formula_units() -> None:
    x = model({11: 20.0, 17: 30.0, 8: 9.0}, {(11, 17): -8.0, (8, 11): 3.0})
    assert x.value([(11, 1), (17, 2), (8, 3)]) == pytest.approx(x.value([(8, 6), (11, 2), (17, 4)]))


def test_fit_finds_the_model_that_made_the_data() -> None:
    given = compositions()
    truth = model({3: 12.0, 8: 9.0, 11: 24.0, 26: 11.0, 56: 40.0}, {(3, 8): -2.0, (8, 56): -9.0, (11, 26): 4.0})
    fitted = fit_pair_model(given, np.array([truth.value(c) for c in given]), penalty=1e-6)
    for composition in given:
        assert fitted.value(composition) == pytest.approx(truth.value(composition), rel=1e-3)


def test_an_unseen_pair_has_no_coefficient() -> None:
    fitted = fit_pair_model([((3, 1), (8, 1)), ((3, 1),), ((11, 1),)], np.array([8.0, 12.0, 24.0]), penalty=0.01)
    assert fitted.pairs[3, 11] == 0.0
    assert (fitted.pairs == fitted.pairs.T).all()


def test_weights_decide_between_contradictory_crystals() -> None:
    fitted = fit_pair_model([((3, 1),), ((3, 1),)], np.array([10.0, 20.0]), penalty=1e-9, weights=np.array([1.0, 1e6]))
    assert fitted.linear[3] == pytest.approx(20.0, abs=1e-3)


def test_decorating_with_the_same_elements_moves_a_volume_towards_its_composition() -> None:
    volume = fit_volume_model([((3, 1), (8, 1)), ((3, 1),), ((8, 1),)], np.array([10.0, 12.0, 9.0]))
    salt = ((3, 1), (8, 1))
    usual = volume.volume_per_atom(salt)
    assert volume.decorated(usual, salt, salt) == pytest.approx(usual)
    assert usual < volume.decorated(2.0 * usual, salt, salt) < 2.0 * usual


def test_larger_elements_make_a_larger_crystal() -> None:
    volume = VolumeModel(model({3: 12.0, 11: 24.0, 8: 9.0}, {}))
    assert volume.decorated(10.0, ((3, 1), (8, 1)), ((11, 1), (8, 1))) > 10.0


def test_no_predicted_volume_is_absurdly_small() -> None:
    volume = VolumeModel(model({3: 1.0, 8: 1.0}, {(3, 8): -50.0}))
    assert volume.volume_per_atom(((3, 1), (8, 1))) == SMALLEST
    assert volume.element_volume(90) == SMALLEST
