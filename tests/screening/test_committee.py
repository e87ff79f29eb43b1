"""How far opinions lie apart."""

from __future__ import annotations

import numpy as np
import pytest

from genmat.errors import EnergyScaleError
from genmat.models.potentials import get_potential
from genmat.screening.committee import Opinion, check_committee, energy_above_phases, spread


def opinion(above: float, *, energy: float = -3.0, force: float = 0.0) -> Opinion:
    return Opinion(energy, above, np.full((2, 3), force))


def test_equal_opinions_have_no_spread():
    found = spread([opinion(0.05, force=0.1)] * 3, tolerance=0.08)
    assert (found.energy, found.energy_above_hull, found.straddles) == (0.0, 0.0, False)
    assert found.force == pytest.approx(0.0)


def test_the_order_of_the_members_does_not_matter():
    members = [opinion(0.01, force=0.1), opinion(0.12, energy=-3.1), opinion(0.05, force=-0.2)]
    assert spread(members, tolerance=0.08) == spread(members[::-1], tolerance=0.08)


def test_members_on_both_sides_of_the_tolerance_straddle_it():
    assert spread([opinion(0.05), opinion(0.12)], tolerance=0.08).straddles
    assert not spread([opinion(0.05), opinion(0.08)], tolerance=0.08).straddles
    assert spread([opinion(0.05), opinion(0.12)], tolerance=0.08).energy_above_hull == pytest.approx(0.07)


def test_the_force_spread_is_that_of_the_worst_atom():
    still, moved = np.zeros((2, 3)), np.zeros((2, 3))
    moved[1] = [0.3, 0.0, 0.4]
    found = spread([Opinion(-3.0, 0.0, still), Opinion(-3.0, 0.0, moved)], tolerance=0.08)
    assert found.force == pytest.approx(0.25)  # half of 0.5 on either side of the mean


def test_a_mixture_of_itself_is_at_no_distance():
    assert energy_above_phases(-3.2, [(0.25, -3.2), (0.75, -3.2)]) == pytest.approx(0.0)


def test_members_of_one_functional_may_sit_together_and_of_two_not():
    scales = {name: get_potential(name).scale for name in ("chgnet-0.3.0", "chgnet-0.2.0", "chgnet-r2scan")}
    check_committee({name: scales[name] for name in ("chgnet-0.3.0", "chgnet-0.2.0")})
    with pytest.raises(EnergyScaleError, match=r"chgnet-r2scan .* expected one functional"):
        check_committee(scales)
