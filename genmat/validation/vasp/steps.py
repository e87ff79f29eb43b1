"""The Materials Project's three steps, one after the other: written by pymatgen, run by custodian, read by us.

They are those of atomate2's ``MPGGADoubleRelaxStaticMaker`` and its r2SCAN sibling, whose makers take seconds to import
and to make documents that nobody asked for.
"""

from __future__ import annotations

import json
import os
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genmat.validation.vasp.outputs import read_run

if TYPE_CHECKING:
    from collections.abc import Sequence

NEEDED = (
    "atomate2.common.files",
    "atomate2.vasp.files",
    "atomate2.vasp.run",
    "pymatgen.io.vasp.outputs",
    "pymatgen.io.vasp.sets",
)
"""Modules that a step imports."""
STEPS = ("job_1", "job_2", "job_3")
"""Folders of two relaxations and a static calculation."""
CARRIED = ("WAVECAR", "CHGCAR")
"""What a step starts from besides the geometry of the one before, where that is there."""
POLL_SECONDS = 0.25
"""Time between two looks of custodian whether VASP has ended; its own 10 s are added to every step."""
MONITOR_SECONDS = 300.0
"""Time between two looks of custodian into the files of a long run."""
MONITOR_SHARE = 0.02
"""The same of a short one, of its wall time."""
BUFFER_SHARE = 0.1
"""Share of a short wall time that is kept for the last ionic step; custodian keeps 300 s of a long one."""


def load() -> None:
    """Import what a step needs, seconds of it."""
    for name in NEEDED:
        import_module(name)


def step_inputs(functional: str) -> tuple[Any, ...]:
    """Return the inputs of each step: PBE with the Materials Project's U, or PBEsol and then r2SCAN."""
    from pymatgen.io.vasp.sets import MPRelaxSet, MPScanRelaxSet, MPScanStaticSet, MPStaticSet

    if functional == "PBE":
        mesh: dict[str, Any] = {"force_gamma": True, "auto_metal_kpoints": True, "inherit_incar": False}
        return MPRelaxSet(**mesh), MPRelaxSet(**mesh), MPStaticSet(**mesh)
    plain: dict[str, Any] = {"auto_ismear": False, "inherit_incar": False}
    kept = {"LCHARG": True, "LWAVE": True, "LELF": False}  # LELF excludes KPAR > 1
    return (
        MPScanRelaxSet(user_incar_settings={"EDIFFG": -0.05, "GGA": "PS", "METAGGA": None, **kept}, **plain),
        MPScanRelaxSet(user_incar_settings={"GGA": None, **kept}, **plain),
        MPScanStaticSet(
            user_incar_settings={"ALGO": "FAST", "GGA": None, **kept, "LWAVE": False, "LVHAR": None}, **plain
        ),
    )


def run_steps(job: dict[str, Any], folder: Path) -> int:
    """Run the steps of a job that are not finished, below a folder; return the exit code.

    ``folders.json`` names the folders of finished steps in order; a step that did not converge ends the job.
    """
    from pymatgen.core.structure import Structure

    started = time.time()
    finished = [str(path) for path in job["finished"]]
    structure: Structure | None = Structure.from_dict(job["structure"])
    _write_finished(folder, finished)
    for name, inputs in list(zip(STEPS, step_inputs(job["functional"]), strict=True))[len(finished) :]:
        here = folder / name
        here.mkdir()
        _run_step(here, inputs, structure, finished[-1:], wall_time=job["wall_time"] - (time.time() - started))
        outcome = read_run(here, structure=Structure.from_dict(job["structure"]), started_at=started)
        if outcome.failure is not None:
            print(f"{name}: {outcome.failure}: {outcome.detail}")  # noqa: T201 - the log of the program
            return 1
        finished.append(str(here))
        structure = None  # that of the step before, with its moments
        _write_finished(folder, finished)
    for name in STEPS:
        _zip(folder / name)
    return 0


def finished_steps(attempts: Sequence[Path], *, structure: Any) -> list[Path]:
    """Return the folders of the steps that earlier attempts have finished, most of any of them; each is read again.

    Parameters
    ----------
    attempts
        Folders of earlier attempts, the latest first.
    structure
        The crystal; steps of another composition do not count.
    """
    found: list[Path] = []
    for attempt in attempts:
        try:
            named = json.loads((attempt / "folders.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        steps: list[Path] = []
        for path in map(Path, named):
            if not read_run(path, structure=structure).converged:
                break
            steps.append(path)
        found = max(found, steps, key=len)
    return found


def _run_step(here: Path, inputs: Any, structure: Any, before: Sequence[str], *, wall_time: float) -> None:
    """Write the inputs of a step into its folder and run VASP there, by custodian."""
    from atomate2.vasp.files import copy_vasp_outputs, write_vasp_input_set
    from atomate2.vasp.run import run_vasp

    os.chdir(here)
    for folder in before:
        there = [name for name in CARRIED if any(Path(folder).glob(f"{name}*"))]
        copy_vasp_outputs(folder, additional_vasp_files=there)
    write_vasp_input_set(structure, inputs, from_prev=bool(before))
    # custodian counts from the first handler of the process that it finds in the environment.
    os.environ.pop("CUSTODIAN_WALLTIME_START", None)
    run_vasp(**custodian_settings(wall_time))


def custodian_settings(wall_time: float) -> dict[str, Any]:
    """Return how custodian runs VASP until a wall time (s) is nearly over, as arguments of atomate2's ``run_vasp``."""
    from atomate2.vasp.run import DEFAULT_HANDLERS
    from custodian.vasp.handlers import WalltimeHandler

    monitored = min(MONITOR_SECONDS, MONITOR_SHARE * wall_time)
    buffer = min(MONITOR_SECONDS, BUFFER_SHARE * wall_time)
    looks = {"polling_time_step": POLL_SECONDS, "monitor_freq": max(1, round(monitored / POLL_SECONDS))}
    handlers = (*DEFAULT_HANDLERS, WalltimeHandler(wall_time=wall_time, buffer_time=buffer))
    return {"handlers": handlers, "custodian_kwargs": looks}


def _zip(here: Path) -> None:
    """Compress the files of a step, unless the site wants them as they are."""
    from atomate2 import SETTINGS
    from atomate2.common.files import gzip_output_folder

    if SETTINGS.VASP_ZIP_FILES and here.is_dir():
        gzip_output_folder(here, setting=True, files_list=[])


def _write_finished(folder: Path, finished: Sequence[str]) -> None:
    """Replace the list at once: one that was cut would make a finished step begin again."""
    written = folder / "folders.json.new"
    written.write_text(json.dumps(finished), encoding="utf-8")
    written.replace(folder / "folders.json")
