"""Nothing poisons a batch, memory ends gently, and strange crystals end in a number or a reason."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch_sim as ts
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from torch_sim.models.interface import ModelInterface

from genmat.models import memory
from genmat.models.potentials import get_potential
from genmat.models.potentials.registry import EVERY_ELEMENT
from genmat.models.protocol import USUAL_RATTLE, Failure, RelaxProtocol
from genmat.models.relaxation import evaluate, relax

from .conftest import rattled, rocksalt

QUICK = RelaxProtocol(max_steps=2)


class Spoilt(ModelInterface):
    """Argon's Lennard-Jones, which fails for crystals that hold helium and runs out of memory above a size."""

    def __init__(self, *, fault: str | None = None, fits: int = 10**9) -> None:
        super().__init__()
        self.inner = get_potential("lennard-jones").load()
        self._device, self._dtype = self.inner.device, self.inner.dtype
        self._compute_forces = self._compute_stress = True
        self.fault, self.fits = fault, fits
        self.largest = 0

    def forward(self, state, **_):
        if state.n_atoms > self.fits:
            msg = "no memory"
            raise torch.OutOfMemoryError(msg)
        self.largest = max(self.largest, state.n_atoms)
        bad = state.atomic_numbers == 2
        if self.fault == "raise" and bool(bad.any()):
            msg = "no neighbours"
            raise RuntimeError(msg)
        found = self.inner(state)
        if self.fault in {"nan", "explode"}:
            systems = torch.unique(state.system_idx[bad])
            value = float("nan") if self.fault == "nan" else 1e6
            found["forces"][bad] = value
            found["energy"][systems] = value
            found["stress"][systems] = torch.eye(3, dtype=self.dtype) * (value if self.fault == "nan" else -value)
        return found


def argon(a: float, seed: int) -> Structure:
    cell = Structure.from_spacegroup(225, Lattice.cubic(a), ["Ar"], [[0, 0, 0]])
    return rattled(cell, distance=0.1, seed=seed)


def helium() -> Structure:
    return Structure(Lattice.cubic(4.0), ["He", "He"], [[0, 0, 0], [0.5, 0.5, 0.45]])


@pytest.mark.parametrize(
    ("fault", "failure"),
    [("nan", Failure.NOT_FINITE), ("raise", Failure.EVALUATION_FAILED), ("explode", Failure.VOLUME_EXPLODED)],
)
@pytest.mark.parametrize("rattle", [0.0, USUAL_RATTLE])
def test_one_bad_crystal_leaves_the_others_as_they_are_alone(fault, failure, rattle):
    good = [argon(5.3, 1), argon(5.2, 2), argon(5.4, 3)]
    protocol = RelaxProtocol(rattle=rattle)
    options = {"model": Spoilt(fault=fault), "protocol": protocol, "atomic_numbers": EVERY_ELEMENT}
    together = dict(relax([good[0], helium(), *good[1:]], **options))
    assert together[1].failure is failure
    for place, crystal in ((0, good[0]), (2, good[1]), (3, good[2])):
        alone = dict(relax([crystal], **options))[0]
        assert together[place].converged
        assert together[place].n_steps == alone.n_steps
        assert together[place].energy == pytest.approx(alone.energy, abs=1e-9)


def test_a_crystal_enters_when_another_leaves_and_ends_as_it_does_alone():
    slow = rattled(argon(5.0, 1), distance=0.3, seed=2) * (2, 1, 1)
    crystals = [argon(5.25, 3), helium(), slow, argon(5.26, 4)]
    options = {"protocol": RelaxProtocol(), "atomic_numbers": EVERY_ELEMENT}
    model = Spoilt(fault="nan")
    together = dict(relax(crystals, model=model, batch_atoms=12, **options))
    assert model.largest == 12
    assert list(together) == [0, 3, 1, 2]  # one after the other beside the slow one
    assert together[1].failure is Failure.NOT_FINITE
    for place in (0, 2, 3):
        alone = dict(relax([crystals[place]], model=Spoilt(), **options))[0]
        assert together[place].n_steps == alone.n_steps
        assert together[place].energy == pytest.approx(alone.energy, abs=1e-9)


def test_a_group_of_several_batches_keeps_them_full_until_nothing_waits():
    class Counting(Spoilt):
        """Keeps how many atoms were evaluated together."""

        def forward(self, state, **_):
            evaluated.append(state.n_atoms)
            return super().forward(state)

    evaluated: list[int] = []
    crystals = [argon(5.1 + 0.02 * k, k) for k in range(12)]
    options = {"protocol": RelaxProtocol(rattle=0.02), "atomic_numbers": EVERY_ELEMENT}
    together = dict(relax(crystals, model=Counting(), batch_atoms=12, **options))
    steps = [outcome.n_steps for outcome in together.values()]
    assert sorted(together) == list(range(12))
    assert all(outcome.converged for outcome in together.values())
    assert max(evaluated) == 12
    tail = max(steps) + 3  # when nothing waits any more
    assert set(evaluated[:-tail]) == {12}


def test_convergence_that_does_not_hold_in_the_last_evaluation_is_none():
    class Forgetful(Spoilt):
        """Says once that a crystal is at rest which is not."""

        def forward(self, state, **_):
            found = super().forward(state)
            if not self.told:
                self.told = True
                found["forces"] *= 0
                found["stress"] *= 0
            return found

    model = Forgetful()
    model.told = False
    crystal = rattled(argon(5.0, 1), distance=0.3, seed=2)
    outcome = dict(relax([crystal], model=model, protocol=RelaxProtocol(), atomic_numbers=EVERY_ELEMENT))[0]
    assert outcome.converged
    assert outcome.n_steps > 1
    state = ts.initialize_state([outcome.structure], model.device, model.dtype)
    assert float(model(state)["forces"].norm(dim=1).max()) == pytest.approx(outcome.fmax, abs=1e-9)


def test_out_of_memory_lowers_the_limit_instead_of_dying():
    crystals = [argon(5.2 + 0.05 * k, k) for k in range(6)]
    model = Spoilt(fits=9)
    options = {"protocol": RelaxProtocol(), "atomic_numbers": EVERY_ELEMENT}
    outcomes = dict(relax(crystals, model=model, **options))
    assert memory.batch_limit(model) <= 9
    assert model.largest <= 9
    for place, crystal in enumerate(crystals):
        alone = dict(relax([crystal], model=Spoilt(), **options))[0]
        assert outcomes[place].energy == pytest.approx(alone.energy, abs=1e-9)
    assert len(dict(evaluate(crystals, model=model))) == len(crystals)
    assert memory.batch_limit(Spoilt()) == memory.CPU_ATOMS  # of another potential of the same class


def test_a_crystal_that_never_fits_has_a_reason_and_the_others_their_energy():
    small = argon(5.3, 1)
    outcomes = dict(
        relax([small * (2, 1, 1), small], model=Spoilt(fits=5), protocol=RelaxProtocol(), atomic_numbers=EVERY_ELEMENT)
    )
    assert outcomes[0].failure is Failure.EVALUATION_FAILED
    assert outcomes[1].converged


def strange() -> dict[str, Structure]:
    skewed = Lattice([[3.0, 0, 0], [20.0, 3.0, 0], [-17.0, 19.0, 3.0]])
    left = Lattice([[0, 4.0, 0], [4.0, 0, 0], [0, 0, 4.0]])
    return {
        "one atom": Structure(Lattice.cubic(2.9), ["Fe"], [[0, 0, 0]]),
        "500 atoms": Structure.from_spacegroup(225, Lattice.cubic(5.69), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
        * (5, 5, 3),
        "0.3 Å contacts": Structure(Lattice.cubic(5.0), ["O", "O"], [[0, 0, 0], [0.06, 0, 0]]),
        "90 Å cell": Structure(Lattice.orthorhombic(4, 4, 90), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.02]]),
        "empty cell": Structure(Lattice.cubic(90), ["Na"], [[0, 0, 0]]),
        "noble gas": Structure(Lattice.cubic(4.5), ["Xe", "He"], [[0, 0, 0], [0.5] * 3]),
        "actinides": Structure(Lattice.cubic(5.0), ["U", "Pu", "Cm"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]),
        "duplicated sites": Structure(Lattice.cubic(4.0), ["Mg", "Mg", "O"], [[0, 0, 0], [0, 0, 0], [0.5] * 3]),
        "left-handed": Structure(left, ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3]),
        "strongly skewed": Structure(skewed, ["Fe"], [[0, 0, 0]]),
        "not a number": Structure(Lattice.cubic(4.0), ["Na"], [[float("nan"), 0, 0]]),
        "flat": Structure(Lattice([[4, 0, 0], [0, 4, 0], [4, 4, 1e-9]]), ["Na"], [[0, 0, 0]]),
    }


@pytest.fixture(scope="module")
def outcomes():
    named = strange()
    model = get_potential("chgnet-0.3.0").load()
    found = dict(relax(list(named.values()), model=model, protocol=QUICK, atomic_numbers=frozenset(range(1, 95))))
    return {name: found[place] for place, name in enumerate(named)}


@pytest.mark.parametrize("name", sorted(strange()))
def test_a_strange_crystal_ends_in_a_number_or_a_reason(outcomes, name):
    outcome = outcomes[name]
    assert outcome.failure is not None or outcome.converged
    assert np.isfinite(outcome.energy) or outcome.failure not in {None, Failure.NOT_CONVERGED}
    if name == "actinides":
        assert outcome.failure is Failure.UNSUPPORTED_ELEMENT


def test_a_left_handed_cell_relaxes_to_the_energy_of_its_mirror_image(chgnet):
    right = rattled(rocksalt(), distance=0.05, seed=4)
    left = Structure(right.lattice.matrix[[1, 0, 2]], right.species, right.frac_coords[:, [1, 0, 2]])
    options = {"model": chgnet, "protocol": RelaxProtocol(), "atomic_numbers": frozenset(range(1, 95))}
    found = dict(relax([right, left], **options))
    assert found[0].converged
    assert found[1].converged
    assert found[1].energy == pytest.approx(found[0].energy, abs=1e-3)


def test_fire_relaxes_a_left_handed_cell_too(chgnet, monkeypatch):
    monkeypatch.setattr("genmat.models.descent.LBFGS_STEPS", 0)
    right = rattled(rocksalt(), distance=0.05, seed=4)
    left = Structure(right.lattice.matrix[[1, 0, 2]], right.species, right.frac_coords[:, [1, 0, 2]])
    found = dict(relax([left], model=chgnet, protocol=RelaxProtocol(), atomic_numbers=EVERY_ELEMENT))
    assert found[0].converged


def test_no_structures_are_no_work(chgnet):
    assert list(relax([], model=chgnet, protocol=QUICK, atomic_numbers=EVERY_ELEMENT)) == []
    assert list(evaluate([], model=chgnet)) == []
