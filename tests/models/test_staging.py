from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from genmat.errors import InputError
from genmat.models.protocol import Failure, RelaxProtocol
from genmat.models.staging import SAME_ENERGY, SYMPREC, Crystal, Next, Point, displaced
from genmat.representation.operations import Symmetry

from .conftest import perovskite, rocksalt, silicon

PROTOCOL = RelaxProtocol(rattle=0.05)
SALT = rocksalt()
QUARTZ = Structure(
    Lattice.hexagonal(4.92, 5.43),
    ["Si"] * 3 + ["O"] * 6,
    [
        [0.465, 0, 1 / 3], [0, 0.465, 2 / 3], [-0.465, -0.465, 0],
        [0.415, 0.272, 0.453], [-0.272, 0.143, 0.786], [-0.143, -0.415, 0.12],
        [0.272, 0.415, 0.547], [0.143, -0.272, 0.214], [-0.415, -0.143, 0.88],
    ],
)  # fmt: skip


def number(structure: Structure, *, symprec: float = 1e-4) -> int:
    return SpacegroupAnalyzer(structure, symprec=symprec).get_space_group_number()


@pytest.mark.parametrize("structure", [SALT, silicon(), perovskite(), QUARTZ])
def test_a_displaced_crystal_gets_its_symmetry_back(structure):
    symmetry = Symmetry.of(structure, symprec=SYMPREC)
    moved = displaced(structure, rattle=0.02, cell=True)
    again = symmetry.applied(moved, cell=True)
    assert number(moved) <= 2  # two equal atoms always have a centre of inversion
    assert number(again) == number(structure, symprec=0.05)
    assert again.species == structure.species
    assert np.abs(again.lattice.matrix - moved.lattice.matrix).max() < 0.1


def test_symmetry_is_applied_once():
    once = Symmetry.of(QUARTZ, symprec=SYMPREC).applied(displaced(QUARTZ, rattle=0.02, cell=True), cell=True)
    twice = Symmetry.of(once, symprec=SYMPREC).applied(once, cell=True)
    assert twice.lattice.matrix == pytest.approx(once.lattice.matrix, abs=1e-9)
    assert twice.frac_coords == pytest.approx(once.frac_coords, abs=1e-9)


def test_a_fixed_cell_is_not_made_symmetric():
    moved = displaced(SALT, rattle=0.02, cell=True)
    assert Symmetry.of(SALT, symprec=SYMPREC).applied(moved, cell=False).lattice == moved.lattice


def test_a_crystal_without_symmetry_has_none():
    assert Symmetry.of(displaced(QUARTZ, rattle=0.3, cell=True), symprec=SYMPREC) is None


def point(energy: float, *, fmax: float = 0.0) -> Point:
    return Point(energy * 2, fmax, 0.0, SALT.volume, was_evaluated=True)


@pytest.mark.parametrize(
    ("changes", "failure"),
    [
        ({}, None),
        ({"volume": 0.31 * SALT.volume}, None),
        ({"volume": 2.9 * SALT.volume}, None),
        ({"volume": 0.29 * SALT.volume}, Failure.VOLUME_COLLAPSED),
        ({"volume": 3.1 * SALT.volume}, Failure.VOLUME_EXPLODED),
        ({"energy": float("nan")}, Failure.NOT_FINITE),
        ({"fmax": float("inf")}, Failure.NOT_FINITE),
        ({"smax": float("nan"), "volume": 3.1 * SALT.volume}, Failure.NOT_FINITE),
        ({"energy": float("nan"), "was_evaluated": False}, Failure.EVALUATION_FAILED),
    ],
)
def test_a_crystal_is_given_up_for_its_volume_and_for_what_is_no_number(changes, failure):
    assert replace(point(-3.0), **changes).failure(SALT, PROTOCOL) is failure


def test_a_small_volume_is_given_up_whatever_it_began_with():
    tiny = SALT.copy()
    tiny.scale_lattice(2 * 1.9)
    assert replace(point(-3.0), volume=tiny.volume).failure(tiny, PROTOCOL) is Failure.VOLUME_COLLAPSED


def displaced_crystal() -> Crystal:
    """Return a crystal that left its symmetric stage at -3 eV/atom."""
    crystal = Crystal(0, SALT, SALT)
    assert crystal.stepped(point(-3.0, fmax=3.9 * PROTOCOL.fmax), PROTOCOL, lambda start: start) is Next.ENTER
    return crystal


def test_the_symmetric_stage_ends_before_the_crystal_has_converged():
    crystal = Crystal(0, SALT, SALT)
    assert crystal.stepped(point(-3.0, fmax=4.1 * PROTOCOL.fmax), PROTOCOL, lambda start: start) is Next.MOVE
    assert crystal.stepped(point(-3.0, fmax=3.9 * PROTOCOL.fmax), PROTOCOL, lambda start: start) is Next.ENTER
    assert number(crystal.geometry) == 1


def test_symmetry_that_costs_energy_is_left():
    crystal = displaced_crystal()
    beside = displaced(SALT, rattle=0.01, cell=True)
    assert crystal.stepped(point(-3.1), PROTOCOL, lambda _: beside) is Next.CHECK
    assert number(crystal.geometry) == number(SALT)
    while crystal.free:
        assert crystal.checked(point(-3.1 + 2 * SAME_ENERGY), PROTOCOL) is Next.CHECK
    outcome = crystal.checked(point(-3.1), PROTOCOL)
    assert outcome.converged
    assert outcome.structure == beside
    assert outcome.rattle_gain == pytest.approx(0.1)


def test_symmetry_that_costs_nothing_is_kept():
    crystal = displaced_crystal()
    crystal.stepped(point(-3.1), PROTOCOL, lambda _: displaced(SALT, rattle=0.01, cell=True))
    outcome = crystal.checked(point(-3.1 + SAME_ENERGY / 2), PROTOCOL)
    assert outcome.converged
    assert number(outcome.structure) == number(SALT)


def test_a_displacement_out_of_range_is_refused():
    with pytest.raises(InputError, match=r"rattle is -0\.1 Å, expected 0 to 0\.5 Å"):
        RelaxProtocol(rattle=-0.1)


def test_a_protocol_without_rattle_is_known_as_before_there_was_one():
    assert "rattle" not in RelaxProtocol().to_dict()
    assert PROTOCOL.to_dict()["rattle"] == 0.05
