"""Fingerprints: what they must not depend on, and what they must tell apart."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.operations import SymmOp
from pymatgen.core.structure import Structure

from genmat.reference.fingerprint import SIZE, fingerprint, fingerprint_difference

ROUNDING = 2e-4


def difference(left: Structure, right: Structure) -> float:
    return float(fingerprint_difference(fingerprint(left), fingerprint(right)))


def test_supercell_has_the_same_fingerprint(structures):
    doubled = structures["quartz"].copy()
    doubled.make_supercell([[2, 0, 0], [1, 1, 0], [0, 0, 2]])
    assert difference(structures["quartz"], doubled) < ROUNDING


def test_order_of_atoms_does_not_matter(structures):
    quartz = structures["quartz"]
    shuffled = Structure.from_sites([quartz[i] for i in np.random.default_rng(0).permutation(len(quartz))])
    assert difference(quartz, shuffled) < ROUNDING


def test_rotation_and_shift_do_not_matter(structures):
    moved = structures["quartz"].copy()
    moved.apply_operation(SymmOp.from_axis_angle_and_translation([1, 2, 3], 37.0))
    moved.translate_sites(range(len(moved)), [0.11, 0.23, 0.41])
    assert difference(structures["quartz"], moved) < ROUNDING


def test_volume_does_not_matter(structures):
    quartz = structures["quartz"]
    swollen = quartz.copy()
    swollen.scale_lattice(1.1 * quartz.volume)
    assert difference(quartz, swollen) < ROUNDING


def test_small_displacements_change_it_little(structures):
    moved = structures["quartz"].copy()
    moved.perturb(0.02)
    assert 0.0 < difference(structures["quartz"], moved) < 0.02


def test_two_orderings_of_one_lattice_differ():
    corners = [[x, y, z] for x in (0, 0.5) for y in (0, 0.5) for z in (0, 0.5)]
    layered = Structure(Lattice.cubic(6.0), ["Cu" if p[2] == 0 else "Au" for p in corners], corners)
    checkered = Structure(Lattice.cubic(6.0), ["Cu" if sum(p) % 1 == 0 else "Au" for p in corners], corners)
    assert difference(layered, checkered) > 0.1


def test_polymorphs_differ(structures):
    assert difference(structures["nacl"], structures["cscl-nacl"]) > 0.1


def test_difference_is_a_distance(structures):
    prints = [fingerprint(structures[name]) for name in ("nacl", "cscl-nacl")]
    assert fingerprint_difference(*prints) == pytest.approx(float(fingerprint_difference(*prints[::-1])))
    assert float(fingerprint_difference(prints[0], prints[0])) == 0.0


def test_five_elements_fit():
    structure = Structure(
        Lattice.cubic(7.0), ["Li", "Na", "K", "Rb", "Cs"], [[i / 5, i * i / 7, i / 3] for i in range(5)]
    )
    assert fingerprint(structure).shape == (SIZE,)
