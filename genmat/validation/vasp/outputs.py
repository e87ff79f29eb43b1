"""A finished run of VASP as an outcome; whatever is missing, cut, old or unconverged becomes a reason."""

from __future__ import annotations

import gzip
import json
import re
import tempfile
import warnings
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genmat.errors import InputError
from genmat.models.potentials.correction import entry_correction
from genmat.validation.engine import Failure, Frame, Outcome

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure
    from pymatgen.io.vasp.outputs import Vasprun

SAME_ENERGY = 1e-3
"""vasprun.xml and OUTCAR of one run agree better than this, eV per cell."""
KBAR_PER_GPA = 10.0
_TAIL = 200_000
_FREE_ENERGY = re.compile(r"free\s+energy\s+TOTEN\s*=\s*([-+.\dEe]+)")
_WALL_TIME = re.compile(r"Elapsed time \(sec\):\s*([.\d]+)")
_RELAXED = "reached required accuracy - stopping structural energy minimisation"
_STOPPED = "custodian stopped VASP before the walltime; the next attempt goes on from its last geometry"
_UNREAD = (b"projected", b"dos")
"""Elements of vasprun.xml that no outcome needs, and that are nine tenths of it and of the time to parse it."""
_CORES = re.compile(r"running on\s+(\d+) total cores|running\s+(\d+) mpi-ranks")


_DAMAGE = (SyntaxError, EOFError, OSError, zlib.error, ValueError, KeyError, IndexError, AttributeError, TypeError)
"""What pymatgen raises for a file that ends too early; errors of XML parsers are syntax errors."""


class _NoResultError(Exception):
    def __init__(self, failure: Failure, detail: str) -> None:
        super().__init__(detail)
        self.failure = failure


def read_run(
    folder: Path, *, structure: Structure | None = None, started_at: float | None = None, is_corrected: bool = False
) -> Outcome:
    """Return the outcome of the run in a folder; files may be gzipped.

    Parameters
    ----------
    folder
        Folder of the run.
    structure
        What was asked for; a run of another composition is stale.
    started_at
        Time before which no output can have been written, seconds since 1970; ``None`` to trust the folder.
    is_corrected
        Whether MP2020's corrections are added to the raw energy.
    """
    was_stopped = False
    try:
        was_stopped = _check_custodian(folder)
        for name in ("vasprun.xml", "OUTCAR"):
            _check_file(folder, name, started_at)
        log = _outcar(folder)
        run = _vasprun(folder)
        outcome = _outcome(run, log, structure)
        if not is_corrected:
            return outcome
        correction = entry_correction(run.get_computed_entry(entry_id="run"))
        return replace(outcome, energy=outcome.energy + correction)
    except InputError as err:
        return Outcome(Failure.NOT_CORRECTABLE, str(err))
    except _NoResultError as err:
        # What was stopped and has converged all the same is a result.
        return Outcome(Failure.WALLTIME, _STOPPED) if was_stopped else Outcome(err.failure, str(err))


def read_path(folder: Path) -> tuple[Frame, ...]:
    """Return the first and the last geometry of the relaxation in a folder; empty if it cannot be read whole.

    VASP's stress is positive where the crystal wants to expand, ours under tension.
    """
    import numpy as np

    try:
        steps = _vasprun(folder).ionic_steps
    except _NoResultError:
        return ()
    if not all({"structure", "forces", "stress"} <= step.keys() for step in steps):
        return ()
    return tuple(
        Frame(
            step["structure"],
            np.asarray(step["forces"], dtype=np.float64).reshape(len(step["structure"]), 3),
            -np.asarray(step["stress"], dtype=np.float64).reshape(3, 3) / KBAR_PER_GPA,
        )
        for step in (steps[:1] + steps[-1:] if len(steps) > 1 else steps)
    )


def cores_of(folder: Path) -> int:
    """Return the cores that runs below a folder were given, whatever became of them; 1 where none tells."""
    for path in sorted(folder.glob("job_*/OUTCAR*")):
        try:
            found = _CORES.search(_read(path)[:_TAIL])
        except _NoResultError:
            continue
        if found:
            return int(found[1] or found[2])
    return 1


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _content(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as err:
        raise _NoResultError(Failure.TRUNCATED_OUTPUT, f"{path.name} cannot be read: {err}") from err


def _read(path: Path) -> str:
    return _content(path).decode("utf-8", errors="replace")


def _is_empty(path: Path) -> bool:
    """Whether a file holds nothing; of a gzipped one a single byte is unpacked."""
    if path.suffix != ".gz":
        return path.stat().st_size == 0
    try:
        with gzip.open(path) as file:
            return not file.read(1)
    except (OSError, EOFError, zlib.error):
        return False  # told as cut when it is read


def _check_custodian(folder: Path) -> bool:
    """Raise if custodian gave up, its corrections are the reason; return whether it stopped VASP for lack of time."""
    path = _find(folder, "custodian.json")
    if path is None:
        return False
    try:
        jobs: list[dict[str, Any]] = json.loads(_read(path))
        last = jobs[-1] if jobs else {}
        corrections = [c for job in jobs for c in job.get("corrections", [])]
        stops = [c for c in corrections if any("walltime" in str(error).lower() for error in c.get("errors", []))]
        errors = [str(error) for c in corrections if c not in stops for error in c.get("errors", [])]
        unsolved = [c for c in corrections if c not in stops and c.get("actions") is None]
        is_handled = last.get("handler") and last["handler"].get("@class") != "WalltimeHandler"
    except (ValueError, AttributeError, TypeError) as err:
        raise _NoResultError(Failure.TRUNCATED_OUTPUT, f"{path.name} is incomplete") from err
    flags = [name for name in ("max_errors", "max_errors_per_job", "nonzero_return_code") if last.get(name)]
    if last.get("validator"):
        flags.append("validator")
    if is_handled:
        flags.append("handler")
    if flags or unsolved:
        names = ", ".join(dict.fromkeys(errors)) or "no error that it knows"
        raise _NoResultError(Failure.GAVE_UP, f"custodian gave up ({', '.join(flags) or 'uncorrectable'}): {names}")
    return bool(stops)


def _check_file(folder: Path, name: str, started_at: float | None) -> None:
    path = _find(folder, name)
    if path is None:
        raise _NoResultError(Failure.NO_OUTPUT, f"{name} is missing")
    if _is_empty(path):
        raise _NoResultError(Failure.EMPTY_OUTPUT, f"{name} is empty")
    if started_at is not None and path.stat().st_mtime < started_at - 1.0:
        age = started_at - path.stat().st_mtime
        raise _NoResultError(Failure.STALE_OUTPUT, f"{name} is of an earlier run, {age:.0f} s older than this one")


def _outcar(folder: Path) -> str:
    path = _find(folder, "OUTCAR")
    text = "" if path is None else _read(path)
    if "General timing and accounting" not in text[-_TAIL:]:
        raise _NoResultError(Failure.TRUNCATED_OUTPUT, "OUTCAR does not end with the timing of a finished run")
    return text


def _vasprun(folder: Path) -> Vasprun:
    from pymatgen.io.vasp.outputs import Vasprun

    path = _find(folder, "vasprun.xml")
    content = b"" if path is None else _without(_content(path), *_UNREAD)
    with tempfile.TemporaryDirectory(prefix="genmat-vasprun-") as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = Path(scratch) / "vasprun.xml"
        try:
            read.write_bytes(content)
        except OSError as err:
            raise _NoResultError(Failure.DISK_FULL, f"vasprun.xml cannot be unpacked: {err.strerror or err}") from err
        try:
            return Vasprun(str(read), parse_dos=False, parse_potcar_file=False, parse_projected_eigen=False)
        except _DAMAGE as err:
            detail = f"vasprun.xml is incomplete ({type(err).__name__}: {' '.join(str(err).split())[:80]})"
            raise _NoResultError(Failure.TRUNCATED_OUTPUT, detail) from err


def _without(content: bytes, *names: bytes) -> bytes:
    """Return XML without the elements of some names; one that has no end stays, for the parser to find."""
    for name in names:
        start, end = b"<" + name + b">", b"</" + name + b">"
        kept, at = [], 0
        while (opened := content.find(start, at)) >= 0 and (closed := content.find(end, opened)) >= 0:
            kept.append(content[at:opened])
            at = closed + len(end)
        content = b"".join([*kept, content[at:]])
    return content


def _outcome(run: Vasprun, log: str, asked: Structure | None) -> Outcome:
    import numpy as np

    n_steps = len(run.ionic_steps)
    if n_steps == 0:
        raise _NoResultError(Failure.TRUNCATED_OUTPUT, "vasprun.xml holds no ionic step")
    energies = [float(found) for found in _FREE_ENERGY.findall(log)]
    last = run.ionic_steps[-1]
    expected = float(last.get("e_fr_energy", np.nan))
    if not energies or not abs(energies[-1] - expected) < SAME_ENERGY:
        said = f"{energies[-1]:.4f}" if energies else "none"
        detail = f"OUTCAR ends with the energy {said} eV, vasprun.xml with {expected:.4f} eV: one is of an earlier run"
        raise _NoResultError(Failure.STALE_OUTPUT, detail)
    relaxed = run.final_structure
    if asked is not None and relaxed.composition != asked.composition:
        detail = f"the run is of {relaxed.formula}, {asked.formula} was asked for"
        raise _NoResultError(Failure.STALE_OUTPUT, detail)
    if not run.converged_electronic:
        n_scf, limit = len(last["electronic_steps"]), run.parameters["NELM"]
        raise _NoResultError(Failure.ELECTRONS_NOT_CONVERGED, f"{n_scf} electronic steps, NELM is {limit}")
    if not run.converged_ionic:
        detail = f"{n_steps} ionic steps, NSW is {run.parameters.get('NSW', 0)}"
        raise _NoResultError(Failure.IONS_NOT_CONVERGED, detail)
    # pymatgen looks at the number of steps alone, which a relaxation that was told to stop has not used up.
    if run.parameters.get("NSW", 0) > 1 and _RELAXED not in log:
        detail = f"VASP was stopped after {n_steps} ionic steps, before its forces were small"
        raise _NoResultError(Failure.IONS_NOT_CONVERGED, detail)
    gap = float(np.max(run.eigenvalue_band_properties[0]))
    seconds = _WALL_TIME.findall(log[-_TAIL:])
    cores = _CORES.search(log[:_TAIL])
    return Outcome(
        None,
        structure=relaxed,
        energy=float(run.final_energy),
        forces=np.asarray(last["forces"], dtype=np.float64).reshape(len(relaxed), 3),
        stress=float(np.abs(last.get("stress", np.nan)).max()) / KBAR_PER_GPA,
        band_gap=gap,
        magnetization=_magnetization(log) if run.is_spin else None,
        n_steps=n_steps,
        wall_seconds=float(seconds[-1]) if seconds else 0.0,
        cores=int(cores[1] or cores[2]) if cores else 1,
    )


def _magnetization(log: str) -> float | None:
    found = re.findall(r"number of electron\s+[.\d]+\s+magnetization\s+([-+.\d]+)", log)
    return float(found[-1]) if found else None
