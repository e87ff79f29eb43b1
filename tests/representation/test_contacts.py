import numpy as np
import pytest

from genmat.representation.contacts import MIN_DISTANCE, closest_contact, closest_contact_of_arrays, distances_ok
from genmat.representation.conversion import to_arrays, to_structure
from genmat.representation.crystal import Crystal, Orbit

RUTILE = Crystal(136, (Orbit("Ti", "a"), Orbit("O", "f", (0.305,))), (4.59, 4.59, 2.96, 90.0, 90.0, 90.0))


def test_a_real_crystal_keeps_its_distances_until_it_is_squeezed() -> None:
    ratio = closest_contact(to_structure(RUTILE), cutoff=2.0).ratio
    assert distances_ok(RUTILE, min_ratio=0.999 * ratio)
    assert not distances_ok(RUTILE, min_ratio=1.001 * ratio)
    assert not distances_ok(RUTILE.scale_volume(0.3), min_ratio=0.999 * ratio)


def test_the_floor_holds_whatever_ratio_is_allowed() -> None:
    hydrogen = Crystal(221, (Orbit("H", "a"),), (0.9 * MIN_DISTANCE,) * 3 + (90.0, 90.0, 90.0))
    assert not distances_ok(hydrogen, min_ratio=0.01)


@pytest.mark.parametrize("primitive", [True, False])
def test_every_cell_of_a_crystal_has_the_same_closest_contact(*, primitive: bool) -> None:
    fluorite = Crystal(225, (Orbit("Ca", "a"), Orbit("F", "c")), (5.46,) * 3 + (90.0, 90.0, 90.0))
    contact = closest_contact_of_arrays(*to_arrays(fluorite, primitive=primitive), cutoff=2.0)
    assert contact.elements == ("Ca", "F")
    assert contact.distance == pytest.approx(5.46 * np.sqrt(3) / 4)
