"""Worker processes: the same bits however work is resumed, and no process left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from genmat.errors import PotentialError
from genmat.models.pool import PotentialPool, _groups
from genmat.models.protocol import RelaxProtocol

from .conftest import perovskite, rattled, rocksalt, silicon


@pytest.fixture(scope="module")
def pool():
    with PotentialPool("chgnet-0.3.0", workers=1) as pool:
        yield pool


def crystals():
    return {
        "a": rattled(rocksalt(), distance=0.1, seed=1),
        "b": rattled(silicon(), distance=0.1, seed=2),
        "c": rattled(perovskite(), distance=0.1, seed=3),
    }


@pytest.fixture(scope="module")
def everything(pool):
    return dict(pool.relax(crystals(), missing={"a", "b", "c"}, protocol=RelaxProtocol()))


def test_a_killed_process_loses_nothing_and_changes_no_bit(pool, everything):
    # Other pools of this session may have processes too.
    (worker,) = (psutil.Process(process.process.pid) for process in pool._processes._processes)
    relaxing = pool.relax(crystals(), missing={"a", "b", "c"}, protocol=RelaxProtocol())
    found = dict([next(relaxing)])
    worker.kill()
    found |= dict(relaxing)
    assert {name: outcome.energies for name, outcome in found.items()} == {
        name: outcome.energies for name, outcome in everything.items()
    }


def test_resumed_relaxation_gives_the_same_bits(pool, everything):
    resumed = dict(pool.relax(crystals(), missing={"b"}, protocol=RelaxProtocol()))
    assert resumed["b"].energy == everything["b"].energy
    assert resumed["b"].structure == everything["b"].structure


def test_groups_hold_few_crystals_on_a_cpu_and_many_atoms_on_a_gpu():
    names = [f"c{k}" for k in range(10)]
    sizes = [32_000, 32_000, 3000, *[10] * 7]
    assert [len(group) for group in _groups(names, sizes, by_atoms=False)] == [4, 4, 2]
    assert [len(group) for group in _groups(["c"] * 20, [9] * 20, by_atoms=False)] == [5, 5, 5, 5]
    assert {len(group) for group in _groups(["c"] * 80, [9] * 80, by_atoms=False)} == {8}
    assert [len(group) for group in _groups(names, sizes, by_atoms=True)] == [2, 8]
    assert list(_groups([], [], by_atoms=True)) == []


def test_a_device_that_is_not_there_is_refused_when_the_pool_is_made():
    with pytest.raises(PotentialError, match="device 'cuda:99' is not there"):
        PotentialPool("chgnet-0.3.0", workers=1, device="cuda:99")


def test_nothing_missing_is_no_work(pool):
    assert list(pool.relax(crystals(), missing=set(), protocol=RelaxProtocol())) == []


def test_evaluation_yields_each_position_once(pool):
    assert sorted(position for position, _ in pool.evaluate(list(crystals().values()))) == [0, 1, 2]


PARENT = """
import sys, time
from genmat.models.pool import PotentialPool
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
if __name__ == "__main__":
    pool = PotentialPool("chgnet-0.3.0", workers=1)
    list(pool.evaluate([Structure(Lattice.cubic(3.0), ["Fe"], [[0, 0, 0]])]))
    print("ready", flush=True)
    time.sleep(60)
"""


def test_workers_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline().strip() == "ready"
    children = psutil.Process(parent.pid).children(recursive=True)
    assert children
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    gone, alive = psutil.wait_procs(children, timeout=20)
    assert not alive, time.ctime()
    assert gone
