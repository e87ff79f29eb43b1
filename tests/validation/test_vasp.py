"""Real outputs of VASP, whole and damaged; what is damaged never counts as converged."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from genmat.errors import EngineError, InputError
from genmat.validation.engine import Failure
from genmat.validation.registry import get_engine
from genmat.validation.vasp import Vasp, engine
from genmat.validation.vasp.command import check_command
from genmat.validation.vasp.outputs import read_path, read_run
from genmat.validation.vasp.steps import CARRIED, step_inputs

from .conftest import crystal, rocksalt, silicon

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


@pytest.fixture
def run(runs, tmp_path):
    """Return a copy of a relaxation of silicon, unpacked."""
    folder = tmp_path / "run"
    folder.mkdir()
    for path in (runs / "nonmetallic").iterdir():
        (folder / path.name.removesuffix(".gz")).write_bytes(gzip.decompress(path.read_bytes()))
    return folder


def test_finished_relaxation_is_read_with_its_numbers(runs):
    outcome = read_run(runs / "nonmetallic", structure=silicon())
    assert outcome.failure is None, outcome.detail
    assert outcome.energy_per_atom == pytest.approx(-5.425, abs=0.001)
    assert outcome.forces.shape == (2, 3)
    assert outcome.stress < 0.5
    assert (outcome.cores, outcome.wall_seconds) == (4, pytest.approx(46.706))


def test_static_calculation_with_hubbard_u_is_read_with_its_moment(runs):
    outcome = read_run(runs / "vasp_mp_run1")
    assert outcome.failure is None, outcome.detail
    assert sorted(str(e) for e in outcome.structure.composition) == ["Ni", "O"]
    assert outcome.magnetization == pytest.approx(2.0, abs=0.01)


def test_reading_a_finished_run_of_45_megabytes_takes_less_than_a_second(runs):
    read_run(runs / "vasp_mp_run1")  # imports
    start = time.process_time()
    assert read_run(runs / "metallic").failure is None
    assert time.process_time() - start < 1.0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["metallic", "nonmetallic", "vasp_mp_run1"])
def test_what_is_read_of_a_run_is_what_pymatgen_reads_of_all_of_it(runs, name):
    from pymatgen.io.vasp.outputs import Vasprun

    whole = Vasprun(str(runs / name / "vasprun.xml.gz"), parse_dos=True, parse_potcar_file=False)
    outcome = read_run(runs / name)
    assert outcome.energy == float(whole.final_energy)
    assert outcome.structure == whole.final_structure
    assert outcome.band_gap == float(whole.eigenvalue_band_properties[0])
    assert outcome.n_steps == len(whole.ionic_steps)
    assert outcome.forces.tolist() == [list(row) for row in whole.ionic_steps[-1]["forces"]]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["nonmetallic", "vasp_mp_run1"])
def test_corrected_energy_is_that_of_pymatgens_processed_entry(runs, name):
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
    from pymatgen.io.vasp.outputs import Vasprun

    whole = Vasprun(str(runs / name / "vasprun.xml.gz"), parse_potcar_file=False)
    entry = MaterialsProject2020Compatibility().process_entry(whole.get_computed_entry(entry_id=name), inplace=False)
    outcome = read_run(runs / name, is_corrected=True)
    assert outcome.energy == pytest.approx(entry.energy, abs=1e-9)
    assert outcome.energy - read_run(runs / name).energy == pytest.approx(entry.correction, abs=1e-9)


def test_oxide_with_hubbard_u_gets_both_of_its_corrections_once(runs):
    raw, corrected = (read_run(runs / "vasp_mp_run1", is_corrected=flag).energy for flag in (False, True))
    assert corrected - raw == pytest.approx(-0.687 - 2.541, abs=0.002)  # oxide; Ni with U = 6.2 eV


def test_run_of_another_functional_than_mp2020s_is_not_corrected(runs):
    assert read_run(runs / "metallic").failure is None
    outcome = read_run(runs / "metallic", is_corrected=True)
    assert outcome.failure is Failure.NOT_CORRECTABLE
    assert "MP2020 does not fit this run" in outcome.detail


@pytest.mark.parametrize("name", ["metallic", "nonmetallic"])
def test_geometries_of_a_relaxation_have_its_forces_and_the_pressure_of_outcar(runs, name):
    path = read_path(runs / name)
    log = gzip.decompress((runs / name / "OUTCAR.gz").read_bytes()).decode()
    pressures = [float(line.split()[3]) / 10 for line in log.splitlines() if "external pressure =" in line]
    assert -path[-1].stress.trace() / 3 == pytest.approx(pressures[-1], abs=0.01)  # GPa
    assert path[-1].forces == pytest.approx(read_run(runs / name).forces)
    assert path[-1].structure == read_run(runs / name).structure


def test_relaxation_that_was_cut_has_no_path(run):
    content = (run / "vasprun.xml").read_bytes()
    (run / "vasprun.xml").write_bytes(content[: len(content) // 2])
    assert read_path(run) == ()


def test_inputs_without_outputs_are_no_result(runs):
    outcome = read_run(runs / "nonconverged")
    assert (outcome.failure, outcome.detail) == (Failure.NO_OUTPUT, "vasprun.xml is missing")


@pytest.mark.parametrize("name", ["vasprun.xml", "OUTCAR"])
@pytest.mark.parametrize("twentieth", range(20))
def test_output_cut_at_every_twentieth_is_never_converged(run, name, twentieth):
    content = (run / name).read_bytes()
    (run / name).write_bytes(content[: len(content) * twentieth // 20])
    outcome = read_run(run)
    assert outcome.failure is (Failure.EMPTY_OUTPUT if twentieth == 0 else Failure.TRUNCATED_OUTPUT), outcome.detail
    assert name in outcome.detail


def test_truncated_gzip_is_never_converged(runs, tmp_path):
    for path in (runs / "nonmetallic").iterdir():
        shutil.copy(path, tmp_path)
    whole = (tmp_path / "OUTCAR.gz").read_bytes()
    (tmp_path / "OUTCAR.gz").write_bytes(whole[: len(whole) // 2])
    assert read_run(tmp_path).failure is Failure.TRUNCATED_OUTPUT


def test_outcar_of_an_earlier_run_is_stale(run):
    text = (run / "OUTCAR").read_text()
    (run / "OUTCAR").write_text(text.replace("free  energy   TOTEN  =       -1", "free  energy   TOTEN  =       -2"))
    outcome = read_run(run)
    assert outcome.failure is Failure.STALE_OUTPUT
    assert "one is of an earlier run" in outcome.detail


def test_files_older_than_the_run_are_stale(run):
    started = time.time()
    for path in run.iterdir():
        os.utime(path, (started - 3600, started - 3600))
    outcome = read_run(run, started_at=started)
    assert outcome.failure is Failure.STALE_OUTPUT
    assert "3600 s older" in outcome.detail


def test_run_of_another_crystal_is_stale(run):
    outcome = read_run(run, structure=rocksalt())
    assert (outcome.failure, outcome.detail) == (Failure.STALE_OUTPUT, "the run is of Si2, Na1 Cl1 was asked for")


def test_electrons_that_used_all_their_steps_are_not_converged(run):
    text = (run / "vasprun.xml").read_text()
    n_steps = text.rpartition("<calculation>")[2].count("<scstep>")
    changed = [
        f'  <i type="int" name="NELM">{n_steps:6d}</i>' if 'name="NELM"' in line else line for line in text.splitlines()
    ]
    (run / "vasprun.xml").write_text("\n".join(changed))
    outcome = read_run(run)
    assert outcome.failure is Failure.ELECTRONS_NOT_CONVERGED
    assert f"NELM is {n_steps}" in outcome.detail


def test_ions_that_used_all_their_steps_are_not_converged(run):
    text = (run / "vasprun.xml").read_text()
    start, end = text.index("<calculation>"), text.rindex("</calculation>") + len("</calculation>")
    text = text[:end] + text[start:end] + text[end:]
    n_steps = text.count("<calculation>")
    changed = [
        f'  <i type="int" name="NSW">{n_steps:6d}</i>' if 'name="NSW"' in line else line for line in text.splitlines()
    ]
    (run / "vasprun.xml").write_text("\n".join(changed))
    assert read_run(run).failure is Failure.IONS_NOT_CONVERGED


def test_custodian_that_gave_up_is_the_reason(run):
    said = [{"corrections": [{"errors": ["zbrent", "eddrmm"], "actions": None}], "max_errors": True}]
    (run / "custodian.json").write_text(json.dumps(said))
    outcome = read_run(run)
    assert (outcome.failure, outcome.detail) == (Failure.GAVE_UP, "custodian gave up (max_errors): zbrent, eddrmm")


def _stop(run, *, is_relaxed):
    corrections = [{"errors": ["Walltime reached"], "actions": None}]
    handler = {"@class": "WalltimeHandler"}
    (run / "custodian.json").write_text(json.dumps([{"corrections": corrections, "handler": handler}]))
    if not is_relaxed:
        text = (run / "OUTCAR").read_text()
        (run / "OUTCAR").write_text(text.replace("reached required accuracy", "soft stop encountered!"))


def test_walltime_is_the_reason_and_says_how_to_go_on(run):
    _stop(run, is_relaxed=False)
    outcome = read_run(run)
    assert outcome.failure is Failure.WALLTIME
    assert "goes on from its last geometry" in outcome.detail


def test_relaxation_that_converged_before_custodian_stopped_it_is_a_result(run):
    energy = read_run(run).energy
    _stop(run, is_relaxed=True)
    assert read_run(run).energy == energy


def test_relaxation_that_anybody_stopped_is_not_converged(run):
    _stop(run, is_relaxed=False)
    (run / "custodian.json").unlink()
    outcome = read_run(run)
    assert outcome.failure is Failure.IONS_NOT_CONVERGED
    assert "stopped after 1 ionic steps" in outcome.detail


def test_empty_files_are_never_converged(run):
    for name in ("vasprun.xml", "OUTCAR"):
        (run / name).write_bytes(b"")
    assert read_run(run).failure is Failure.EMPTY_OUTPUT


def test_command_that_does_not_exist_and_missing_potcars_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(engine, "_site", lambda: ("srun-absent vasp_std", None))
    with pytest.raises(EngineError, match="the command 'srun-absent vasp_std' does not exist: set ATOMATE2_VASP_CMD"):
        Vasp().check()
    monkeypatch.setattr(engine, "_site", lambda: ("sh", None))
    with pytest.raises(EngineError, match="no POTCAR files: PMG_VASP_PSP_DIR is not set"):
        Vasp().check()
    monkeypatch.setattr(engine, "_site", lambda: ("sh", str(tmp_path / "absent")))
    with pytest.raises(EngineError, match=r"PMG_VASP_PSP_DIR .*absent is no folder"):
        Vasp().check()
    monkeypatch.setattr(engine, "_site", lambda: ("sh", str(tmp_path)))
    assert Vasp().check().startswith("vasp by 'sh'")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("sh", ""),
        ("mpirun -np 16 --bind-to core sh", ""),
        ("srun --exclusive sh", ""),
        ("srun -n 16 vasp_std", "not checked: that 'vasp_std' exists where srun starts it"),
        ("apptainer exec vasp.sif vasp_std", "not checked: that 'vasp_std' exists where apptainer starts it"),
    ],
)
def test_program_behind_a_launcher_is_checked_where_it_can_be(monkeypatch, tmp_path, command, said):
    _launchers(monkeypatch, tmp_path)
    assert check_command(command) == said


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("mpirun -np 16 vasp_sdt", "'vasp_sdt', which 'mpirun -np 16 vasp_sdt' starts, does not exist"),
        ("mpiexec.hydra -n 4 /opt/vasp/bin/vasp_std", "'/opt/vasp/bin/vasp_std', which"),
        ("srun", "names no program for srun to start"),
        ("mpirun --oversubscribe", "names no program for mpirun to start"),
        ("jsrun vasp_std", "the command 'jsrun vasp_std' does not exist"),
    ],
)
def test_launcher_whose_program_is_missing_here_is_told_before_anything_runs(monkeypatch, tmp_path, command, said):
    _launchers(monkeypatch, tmp_path)
    with pytest.raises(EngineError, match=re.escape(said)):
        check_command(command)


def _launchers(monkeypatch, folder):
    """Put files called like launchers on the path."""
    for name in ("mpirun", "mpiexec.hydra", "srun", "apptainer"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_scales_of_the_functionals_differ_and_unknown_ones_are_told():
    assert Vasp("PBE").scale != Vasp("r2SCAN").scale
    assert Vasp("r2SCAN").fidelity == "dft:r2scan:vasp"
    assert (Vasp("PBE").scale.correction, Vasp("r2SCAN").scale.correction) == ("MP2020", "none")
    assert get_engine("vasp-r2scan") == Vasp("r2SCAN")
    assert get_engine("vasp-r2scan").name == "vasp-r2scan"
    with pytest.raises(InputError, match=r"unknown functional 'r2scan'\. Functionals are: PBE, r2SCAN"):
        Vasp("r2scan")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("functional", ["PBE", "r2SCAN"])
def test_inputs_of_every_step_are_those_of_atomate2s_flow_for_the_materials_project(functional):
    from atomate2.vasp.flows.mp import MPGGADoubleRelaxStaticMaker, MPMetaGGADoubleRelaxStaticMaker

    maker = (MPGGADoubleRelaxStaticMaker if functional == "PBE" else MPMetaGGADoubleRelaxStaticMaker)()
    oxide = crystal("Fm-3m", 4.2, ["Ni", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    jobs = [job for job, _ in maker.make(oxide).iterflow()]
    theirs = [job.maker.input_set_generator.get_input_set(oxide, potcar_spec=True) for job in jobs]
    for ours, expected in zip(_inputs(functional, oxide), theirs, strict=True):
        assert ours.incar == expected.incar
        assert str(ours.kpoints) == str(expected.kpoints)
        assert str(ours.poscar) == str(expected.poscar)
        assert str(ours.potcar) == str(expected.potcar)
    assert [job.maker.copy_vasp_kwargs.get("additional_vasp_files") for job in jobs] == [None, CARRIED, CARRIED]


def _inputs(functional: str, structure: Structure) -> list:
    """Return the inputs of each step; POTCARs by their names alone."""
    return [inputs.get_input_set(structure, potcar_spec=True) for inputs in step_inputs(functional)]


def _incars(inputs: list, *keys: str) -> list[tuple]:
    return [tuple(step.incar.get(key) for key in keys) for step in inputs]


def test_every_step_of_an_oxide_of_nickel_has_the_materials_projects_u_moment_and_mesh():
    inputs = _inputs("PBE", crystal("Fm-3m", 4.2, ["Ni", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    keys = ("METAGGA", "ENCUT", "ISPIN", "LDAU", "LDAUU", "MAGMOM", "LASPH")
    assert _incars(inputs, *keys) == [(None, 520, 2, True, [6.2, 0], [5, 0.6], True)] * 3
    assert _incars(inputs, "ISIF", "NSW") == [(3, 99), (3, 99), (None, 0)]
    assert [step.kpoints.kpts[0] for step in inputs] == [(9, 9, 9), (9, 9, 9), (11, 11, 11)]
    assert [str(step.potcar).split() for step in inputs] == [["Ni_pv", "O"]] * 3


def test_steps_of_r2scan_are_pbesol_and_then_r2scan_without_u():
    inputs = _inputs("r2SCAN", crystal("Fm-3m", 4.2, ["Ni", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    found = [(str(gga).upper(), str(meta).upper()) for gga, meta in _incars(inputs, "GGA", "METAGGA")]
    assert found == [("PS", "NONE"), ("NONE", "R2SCAN"), ("NONE", "R2SCAN")]
    assert _incars(inputs, "ENCUT", "KSPACING", "LDAU", "LASPH") == [(680, 0.22, None, True)] * 3
    assert _incars(inputs, "ISIF", "NSW") == [(3, 99), (3, 99), (None, 0)]
    assert [step.kpoints for step in inputs] == [None] * 3  # KSPACING asks for the mesh
    assert [str(step.potcar).split() for step in inputs] == [["Ni_pv", "O"]] * 3


@pytest.mark.timeout(900)
def test_flow_that_cannot_start_without_potcars_is_a_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path))
    monkeypatch.setenv("ATOMATE2_VASP_CMD", "false")
    outcome = Vasp().run(rocksalt(), folder=tmp_path / "run", max_seconds=600)
    assert outcome.failure is Failure.UNSUPPORTED_ELEMENT
    assert outcome.detail == "PMG_VASP_PSP_DIR holds no POTCAR Na_pv of the set PBE"


@pytest.mark.parametrize(
    ("structure", "failure", "detail"),
    [
        (rocksalt() * (5, 5, 4), Failure.TOO_COSTLY, "200 atoms in the cell, at most 100 are computed by vasp"),
        (crystal("Pm-3m", 3.35, ["Po"], [[0, 0, 0]]), Failure.UNSUPPORTED_ELEMENT, "PBE inputs name no PAW data of Po"),
        (crystal("Pm-3m", 0.5, ["H"], [[0, 0, 0]]), Failure.TOO_COSTLY, "k-points, at most 20000 are computed"),
    ],
)
def test_crystal_that_vasp_cannot_compute_is_a_reason_before_anything_runs(tmp_path, structure, failure, detail):
    outcome = Vasp().run(structure, folder=tmp_path / "run", max_seconds=60)
    assert outcome.failure is failure
    assert detail in outcome.detail
    assert not (tmp_path / "run").exists()
