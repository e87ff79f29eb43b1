"""GPAW runs for real; what it leaves when it does not end well never counts as converged."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from pymatgen.core.structure import Structure

from genmat.errors import EngineError, InputError
from genmat.validation import chemistry
from genmat.validation.engine import Failure
from genmat.validation.gpaw import Gpaw, GpawSettings
from genmat.validation.gpaw.engine import read_outcome
from genmat.validation.registry import get_engine

from .conftest import LIMIT, crystal, rocksalt, silicon

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(1800)
# Lattice constants at PBE (P. Haas, F. Tran, P. Blaha, Phys. Rev. B 79, 085104 (2009), table I), Å.
PBE_SILICON, PBE_SALT = 5.466, 5.695


def cubic_constant(structure: Structure) -> float:
    return (4.0 * structure.volume * 2 / len(structure)) ** (1 / 3)


@pytest.mark.dft
def test_strained_silicon_returns_to_its_lattice_constant(gpaw, tmp_path):
    engine = Gpaw(GpawSettings(ecut=400.0))  # enough for silicon: docs/validation.md
    outcome = engine.run(silicon(5.43 * 0.97), folder=tmp_path, max_seconds=LIMIT)
    assert outcome.failure is None, outcome.detail
    assert cubic_constant(outcome.structure) == pytest.approx(PBE_SILICON, rel=0.01)
    assert 0.4 < outcome.band_gap < 0.8
    assert outcome.fmax < gpaw.settings.fmax
    assert outcome.magnetization is None
    assert outcome.core_hours > 0


@pytest.mark.dft
def test_strained_salt_returns_to_its_lattice_constant(gpaw, relaxed_salt):
    assert relaxed_salt.failure is None, relaxed_salt.detail
    assert cubic_constant(relaxed_salt.structure) == pytest.approx(PBE_SALT, rel=0.01)
    assert 4.5 < relaxed_salt.band_gap < 5.5  # PBE: about 5.0 eV
    assert relaxed_salt.n_steps > 0
    first, last = relaxed_salt.path
    assert first.structure.volume == pytest.approx((5.64 * 1.03) ** 3 / 4)
    assert last.structure.volume == pytest.approx(relaxed_salt.structure.volume)
    assert abs(last.stress).max() < gpaw.settings.smax < abs(first.stress).max()
    assert first.stress[0, 0] > 0  # stretched: under tension


@pytest.mark.dft
def test_estimated_cost_has_the_size_of_the_real_one(gpaw):
    assert 0.002 < gpaw.estimate(silicon()) < 0.2
    assert gpaw.estimate(rocksalt() * (2, 2, 2)) > 8 * gpaw.estimate(rocksalt())


@pytest.mark.dft
def test_program_that_runs_out_of_time_is_killed_with_its_children(gpaw, tmp_path):
    outcome = gpaw.run(silicon(), folder=tmp_path, max_seconds=3.0)
    assert outcome.failure is Failure.WALLTIME
    assert "stopped after 3 s" in outcome.detail
    assert not [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(tmp_path)]


@pytest.mark.dft
def test_atoms_on_top_of_each_other_end_with_a_reason(gpaw, tmp_path):
    close = Structure([[3, 0, 0], [0, 3, 0], [0, 0, 3]], ["Na", "Na"], [[0, 0, 0], [0.02, 0, 0]])
    outcome = gpaw.run(close, folder=tmp_path, max_seconds=LIMIT)
    assert outcome.failure is not None
    assert outcome.detail


@pytest.mark.dft
def test_too_few_steps_are_not_converged(gpaw, tmp_path):
    cheap = {"ecut": 300.0, "relax_density": 1.0, "static_density": 1.0}
    engine = Gpaw(GpawSettings(**cheap, max_steps=1))
    outcome = engine.run(silicon(5.8), folder=tmp_path, max_seconds=LIMIT)
    assert outcome.failure is Failure.IONS_NOT_CONVERGED
    engine = Gpaw(GpawSettings(**cheap, max_scf=2))
    outcome = engine.run(silicon(), folder=tmp_path, max_seconds=LIMIT)
    assert outcome.failure is Failure.ELECTRONS_NOT_CONVERGED


@pytest.mark.dft
def test_element_without_paw_data_large_cell_and_absurd_mesh_are_refused_before_anything_runs(gpaw, tmp_path):
    plutonium = crystal("Fm-3m", 4.64, ["Pu"], [[0, 0, 0]])
    assert gpaw.refusal(plutonium) == "gpaw has no PAW data of Pu"
    assert gpaw.run(plutonium, folder=tmp_path, max_seconds=1.0).failure is Failure.UNSUPPORTED_ELEMENT
    large = rocksalt() * (5, 5, 4)
    assert gpaw.refusal(large) == "200 atoms in the cell, at most 24 are computed by gpaw"
    assert gpaw.run(large, folder=tmp_path, max_seconds=1.0).failure is Failure.TOO_COSTLY
    for edge, number in ((0.5, 44**3), (0.01, 2200**3)):
        tiny = crystal("Pm-3m", edge, ["H"], [[0, 0, 0]])
        sides = " x ".join([f"{edge:g}"] * 3)
        expected = f"a cell of {sides} Å asks for {number} k-points, at most 20000 are computed"
        assert gpaw.refusal(tiny) == expected
        outcome = gpaw.run(tiny, folder=tmp_path, max_seconds=1.0)
        assert (outcome.failure, outcome.detail) == (Failure.TOO_COSTLY, expected)
        assert gpaw.estimate(tiny) > 0  # without a list of them
    assert gpaw.refusal(crystal("Fd-3m", 3.567, ["C"], [[0, 0, 0]])) is None


def test_outcome_cut_at_every_twentieth_is_never_converged(tmp_path):
    path = tmp_path / "outcome.json"
    whole = json.dumps(
        {
            "key": "k",
            "failure": None,
            "detail": "",
            "energy": -6.77,
            "stress": 0.1,
            "band_gap": 5.0,
            "magnetization": None,
            "n_steps": 2,
            "path": [],
            "forces": [[0, 0, 0], [0, 0, 0]],
            "lattice": rocksalt().lattice.matrix.tolist(),
            "frac_coords": rocksalt().frac_coords.tolist(),
        }
    )
    path.write_text(whole, encoding="utf-8")
    assert read_outcome(path, key="k", structure=rocksalt(), wall_seconds=1).converged
    assert read_outcome(path, key="other", structure=rocksalt(), wall_seconds=1).failure is Failure.STALE_OUTPUT
    for twentieth in range(20):
        path.write_text(whole[: len(whole) * twentieth // 20], encoding="utf-8")
        outcome = read_outcome(path, key="k", structure=rocksalt(), wall_seconds=1)
        assert outcome.failure is (Failure.EMPTY_OUTPUT if twentieth == 0 else Failure.TRUNCATED_OUTPUT)
    path.write_text(whole.replace("-6.77", "NaN"), encoding="utf-8")
    assert not read_outcome(path, key="k", structure=rocksalt(), wall_seconds=1).converged
    path.unlink()
    assert read_outcome(path, key="k", structure=rocksalt(), wall_seconds=1).failure is Failure.NO_OUTPUT


def _fake(folder: Path, body: str) -> Gpaw:
    """Return the engine with an interpreter that says what a real one says, then ends in another way."""
    python = folder / "python"
    described = '{"gpaw": "25.7.0", "ase": "3", "valence": {"Na": 7, "Cl": 7}}'
    python.write_text(f"#!/bin/sh\nif [ \"$3\" = --describe ]; then echo '{described}'; exit 0; fi\n{body}\n")
    python.chmod(0o755)
    return Gpaw(python=str(python))


def test_crash_and_full_disk_keep_their_reasons(tmp_path):
    crash = _fake(tmp_path, "echo 'Segmentation fault'; exit 139")
    outcome = crash.run(rocksalt(), folder=tmp_path / "run", max_seconds=20)
    assert (outcome.failure, outcome.detail) == (Failure.CRASHED, "exit code 139: Segmentation fault")
    full = _fake(tmp_path, "echo 'OSError: [Errno 28] No space left on device'; exit 1")
    assert full.run(rocksalt(), folder=tmp_path / "run", max_seconds=20).failure is Failure.DISK_FULL


def test_outcome_of_an_earlier_run_in_the_same_folder_is_not_taken(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "outcome.json").write_text('{"key": "old", "failure": null}')
    outcome = _fake(tmp_path, "exit 0").run(rocksalt(), folder=folder, max_seconds=20)
    assert outcome.failure is Failure.NO_OUTPUT


def test_children_of_a_program_that_dies_are_ended(tmp_path):
    engine = _fake(tmp_path, "sleep 300 & echo $! > child; exit 3")
    outcome = engine.run(rocksalt(), folder=tmp_path / "run", max_seconds=20)
    assert outcome.failure is Failure.CRASHED
    child = int((tmp_path / "run" / "child").read_text())
    deadline = time.monotonic() + 5
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_unwritable_folder_is_a_reason(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    outcome = _fake(tmp_path, "exit 0").run(rocksalt(), folder=blocked / "run", max_seconds=20)
    assert outcome.failure is Failure.CRASHED
    assert "Not a directory" in outcome.detail or "File exists" in outcome.detail


def test_interpreter_without_gpaw_is_told_in_one_line(tmp_path):
    engine = Gpaw(python=str(tmp_path / "absent"))
    with pytest.raises(EngineError, match=r"gpaw cannot be asked.*pip install 'genmat\[gpaw\]'"):
        engine.check()
    silent = tmp_path / "python"
    silent.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'gpaw'\" >&2; exit 1\n")
    silent.chmod(0o755)
    with pytest.raises(EngineError, match="No module named 'gpaw'; install it with"):
        Gpaw(python=str(silent)).check()


def test_absurd_settings_are_refused():
    with pytest.raises(InputError, match=r"gpaw: static_density is 1000 k-points per 1/Å, expected 0.5 to 10"):
        GpawSettings(static_density=1000.0)
    with pytest.raises(InputError, match="ecut is 10 eV, expected 200 to 2000"):
        GpawSettings(ecut=10.0)


def test_unknown_engine_is_told_the_nearest():
    with pytest.raises(EngineError, match=r"unknown engine 'gpwa'\. Did you mean 'gpaw'\?"):
        get_engine("gpwa")


def test_spin_is_asked_for_by_open_shells_and_molecular_oxygen_alone():
    assert not any(chemistry.initial_moments(rocksalt()))
    oxygen = Structure([[6, 0, 0], [0, 6, 0], [0, 0, 6]], ["O", "O"], [[0, 0, 0], [0.2033, 0, 0]])
    assert chemistry.initial_moments(oxygen) == [1.0, 1.0]
    peroxide = Structure([[6, 0, 0], [0, 6, 0], [0, 0, 6]], ["O", "O"], [[0, 0, 0], [0.25, 0, 0]])
    assert not any(chemistry.initial_moments(peroxide))
    nickel_oxide = crystal("Fm-3m", 4.18, ["Ni", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert max(chemistry.initial_moments(nickel_oxide)) == 3.0
    assert chemistry.hubbard_metals(nickel_oxide) == ["Ni"]
    assert chemistry.hubbard_metals(crystal("Im-3m", 2.87, ["Fe"], [[0, 0, 0]])) == []


def test_genmat_never_imports_gpaw():
    code = "import sys; from genmat.validation.gpaw import Gpaw; Gpaw(); sys.exit('gpaw' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
