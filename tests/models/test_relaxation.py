"""Relaxation: reaches minima, reports honestly, and lets no crystal spoil another."""

from __future__ import annotations

import numpy as np
import pytest
import torch_sim as ts
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from genmat.models.protocol import Failure, RelaxProtocol
from genmat.models.relaxation import EV_PER_CUBIC_ANGSTROM_IN_GPA, evaluate, relax

from .conftest import perovskite, rattled, rocksalt, silicon

PROTOCOL = RelaxProtocol()
SUPPORTED = frozenset(range(1, 95))


def relax_all(model, structures, protocol=PROTOCOL, **options):
    return dict(relax(structures, model=model, protocol=protocol, atomic_numbers=SUPPORTED, **options))


def collapsed() -> Structure:
    return Structure(Lattice.cubic(1.1), ["Na"], [[0, 0, 0]])


def overlapping() -> Structure:
    return Structure(Lattice.cubic(4.0), ["Na", "Cl", "O"], [[0, 0, 0], [0.02, 0, 0], [0.5, 0.5, 0.5]])


def test_strained_crystal_returns_to_its_lattice_constant(chgnet):
    (start,) = [rocksalt(a=5.64 * 1.05)]
    relaxed = relax_all(chgnet, [start])[0]
    conventional = 2 ** (1 / 2) * relaxed.structure.lattice.a
    assert relaxed.converged
    assert conventional == pytest.approx(5.69, abs=0.05)  # Å, PBE


def test_converged_flag_is_true_of_the_geometry_that_is_returned(chgnet):
    for outcome in relax_all(chgnet, [rattled(perovskite(), distance=0.15, seed=1), rocksalt(a=5.9)]).values():
        assert outcome.converged
        assert outcome.failure is None
        state = ts.initialize_state([outcome.structure], chgnet.device, chgnet.dtype)
        again = chgnet(state)
        assert again["forces"].norm(dim=1).max() < PROTOCOL.fmax
        assert float(again["stress"].abs().max()) * EV_PER_CUBIC_ANGSTROM_IN_GPA < PROTOCOL.smax
        assert float(again["energy"][0]) == pytest.approx(outcome.energy, abs=1e-4)


def test_energy_never_ends_above_where_it_began(chgnet):
    outcome = relax_all(chgnet, [rattled(perovskite(), distance=0.2, seed=4)])[0]
    assert outcome.energies[-1] < outcome.energies[0]
    assert len(outcome.energies) == len(outcome.volumes) == outcome.n_steps + 1


def test_minimum_equals_that_of_ase_with_chgnets_own_calculator(chgnet):
    from chgnet.model.dynamics import CHGNetCalculator

    start = rattled(silicon(), distance=0.1, seed=6)
    atoms = AseAtomsAdaptor.get_atoms(start)
    atoms.calc = CHGNetCalculator(use_device="cpu")
    FIRE(FrechetCellFilter(atoms), logfile=None).run(fmax=0.02, steps=200)
    outcome = relax_all(chgnet, [start], RelaxProtocol(fmax=0.02, smax=0.2))[0]
    assert outcome.energy_per_atom == pytest.approx(atoms.get_potential_energy() / 2, abs=1e-3)  # eV/atom


def test_symmetric_start_keeps_its_space_group(chgnet):
    outcome = relax_all(chgnet, [perovskite()])[0]
    assert outcome.structure.get_space_group_info(symprec=0.01)[1] == 221


def test_bad_crystals_do_not_change_the_others(chgnet):
    good = [rattled(rocksalt(), distance=0.1, seed=2), rattled(silicon(), distance=0.1, seed=3)]
    mixed = relax_all(chgnet, [good[0], collapsed(), overlapping(), good[1]])
    for place, alone in ((0, relax_all(chgnet, [good[0]])[0]), (3, relax_all(chgnet, [good[1]])[0])):
        assert mixed[place].converged
        assert mixed[place].energy_per_atom == pytest.approx(alone.energy_per_atom, abs=2e-4)
        assert mixed[place].structure.volume == pytest.approx(alone.structure.volume, rel=2e-3)


def test_collapsed_cell_is_refused_before_the_potential_sees_it(chgnet):
    outcome = relax_all(chgnet, [collapsed()])[0]
    assert outcome.failure is Failure.VOLUME_COLLAPSED
    assert not outcome.converged
    assert np.isnan(outcome.energy)


def test_element_that_the_potential_does_not_know_is_a_reason(chgnet):
    heavy = Structure(Lattice.cubic(5.0), ["Cm"], [[0, 0, 0]])
    assert relax_all(chgnet, [heavy])[0].failure is Failure.UNSUPPORTED_ELEMENT


def test_too_few_steps_end_as_not_converged_with_the_last_geometry(chgnet):
    start = rattled(perovskite(), distance=0.3, seed=7)
    outcome = relax_all(chgnet, [start], RelaxProtocol(max_steps=2))[0]
    assert outcome.failure is Failure.NOT_CONVERGED
    assert outcome.n_steps == 2
    assert outcome.energies[-1] < outcome.energies[0]


def test_fixed_cell_stays(chgnet):
    start = rattled(perovskite(), distance=0.15, seed=8)
    outcome = relax_all(chgnet, [start], RelaxProtocol(cell=False))[0]
    assert outcome.converged
    assert outcome.structure.lattice.matrix == pytest.approx(start.lattice.matrix, abs=1e-9)


def test_fire_takes_over_from_lbfgs_and_finishes(chgnet, monkeypatch):
    monkeypatch.setattr("genmat.models.descent.LBFGS_STEPS", 3)
    outcome = relax_all(chgnet, [rattled(perovskite(), distance=0.15, seed=9)])[0]
    assert outcome.converged
    assert outcome.n_steps > 3


def test_one_atom_in_a_skewed_cell_relaxes(chgnet):
    skewed = Structure(Lattice([[2.9, 0, 0], [8.0, 2.9, 0], [0.3, 9.1, 2.9]]), ["Fe"], [[0, 0, 0]])
    assert relax_all(chgnet, [skewed])[0].failure in {None, Failure.NOT_CONVERGED, Failure.VOLUME_COLLAPSED}


def test_evaluation_gives_every_energy_once(chgnet):
    structures = [rocksalt(), silicon(), perovskite()]
    energies = dict(evaluate(structures, model=chgnet))
    assert sorted(energies) == [0, 1, 2]
    assert energies[1] == pytest.approx(dict(evaluate([silicon()], model=chgnet))[0], abs=1e-4)


def titanate() -> Structure:
    return Structure(
        Lattice.cubic(4.03),
        ["Ba", "Ti", "O", "O", "O"],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    )


def number(structure: Structure) -> int:
    return SpacegroupAnalyzer(structure, symprec=1e-3).get_space_group_number()


def test_a_rattle_leaves_a_saddle_point_that_symmetry_holds(chgnet):
    held = relax_all(chgnet, [titanate()])[0]
    free = relax_all(chgnet, [titanate()], RelaxProtocol(rattle=0.05))[0]
    assert held.rattle_gain is None
    assert free.converged
    assert free.energy_per_atom < held.energy_per_atom - 0.001
    assert free.rattle_gain > 0.001
    assert number(held.structure) == 221
    assert 1 < number(free.structure) < 221


def test_a_crystal_that_comes_back_from_a_rattle_has_its_symmetry(chgnet):
    still = relax_all(chgnet, [rocksalt(a=5.9)])[0]
    back, same = (relax_all(chgnet, [rocksalt(a=5.9)], RelaxProtocol(rattle=0.05))[0] for _ in range(2))
    assert number(back.structure) == number(rocksalt())
    assert back.energy_per_atom == pytest.approx(still.energy_per_atom, abs=1e-3)
    assert back.structure == same.structure
    assert len(back.energies) == len(back.volumes) == back.n_steps + 1


def test_a_rattled_crystal_that_runs_out_of_steps_has_not_converged(chgnet):
    outcome = relax_all(chgnet, [rocksalt(a=5.9)], RelaxProtocol(rattle=0.05, max_steps=3))[0]
    assert outcome.failure is Failure.NOT_CONVERGED
    assert outcome.n_steps == 3


def test_a_rattle_leaves_a_fixed_cell_alone(chgnet):
    relaxed = relax_all(chgnet, [rocksalt(a=5.9)], RelaxProtocol(cell=False, rattle=0.05))[0]
    assert relaxed.structure.volume == pytest.approx(rocksalt(a=5.9).volume)
