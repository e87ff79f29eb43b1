"""All steps of VASP by a ``vasp`` that replays a real relaxation of silicon, on days when something goes wrong."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time

import pytest

from genmat.database.store import connect
from genmat.settings import Settings
from genmat.validation.engine import Failure
from genmat.validation.vasp import Vasp
from genmat.validation.vasp.nursery import NURSERY
from genmat.validation.vasp.outputs import read_run
from genmat.validation.vasp.steps import finished_steps
from workflows.computation import compute, computed_id

from .conftest import POTCAR, rocksalt, runs_in, silicon

VASP = """#!/bin/sh
echo "$(basename $(dirname $PWD))/$(basename $PWD)" >> {folder}/calls
for file in {run}/*.gz; do name=$(basename $file .gz)
case $name in INCAR|POSCAR|KPOINTS|*json|*orig) ;; *) gunzip -c $file > $name;; esac; done
grep TOTEN OUTCAR > OSZICAR; echo waves > WAVECAR; echo charges > CHGCAR
case "$(tail -n 1 {folder}/calls)" in
{days}
esac
"""
CUT = "head -c 40000 vasprun.xml > cut; mv cut vasprun.xml"
"""VASP writes as it goes: what is killed leaves half of it."""
STOPPED = (
    "sed -i '/LOOP+/s/real time.*/real time 9999.0/; s/reached required accuracy/soft stop encountered!/' OUTCAR; "
    "until [ -e STOPCAR ]; do sleep 0.1; done"
)
"""Ionic steps that take so long that custodian lets no further one begin."""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Give all tests one environment, so that they fork one process; return the folder of ``vasp``."""
    folder = tmp_path_factory.mktemp("site")
    potcars = folder / "potcars" / "POT_GGA_PAW_PBE"
    potcars.mkdir(parents=True)
    (potcars / "POTCAR.Si.gz").write_bytes(gzip.compress(POTCAR.encode()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PMG_VASP_PSP_DIR", str(folder / "potcars"))
        patch.setenv("ATOMATE2_VASP_CMD", str(folder / "vasp"))
        patch.setenv("PYTHONWARNINGS", "ignore")
        yield folder


@pytest.fixture
def site(environment, runs, tmp_path, monkeypatch):
    """Return a function that installs a ``vasp``; it is told what to do in a folder called ``attempt/step``."""

    def install(days):
        monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)  # one environment for all
        lines = "\n".join(f"{step}) {what} ;;" for step, what in days.items())
        program = environment / "vasp"
        program.write_text(VASP.format(folder=tmp_path, run=runs / "nonmetallic", days=lines))
        program.chmod(0o755)

    return install


def _calls(folder):
    return (folder / "calls").read_text().split()


@pytest.mark.timeout(900)
def test_steps_that_converged_are_not_run_again_after_a_walltime_and_a_kill(site, runs, tmp_path):
    site({
        "attempt-1/job_2": STOPPED,
        "attempt-2/job_2": f"{CUT}; setsid sleep 300 & kill -9 $PPID; sleep 300",
    })  # fmt: skip
    keep = tmp_path / "kept" / computed_id("start", Vasp())
    first, second, third = (keep / f"attempt-{number}" for number in (1, 2, 3))
    with connect(Settings.load(data_folder=tmp_path / "memory", mongod="/bin/false")) as store:

        def computed(max_seconds=500):
            return compute(store, Vasp(), "start", silicon(), max_seconds=max_seconds, keep=tmp_path / "kept")

        stopped = computed(max_seconds=120)
        assert stopped.failure == Failure.WALLTIME, stopped.detail
        assert (first / "job_2" / "STOPCAR").read_text() == "LSTOP = .TRUE."
        assert finished_steps([first], structure=silicon()) == [first / "job_1"]
        killed = computed()
        assert killed.failure in {Failure.CRASHED, Failure.TRUNCATED_OUTPUT}
        assert not runs_in(second / "job_2")
        assert store.structures.count() == store.properties.count() == 0
        done = computed()
        assert done.failure is None, done.detail
        assert _calls(tmp_path) == [
            "attempt-1/job_1", "attempt-1/job_2", "attempt-2/job_2", "attempt-3/job_2", "attempt-3/job_3"
        ]  # fmt: skip
        assert [path.name for path in sorted(third.glob("job_*/OUTCAR.gz"))] == ["OUTCAR.gz"] * 2
        stored = {entry.name: entry for entry in store.properties.find({"structure_id": keep.name})}
        assert {entry.fidelity for entry in stored.values()} == {"dft:pbe:vasp"}
        assert stored["energy_per_atom"].energy_scale == Vasp().scale.to_dict()
        assert stored["energy_per_atom"].value == read_run(runs / "nonmetallic", is_corrected=True).energy_per_atom
        assert store.structures.require(keep.name).parents == ["start"]
        again = computed()
        assert (dict(again.values), again.core_hours) == (dict(done.values), 0.0)
    read = Vasp().run(silicon(), folder=keep / "attempt-4", max_seconds=500)
    assert (read.energy_per_atom, read.core_hours) == (done.values["energy_per_atom"], 0.0)
    assert read.path  # of the first relaxation, in the first attempt
    assert len(_calls(tmp_path)) == 5


@pytest.mark.timeout(900)
def test_disk_that_was_full_while_vasp_ran_is_the_reason_though_it_has_room_again(site, tmp_path):
    site({"run/job_1": f"{CUT}; cat OUTCAR > /dev/full; exit 1"})
    outcome = Vasp().run(silicon(), folder=tmp_path / "run", max_seconds=500)
    assert outcome.failure is Failure.DISK_FULL, outcome.detail
    assert outcome.detail.endswith("No space left on device")
    assert json.loads((tmp_path / "run" / "folders.json").read_text()) == []


@pytest.mark.timeout(900)
def test_custodian_corrects_until_it_has_no_corrections_left_and_says_so(site, tmp_path):
    site({"run/job_1": "echo 'WARNING in EDDRMM: call to ZHEGV failed, returncode = 2 4 5'"})
    outcome = Vasp().run(silicon(), folder=tmp_path / "run", max_seconds=500)
    assert (outcome.failure, outcome.detail) == (Failure.GAVE_UP, "custodian gave up (max_errors_per_job): eddrmm")
    assert set(_calls(tmp_path)) == {"run/job_1"}
    assert len(_calls(tmp_path)) == len(list((tmp_path / "run" / "job_1").glob("error.*.tar.gz"))) > 1


@pytest.mark.timeout(900)
def test_step_whose_launcher_fails_after_vasp_ended_well_is_never_converged(site, tmp_path):
    site({"run/job_1": "exit 9"})
    outcome = Vasp().run(silicon(), folder=tmp_path / "run", max_seconds=500)
    assert outcome.failure is Failure.GAVE_UP
    assert outcome.cores == 4  # what failed has cost as much
    assert outcome.detail == "custodian gave up (nonzero_return_code): no error that it knows"
    assert json.loads((tmp_path / "run" / "folders.json").read_text()) == []


def test_steps_that_are_cut_or_of_another_crystal_are_not_finished(runs, tmp_path):
    step = tmp_path / "attempt-1" / "job_1"
    step.mkdir(parents=True)
    (tmp_path / "attempt-1" / "folders.json").write_text(json.dumps([str(step), str(step)]))
    for path in (runs / "nonmetallic").iterdir():
        (step / path.name).write_bytes(path.read_bytes())
    attempts = [tmp_path / "attempt-2", tmp_path / "attempt-1"]
    assert finished_steps(attempts, structure=silicon()) == [step, step]
    assert finished_steps(attempts, structure=rocksalt()) == []
    whole = (step / "OUTCAR.gz").read_bytes()
    (step / "OUTCAR.gz").write_bytes(whole[: len(whole) // 2])
    assert finished_steps(attempts, structure=silicon()) == []
    (tmp_path / "attempt-1" / "folders.json").write_text('["')
    assert finished_steps(attempts, structure=silicon()) == []


def test_process_of_one_structure_serves_the_next_until_it_dies_or_the_environment_changes(site, tmp_path, monkeypatch):
    site({})

    def process_of(folder):
        outcome = Vasp().run(rocksalt(), folder=tmp_path / folder, max_seconds=500)
        assert outcome.failure is Failure.UNSUPPORTED_ELEMENT, outcome.detail
        return NURSERY.process

    first = process_of("a")
    assert process_of("b") is first
    first.kill()
    second = process_of("c")
    assert second is not first
    monkeypatch.setenv("ATOMATE2_VASP_GAMMA_CMD", "another")
    assert process_of("d") is not second
    assert second.poll() is not None


WORKER = """
from pathlib import Path
from pymatgen.core.structure import Structure
from genmat.validation.vasp import Vasp
Vasp().run(Structure.from_file("crystal.json"), folder=Path("run"), max_seconds=500)
"""


def test_worker_that_is_killed_leaves_no_vasp_running(site, tmp_path):
    site({"run/job_1": "exec setsid sleep 300"})
    (tmp_path / "crystal.json").write_text(silicon().to_json())
    worker = subprocess.Popen([sys.executable, "-c", WORKER], cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not (tmp_path / "calls").exists():
        assert worker.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    here = tmp_path / "run" / "job_1"
    assert runs_in(here)
    worker.kill()
    worker.wait()
    while runs_in(here):
        assert time.monotonic() < deadline
        time.sleep(0.05)
