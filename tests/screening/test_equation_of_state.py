"""Birch-Murnaghan fits: exact on their own curve, honest about bad points."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.screening.equation_of_state import (
    EV_PER_CUBIC_ANGSTROM,
    VOLUME_SCALES,
    EquationOfState,
    FitFailure,
    fit_birch_murnaghan,
    scaled_structures,
)

VOLUMES = 40.0 * np.asarray(VOLUME_SCALES)


def birch_murnaghan(volumes, *, v0=40.2, e0=-10.0, b0=120.0, b1=4.7):
    """Return E(V), eV, in the form of Birch's paper."""
    eta = (v0 / volumes) ** (2 / 3) - 1
    return e0 + 9 * v0 * b0 / EV_PER_CUBIC_ANGSTROM / 16 * (eta**3 * b1 + eta**2 * (6 - 4 * (eta + 1)))


@pytest.mark.parametrize("b0", [3.0, 120.0, 440.0])
@pytest.mark.parametrize("b1", [2.5, 4.0, 7.0])
def test_parameters_of_an_exact_curve_come_back(b0, b1):
    fit = fit_birch_murnaghan(VOLUMES, birch_murnaghan(VOLUMES, b0=b0, b1=b1))
    assert isinstance(fit, EquationOfState)
    assert fit.bulk_modulus == pytest.approx(b0, rel=1e-5)
    assert fit.pressure_derivative == pytest.approx(b1, rel=1e-4)
    assert fit.volume == pytest.approx(40.2, rel=1e-7)
    assert fit.energy == pytest.approx(-10.0, abs=1e-9)


def test_bulk_modulus_is_the_curvature_of_the_energy():
    h = 1e-3
    left, middle, right = birch_murnaghan(np.array([40.2 - h, 40.2, 40.2 + h]))
    curvature = 40.2 * (left - 2 * middle + right) / h**2 * EV_PER_CUBIC_ANGSTROM
    assert fit_birch_murnaghan(VOLUMES, birch_murnaghan(VOLUMES)).bulk_modulus == pytest.approx(curvature, rel=1e-3)


def test_a_supercell_has_the_same_bulk_modulus():
    single = fit_birch_murnaghan(VOLUMES, birch_murnaghan(VOLUMES))
    double = fit_birch_murnaghan(2 * VOLUMES, 2 * birch_murnaghan(VOLUMES))
    assert double.bulk_modulus == pytest.approx(single.bulk_modulus, rel=1e-9)


def test_order_of_points_does_not_matter():
    order = [3, 0, 6, 1, 5, 2, 4]
    left = fit_birch_murnaghan(VOLUMES, birch_murnaghan(VOLUMES))
    right = fit_birch_murnaghan(VOLUMES[order], birch_murnaghan(VOLUMES)[order])
    assert left.bulk_modulus == pytest.approx(right.bulk_modulus, rel=1e-9)


@pytest.mark.parametrize(
    ("volumes", "energies", "reason"),
    [
        (VOLUMES[:4], birch_murnaghan(VOLUMES[:4]), "expected at least 5"),
        (VOLUMES[[0] * 7], birch_murnaghan(VOLUMES), "expected at least 5"),
        (VOLUMES, np.full(7, np.nan), "not finite"),
        (1.2 * VOLUMES, birch_murnaghan(1.2 * VOLUMES), "no energy minimum"),
        (VOLUMES, -birch_murnaghan(VOLUMES), "no energy minimum"),
        (VOLUMES, np.zeros(7), "no energy minimum"),
        (VOLUMES, np.array([1.0, 0.0, 0.9, -0.1, 0.7, 0.1, 0.8]), "scatter|no energy minimum"),
    ],
)
def test_bad_points_are_told(volumes, energies, reason):
    import re

    fit = fit_birch_murnaghan(volumes, energies)
    assert isinstance(fit, FitFailure)
    assert re.search(reason, fit.reason)


def test_scaled_structures_keep_coordinates_and_shape():
    structure = Structure(Lattice.orthorhombic(3, 4, 5), ["Na", "Cl"], [[0, 0, 0], [0.4, 0.5, 0.6]])
    cells = scaled_structures(structure)
    assert [cell.volume / structure.volume for cell in cells] == pytest.approx(VOLUME_SCALES)
    assert all(np.allclose(cell.frac_coords, structure.frac_coords) for cell in cells)
    assert all(cell.lattice.b / cell.lattice.a == pytest.approx(4 / 3) for cell in cells)
