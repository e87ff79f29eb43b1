"""A killed calculation goes on from where it got to, and a full disk is a reason."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time

import pytest

from genmat.energy import EnergyScale
from genmat.validation.engine import Failure, Outcome
from genmat.validation.process import run_group
from genmat.validation.restart import last_geometry
from tests.workflows.conftest import Place
from workflows import computation
from workflows.computation import compute, known_competitors

from .conftest import rocksalt, runs_in, silicon


class Walking:
    """An engine whose program writes a geometry, and then needs longer than it gets."""

    name = fidelity = "walking"
    scale = EnergyScale("walking", "none", "none", "none", "none")
    parameters: dict[str, float] = {}  # noqa: RUF012 - the contract

    def __init__(self):
        self.starts = []

    def run(self, structure, *, folder, max_seconds):
        self.starts.append(structure.volume)
        folder.mkdir(exist_ok=True)
        structure.copy().scale_lattice(0.9 * structure.volume).to(str(folder / "next"), fmt="poscar")
        command = ["sh", "-c", "mkdir job_1 && mv next job_1/CONTCAR && sleep 300"]
        ended = run_group(command, folder=folder, max_seconds=max_seconds, environment=os.environ, log="log")
        return Outcome(Failure.WALLTIME if ended.code is None else Failure.CRASHED, ended.said)


def test_calculation_out_of_time_goes_on_from_its_last_geometry_and_keeps_every_attempt(tmp_path):
    engine, salt, keep = Walking(), rocksalt(), tmp_path / "kept"
    with Place(tmp_path).open() as store:
        found = [compute(store, engine, "salt", salt, max_seconds=1, keep=keep) for _ in range(2)]
    assert [item.failure for item in found] == ["walltime", "walltime"]
    assert engine.starts == pytest.approx([salt.volume, 0.9 * salt.volume])
    assert sorted(path.name for path in (keep / found[0].structure_id).iterdir()) == ["attempt-1", "attempt-2"]


WORKER = """
from pathlib import Path
from pymatgen.core.structure import Structure
from genmat.database.store import connect
from genmat.settings import Settings
from workflows.computation import compute
import os
from genmat.energy import EnergyScale
from genmat.validation.process import run_group

class Walking:
    name = fidelity = "walking"
    scale = EnergyScale("walking", "none", "none", "none", "none")
    parameters = {}

    def run(self, structure, *, folder, max_seconds):
        structure.copy().scale_lattice(0.9 * structure.volume).to(str(folder / "next"), fmt="poscar")
        command = ["sh", "-c", "mkdir job_1 && mv next job_1/CONTCAR && sleep 300"]
        run_group(command, folder=folder, max_seconds=max_seconds, environment=os.environ, log="log")

with connect(Settings.load(data_folder=Path("data").resolve())) as store:
    salt = Structure.from_file("salt.json")
    compute(store, Walking(), "salt", salt, max_seconds=300, keep=Path("kept").resolve())
"""


def test_worker_killed_half_way_leaves_a_geometry_to_go_on_from_and_no_program(tmp_path):
    (tmp_path / "salt.json").write_text(rocksalt().to_json())
    with (tmp_path / "said").open("w") as said:
        worker = subprocess.Popen([sys.executable, "-W", "ignore", "-c", WORKER], cwd=tmp_path, stderr=said)
    deadline = time.monotonic() + 60
    while not (left := list(tmp_path.glob("kept/*/attempt-1/job_1/CONTCAR"))):
        assert worker.poll() is None, (tmp_path / "said").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    folder = left[0].parents[1]
    while runs_in(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not runs_in(folder)
    found = last_geometry(folder, rocksalt())
    assert found is not None
    assert found.volume == pytest.approx(0.9 * rocksalt().volume)


def test_geometry_that_was_cut_collapsed_or_of_another_crystal_is_passed_over(tmp_path):
    texts = {"good": rocksalt().to(fmt="poscar"), "other": silicon().to(fmt="poscar")}
    texts["cut"] = texts["good"][: len(texts["good"]) // 2]
    texts["collapsed"] = rocksalt(0.5).to(fmt="poscar")
    for age, (name, text) in enumerate(texts.items()):
        (tmp_path / name).mkdir()
        (tmp_path / name / "CONTCAR.gz").write_bytes(gzip.compress(text.encode()))
        os.utime(tmp_path / name / "CONTCAR.gz", (1000 + age, 1000 + age))
    found = last_geometry(tmp_path, rocksalt())
    assert found is not None
    assert found.composition == rocksalt().composition
    assert found.volume == pytest.approx(rocksalt().volume)
    assert last_geometry(tmp_path / "cut", rocksalt()) is None


FULL = """
from pathlib import Path
from genmat.errors import DiskFullError
from genmat.validation.vasp import Vasp
from workflows.rawfiles import run_folder
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
for name in ("before", "during"):
    if name == "before":
        with open("fill", "wb") as file:
            try:
                file.write(b"0" * 10**6)
            except OSError:
                pass
    else:  # the description of the job fits, what the flow writes does not
        Path("fill").write_bytes(b"0" * 13 * 4096)
    outcome = Vasp().run(salt, folder=Path(name), max_seconds=300)
    print(outcome.failure, outcome.detail)
for number in range(1000):
    try:
        Path(f"file-{number}").touch()
    except OSError:
        break
try:
    with run_folder(Path("kept")):
        pass
except DiskFullError as err:
    print("disk_full", err)
"""


@pytest.mark.timeout(300)
def test_disk_full_before_or_during_a_run_of_vasp_is_its_reason(tmp_path):
    small = tmp_path / "small"
    mount = f"mkdir -p {small} && mount -t tmpfs -o size=64k,nr_inodes=100 none {small} && cd {small}"
    probe = subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("this machine lets users mount no small file system")
    script = tmp_path / "full.py"
    script.write_text(FULL)
    environment = {**os.environ, "PMG_VASP_PSP_DIR": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    command = ["unshare", "-rm", "sh", "-c", f'{mount} && exec "$@"', "sh", sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["disk_full"] * 3, done.stdout + done.stderr
    assert all("No space left on device" in line or "no space left" in line for line in lines)


def test_labels_of_the_scale_of_an_engine_compete_and_those_of_another_do_not(tmp_path, monkeypatch):
    from dataclasses import replace

    from genmat.validation.vasp import Vasp

    reference = computation.current_reference()
    name = reference.material_ids[0]
    labelled = replace(reference, metadata=replace(reference.metadata, scale=Vasp().scale))
    with Place(tmp_path).open() as store:
        assert known_competitors(store, Vasp(), [name]) == {}
        monkeypatch.setattr(computation, "current_reference", lambda: labelled)
        assert known_competitors(store, Vasp("r2SCAN"), [name]) == {}
        (found,) = known_competitors(store, Vasp(), [name]).values()
    assert (found.scale, found.energy_per_atom) == (Vasp().scale, float(reference.energies[0]))
