"""VASP as an engine: the Materials Project's inputs through atomate2, errors corrected by custodian.

What a site sets, step by step: ``docs/validation.md``.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import sys
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from genmat.energy import EnergyScale
from genmat.errors import EngineError, InputError, did_you_mean
from genmat.validation.engine import SECONDS_PER_HOUR, Failure, Outcome
from genmat.validation.process import last_line, run_group
from genmat.validation.vasp.outputs import read_run

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

FUNCTIONALS = ("PBE", "r2SCAN")
SECONDS_AN_ELECTRON_CUBED = 2.0e-3
"""Core seconds of one ionic step over (valence electrons)³ at the Materials Project's mesh; an order of magnitude."""
SECONDS_A_STEP = 60.0
STEPS_EXPECTED = 20
VALENCE_EXPECTED = 8
"""Valence electrons an atom: the real number stands in the POTCAR, which a login node may not have."""
SAFE_SHARE = 0.95
"""Share of the wall time after which custodian asks VASP to stop and write what it has."""
_DOCS = "see docs/validation.md"


@dataclass(frozen=True, slots=True)
class Vasp:
    """The engine.

    Parameters
    ----------
    functional
        ``PBE`` (with the Materials Project's U) or ``r2SCAN``.
    max_atoms
        Atoms of the largest cell that is computed.

    Raises
    ------
    InputError
        If the functional is unknown.
    """

    functional: str = "PBE"
    max_atoms: int = 100

    name = "vasp"

    def __post_init__(self) -> None:
        """Check the functional."""
        if self.functional not in FUNCTIONALS:
            hint = did_you_mean(self.functional, FUNCTIONALS) or f" Functionals are: {', '.join(FUNCTIONALS)}"
            msg = f"vasp: unknown functional {self.functional!r}.{hint}"
            raise InputError(msg)

    @property
    def fidelity(self) -> str:
        """``dft:pbe:vasp`` or ``dft:r2scan:vasp``."""
        return f"dft:{self.functional.lower()}:vasp"

    @property
    def scale(self) -> EnergyScale:
        """Raw energies: MP2020's corrections belong to PBE alone, and are never put on r2SCAN."""
        if self.functional == "PBE":
            return EnergyScale("vasp", "PBE", "MP", "PBE", "none")
        return EnergyScale("vasp", "r2SCAN", "none", "PBE_54", "none")

    @property
    def parameters(self) -> dict[str, float | int | str | bool]:
        """The name of the input sets says everything."""
        return {"inputs": "MPGGADoubleRelaxStatic" if self.functional == "PBE" else "MPMetaGGADoubleRelaxStatic"}

    def check(self) -> str:
        """Return command and POTCAR folder.

        Raises
        ------
        EngineError
            If the command or the folder does not exist.
        """
        command, potcars = _site()
        words = shlex.split(os.path.expandvars(command))
        if not words or shutil.which(words[0]) is None:
            msg = f"vasp: the command {command!r} does not exist: set ATOMATE2_VASP_CMD ({_DOCS})"
            raise EngineError(msg)
        if potcars is None or not Path(potcars).expanduser().is_dir():
            what = "PMG_VASP_PSP_DIR is not set" if potcars is None else f"PMG_VASP_PSP_DIR {potcars} is no folder"
            msg = f"vasp: no POTCAR files: {what} ({_DOCS})"
            raise EngineError(msg)
        return f"vasp by {command!r}, POTCAR files in {potcars}"

    def refusal(self, structure: Structure) -> str | None:
        """Return why a crystal is not computed."""
        if len(structure) > self.max_atoms:
            return f"{len(structure)} atoms in the cell, at most {self.max_atoms} are computed by vasp"
        return None

    def estimate(self, structure: Structure) -> float:
        """Return the expected core hours, an order of magnitude: cubic in the electrons."""
        electrons = VALENCE_EXPECTED * len(structure)
        seconds = STEPS_EXPECTED * (SECONDS_A_STEP + SECONDS_AN_ELECTRON_CUBED * electrons**3)
        return seconds / SECONDS_PER_HOUR

    def warnings(self, structure: Structure) -> list[str]:  # noqa: ARG002 - the contract
        """Return nothing: the Materials Project's inputs hold its U and its moments."""
        return []

    def run(self, structure: Structure, *, folder: Path, max_seconds: float) -> Outcome:
        """Run the flow in a process group of its own and read its last job."""
        if (refusal := self.refusal(structure)) is not None:
            return Outcome(Failure.TOO_COSTLY, refusal)
        started = time.time()
        job = {
            "structure": structure.as_dict(),
            "functional": self.functional,
            "wall_time": max(60.0, SAFE_SHARE * max_seconds),
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "folders.json").unlink(missing_ok=True)
            (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
            ended = run_group(
                [sys.executable, "-m", "genmat.validation.vasp.program", "job.json"],
                folder=folder,
                max_seconds=max_seconds,
                environment=os.environ,
                log="program.log",
            )
        except OSError as err:
            full = err.errno in {errno.ENOSPC, errno.EDQUOT}
            return Outcome(Failure.DISK_FULL if full else Failure.CRASHED, f"{folder}: {err.strerror or err}")
        if ended.code is None:
            detail = f"stopped after {ended.seconds:.0f} s, the limit of one structure"
            return Outcome(Failure.WALLTIME, detail, wall_seconds=ended.seconds)
        if ended.code != 0:
            return _why(folder, ended.said, started, ended.seconds)
        try:
            folders = json.loads((folder / "folders.json").read_text(encoding="utf-8"))
            return read_run(Path(folders[-1]), structure=structure, started_at=started)
        except (OSError, ValueError, IndexError):
            return Outcome(Failure.NO_OUTPUT, "the flow ended without naming its folders", wall_seconds=ended.seconds)


def _why(folder: Path, said: str, started: float, seconds: float) -> Outcome:
    """Return why a flow stopped: what its last job left, or else what it printed."""
    if "No space left on device" in said:
        return Outcome(Failure.DISK_FULL, last_line(said), wall_seconds=seconds)
    jobs = sorted(path for path in folder.glob("job_*") if path.is_dir())
    found = read_run(jobs[-1], started_at=started) if jobs else None
    if found is not None and found.failure not in {None, Failure.NO_OUTPUT}:
        return Outcome(found.failure, found.detail, wall_seconds=seconds)
    return Outcome(Failure.CRASHED, last_line(said), wall_seconds=seconds)


@lru_cache(maxsize=1)
def _site() -> tuple[str, str | None]:
    """Return atomate2's command and pymatgen's POTCAR folder, from their own settings."""
    from atomate2 import SETTINGS
    from pymatgen.core import SETTINGS as PYMATGEN

    potcars = os.environ.get("PMG_VASP_PSP_DIR") or PYMATGEN.get("PMG_VASP_PSP_DIR")
    return str(SETTINGS.VASP_CMD), potcars
