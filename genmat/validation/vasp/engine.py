"""VASP as an engine: the Materials Project's inputs through atomate2, errors corrected by custodian.

What a site sets, step by step: ``docs/validation.md``.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genmat.campaign.computed import OFFERED
from genmat.energy import EnergyScale
from genmat.errors import EngineError, InputError, did_you_mean, is_out_of_space
from genmat.validation.engine import SECONDS_PER_HOUR, Failure, Outcome, absurd_mesh
from genmat.validation.process import Ended, is_full, last_line, run_group
from genmat.validation.restart import earlier_attempts
from genmat.validation.vasp.command import check_command
from genmat.validation.vasp.nursery import NURSERY
from genmat.validation.vasp.outputs import cores_of, read_path, read_run
from genmat.validation.vasp.steps import STEPS, finished_steps

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

    from genmat.validation.vasp.properties import VaspProperty

FUNCTIONALS = ("PBE", "r2SCAN")
SECONDS_AN_ELECTRON_CUBED = 2.0e-3
"""Core seconds of one ionic step over (valence electrons)³ at the Materials Project's mesh; an order of magnitude."""
SECONDS_A_STEP = 60.0
STEPS_EXPECTED = 20
VALENCE_EXPECTED = 8
"""Valence electrons an atom: the real number stands in the POTCAR, which a login node may not have."""
SAFE_SHARE = 0.95
"""Share of the wall time after which custodian asks VASP to stop and write what it has."""
RECIPROCAL_DENSITY = 64
"""Of the Materials Project's mesh, k-points per Å^-3."""
PRINTED = ("std_err.txt", "vasp.out")
"""What VASP printed, as custodian names it: a disk that was full may have room again when VASP has died of it."""
TAIL = 4000
_FULL = re.compile("No space left on device|Disk quota exceeded|File too large")
_NO_POTCAR = re.compile(r"do not have the right POTCAR with functional='(\S+)' and symbol='(\S+)'")
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

    def __post_init__(self) -> None:
        """Check the functional."""
        if self.functional not in FUNCTIONALS:
            hint = did_you_mean(self.functional, FUNCTIONALS) or f" Functionals are: {', '.join(FUNCTIONALS)}"
            msg = f"vasp: unknown functional {self.functional!r}.{hint}"
            raise InputError(msg)

    @property
    def name(self) -> str:
        """``vasp`` or ``vasp-r2scan``."""
        return "vasp" if self.functional == "PBE" else f"vasp-{self.functional.lower()}"

    @property
    def fidelity(self) -> str:
        """``dft:pbe:vasp`` or ``dft:r2scan:vasp``."""
        return f"dft:{self.functional.lower()}:vasp"

    @property
    def scale(self) -> EnergyScale:
        """That of the Materials Project's PBE(+U) labels; r2SCAN has its own, and MP2020 is never put on it."""
        if self.functional == "PBE":
            return EnergyScale("vasp", "PBE", "MP", "PBE", "MP2020")
        return EnergyScale("vasp", "r2SCAN", "none", "PBE_54", "none")

    @property
    def parameters(self) -> dict[str, float | int | str | bool]:
        """The name of the input sets says everything."""
        return {"inputs": "MPGGADoubleRelaxStatic" if self.functional == "PBE" else "MPMetaGGADoubleRelaxStatic"}

    @property
    def properties(self) -> dict[str, VaspProperty]:
        """Band gaps, elastic tensor, phonons, dielectric tensor; with r2SCAN only what is by another functional."""
        from genmat.validation.vasp.properties import PROPERTIES

        return {name: PROPERTIES[name] for name in OFFERED[self.name]}

    def check(self) -> str:
        """Return command and POTCAR folder, and what of the command cannot be checked on this host.

        Raises
        ------
        EngineError
            If the command, the program that it starts here, or the folder does not exist.
        """
        command, potcars = _site()
        unchecked = check_command(command)
        if potcars is None or not Path(potcars).expanduser().is_dir():
            what = "PMG_VASP_PSP_DIR is not set" if potcars is None else f"PMG_VASP_PSP_DIR {potcars} is no folder"
            msg = f"vasp: no POTCAR files: {what} ({_DOCS})"
            raise EngineError(msg)
        return "; ".join(filter(None, [f"vasp by {command!r}, POTCAR files in {potcars}", unchecked]))

    def refusal(self, structure: Structure) -> str | None:
        """Return why a crystal is not computed."""
        found = self._refusal(structure)
        return None if found is None else found[1]

    def _refusal(self, structure: Structure) -> tuple[Failure, str] | None:
        if len(structure) > self.max_atoms:
            detail = f"{len(structure)} atoms in the cell, at most {self.max_atoms} are computed by {self.name}"
            return Failure.TOO_COSTLY, detail
        known = _elements(self.functional)
        if missing := sorted({site.specie.symbol for site in structure} - known):
            detail = f"the Materials Project's {self.functional} inputs name no PAW data of {', '.join(missing)}"
            return Failure.UNSUPPORTED_ELEMENT, detail
        absurd = absurd_mesh(structure, _kpoints(structure))
        return None if absurd is None else (Failure.TOO_COSTLY, absurd)

    def estimate(self, structure: Structure) -> float:
        """Return the expected core hours, an order of magnitude: cubic in the electrons."""
        electrons = VALENCE_EXPECTED * len(structure)
        seconds = STEPS_EXPECTED * (SECONDS_A_STEP + SECONDS_AN_ELECTRON_CUBED * electrons**3)
        return seconds / SECONDS_PER_HOUR

    def warnings(self, structure: Structure) -> list[str]:  # noqa: ARG002 - the contract
        """Return nothing: the Materials Project's inputs hold its U and its moments."""
        return []

    def run(self, structure: Structure, *, folder: Path, max_seconds: float) -> Outcome:
        """Run the steps that no earlier attempt has finished, in a process group of its own, and read the last one."""
        if (refusal := self._refusal(structure)) is not None:
            return Outcome(*refusal)
        finished = finished_steps(earlier_attempts(folder), structure=structure)
        started, seconds = time.time(), 0.0
        if len(finished) < len(STEPS):
            is_static = len(finished) == len(STEPS) - 1
            start = read_run(finished[-1]).structure if is_static else structure
            job = {
                "structure": (start or structure).as_dict(),
                "functional": self.functional,
                "finished": [str(path) for path in finished],
            }
            ended = run_program(job, folder=folder, max_seconds=max_seconds)
            if isinstance(ended, Outcome):
                return ended
            seconds = ended.seconds
            try:
                finished = [Path(name) for name in json.loads((folder / "folders.json").read_text(encoding="utf-8"))]
            except (OSError, ValueError):
                return Outcome(Failure.NO_OUTPUT, "the flow ended without naming its folders", wall_seconds=seconds)
        corrected = self.scale.correction == "MP2020"
        since = started if seconds else None
        found = read_run(finished[-1], structure=structure, started_at=since, is_corrected=corrected)
        # What all of its steps took here, not the last one alone.
        found = replace(found, wall_seconds=seconds)
        # r2SCAN starts with PBEsol, and its forces are no measure of a potential that learned PBE.
        is_told = found.converged and self.functional == "PBE"
        return replace(found, path=read_path(finished[0])) if is_told else found


def run_program(job: dict[str, Any], *, folder: Path, max_seconds: float) -> Ended | Outcome:
    """Run the program on a job in a process group of its own; return how it ended, or the outcome if it failed.

    Parameters
    ----------
    job
        What :mod:`genmat.validation.vasp.program` reads, but for the walltime.
    folder
        Where it runs and leaves its files.
    max_seconds
        Wall time, s.
    """
    started = time.time()
    told = {**job, "wall_time": SAFE_SHARE * max_seconds}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("folders.json", "values.json"):
            (folder / name).unlink(missing_ok=True)
        (folder / "job.json").write_text(json.dumps(told), encoding="utf-8")
        ended = run_group(
            ["job.json"],
            folder=folder,
            max_seconds=max_seconds,
            environment=os.environ,
            log="program.log",
            start=NURSERY.start,
        )
    except OSError as err:
        failure = Failure.DISK_FULL if is_out_of_space(err) else Failure.CRASHED
        return Outcome(failure, f"{folder}: {err.strerror or err}")
    if ended.code is None:
        detail = f"stopped after {ended.seconds:.0f} s, the limit of one structure"
        return Outcome(Failure.WALLTIME, detail, wall_seconds=ended.seconds, cores=cores_of(folder))
    if ended.code != 0:
        return replace(_why(folder, ended.said, started, ended.seconds), cores=cores_of(folder))
    return ended


def _why(folder: Path, said: str, started: float, seconds: float) -> Outcome:
    """Return why a flow stopped: what its last job left, or else what it printed."""
    jobs = sorted(path for path in folder.glob("job_*") if path.is_dir())
    printed = [said, *(_tail(path / name) for path in jobs[-1:] for name in PRINTED)]
    if full := next((line for text in printed for line in reversed(text.splitlines()) if _FULL.search(line)), None):
        return Outcome(Failure.DISK_FULL, full.strip(), wall_seconds=seconds)
    if is_full(folder):
        return Outcome(Failure.DISK_FULL, f"no space left on the disk of {folder}", wall_seconds=seconds)
    if missing := _NO_POTCAR.search(said):
        detail = f"PMG_VASP_PSP_DIR holds no POTCAR {missing[2]} of the set {missing[1]}"
        return Outcome(Failure.UNSUPPORTED_ELEMENT, detail, wall_seconds=seconds)
    found = read_run(jobs[-1], started_at=started) if jobs else None
    if found is not None and found.failure not in {None, Failure.NO_OUTPUT}:
        return Outcome(found.failure, found.detail, wall_seconds=seconds)
    return Outcome(Failure.CRASHED, last_line(said), wall_seconds=seconds)


def _tail(path: Path) -> str:
    """Return the end of what VASP printed; empty where there is nothing."""
    try:
        return path.read_bytes()[-TAIL:].decode("utf-8", errors="replace")
    except OSError:
        return ""


@lru_cache(maxsize=2)
def _elements(functional: str) -> frozenset[str]:
    """Return the elements that the Materials Project's inputs name PAW data for."""
    from pymatgen.io.vasp.sets import MPRelaxSet, MPScanRelaxSet

    return frozenset((MPRelaxSet if functional == "PBE" else MPScanRelaxSet).CONFIG["POTCAR"])


def _kpoints(structure: Structure) -> int:
    from pymatgen.io.vasp.inputs import Kpoints

    (mesh,) = Kpoints.automatic_density_by_vol(structure, RECIPROCAL_DENSITY).kpts
    return math.prod(mesh)


@lru_cache(maxsize=1)
def _site() -> tuple[str, str | None]:
    """Return atomate2's command and pymatgen's POTCAR folder, from their own settings."""
    from atomate2 import SETTINGS
    from pymatgen.core import SETTINGS as PYMATGEN

    potcars = os.environ.get("PMG_VASP_PSP_DIR") or PYMATGEN.get("PMG_VASP_PSP_DIR")
    return str(SETTINGS.VASP_CMD), potcars
