"""Deviations of a potential from first principles that were made, and are found."""

from __future__ import annotations

import numpy as np
import pytest

from genmat.validation.deviation import force_deviation
from genmat.validation.engine import Frame

from .conftest import rocksalt


def frames(
    *, softening: float = 1.0, shift: float = 0.0, displacement: float = 0.1, strain: float = 0.02
) -> list[Frame]:
    """Return a relaxation in a harmonic world: force 10 eV/Å^2, stress 50 GPa; ``shift`` moves the minimum, Å."""
    found = []
    for left in (1.0, 0.0):
        moved = np.zeros((2, 3))
        moved[0, 0] = displacement * left - shift
        pull = np.eye(3) * (strain * left - shift / 5)
        found.append(Frame(rocksalt(), -10 * softening * moved, 50 * softening * pull))
    return found


@pytest.mark.parametrize("shift", [0.0, 0.03])
def test_softening_is_found_whatever_the_distance_of_the_minima(shift):
    found = force_deviation(frames(), frames(softening=0.8, shift=shift))
    assert found.force_slope == pytest.approx(0.8)
    assert found.stress_slope == pytest.approx(0.8)


def test_equal_forces_have_no_deviation():
    found = force_deviation(frames(), frames())
    assert (found.force_mae, found.stress_mae, found.force_slope, found.stress_slope) == pytest.approx((0, 0, 1, 1))


def test_mean_deviation_is_that_where_first_principles_relaxed_to():
    found = force_deviation(frames(), frames(shift=0.03))
    assert found.force_mae == pytest.approx(10 * 0.03 / 6)
    assert found.stress_mae == pytest.approx(50 * 0.03 / 5 * 3 / 9)


def test_slope_is_not_told_where_hardly_anything_changes():
    found = force_deviation(frames(displacement=0.001, strain=0.001), frames(displacement=0.001, strain=0.001))
    assert (found.force_slope, found.stress_slope) == (None, None)
