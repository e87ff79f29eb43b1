"""The only file that imports GPAW: a program of its own, run as ``python -P program.py JOB OUTCOME``.

JOB is a JSON file with the crystal and every setting; OUTCOME is written whole or not at all and repeats the job's key,
so that nobody takes an old one for it. ``python -P program.py --describe`` prints versions and the valence electrons of
every element that has PAW data.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

ELECTRONS_NOT_CONVERGED, IONS_NOT_CONVERGED, EXPLODED = "electrons_not_converged", "ions_not_converged", "exploded"
"""Words of :class:`genmat.validation.engine.Failure`, which this program cannot import."""
GPA = 160.21766208
"""1 eV/Å^3 in GPa."""
PARENT_CHECK_SECONDS = 2.0
LARGEST_VOLUME_CHANGE = 0.4
"""|V/V0 - 1| beyond which a relaxation is given up."""


class GivenUpError(Exception):
    """The calculation ends with a reason."""

    def __init__(self, failure: str, detail: str) -> None:
        super().__init__(detail)
        self.failure = failure


def describe() -> dict[str, Any]:
    """Return versions, and valence electrons by element."""
    import ase
    import gpaw

    header = re.compile(rb'<atom[^>]*symbol="(\w+)"[^>]*valence="(\d+)"')
    valence: dict[str, int] = {}
    for folder in gpaw.setup_paths:
        for path in sorted(Path(folder).glob("*.PBE*")):
            if path.name.split(".")[1:] not in (["PBE"], ["PBE", "gz"]):
                continue
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                found = header.search(file.read(2000))
            if found:
                valence.setdefault(found[1].decode(), int(found[2]))
    return {"gpaw": gpaw.__version__, "ase": ase.__version__, "valence": valence}


def calculate(job: dict[str, Any], log: Path) -> dict[str, Any]:
    """Relax a crystal, then compute energy, forces and gap on a finer mesh."""
    import numpy as np
    from ase import Atoms
    from gpaw import GPAW, PW, FermiDirac, KohnShamConvergenceError
    from gpaw.kpt_descriptor import kpts2sizeandoffsets

    atoms: Any = Atoms(job["species"], scaled_positions=job["frac_coords"], cell=job["lattice"], pbc=True)
    is_magnetic = any(job["moments"])
    if is_magnetic:
        atoms.set_initial_magnetic_moments(job["moments"])

    def calculator(density: float, **further: Any) -> Any:
        # The mesh is fixed here: in a cell that changes, one that follows the density would jump.
        size, _ = kpts2sizeandoffsets(density=density, gamma=True, atoms=atoms)
        return GPAW(
            mode=PW(job["ecut"], dedecut="estimate"),
            xc=job["functional"],
            kpts={"size": tuple(int(n) for n in size), "gamma": True},
            occupations=FermiDirac(job["smearing"]),
            spinpol=is_magnetic,
            maxiter=job["max_scf"],
            txt=str(log),
            **further,
        )

    def stress() -> float:
        return float(np.abs(atoms.get_stress()).max() * GPA)

    def fmax() -> float:
        return float(np.linalg.norm(atoms.get_forces(), axis=1).max())

    try:
        atoms.calc = calculator(job["relax_density"])
        path: list[dict[str, Any]] = []
        n_steps = _relax(atoms, job, fmax, stress, path)
        # One band above the filled ones is converged too, for the gap; those above it carry its error.
        moment = abs(atoms.calc.get_magnetic_moment()) if is_magnetic else 0.0
        filled = math.ceil((atoms.calc.get_number_of_electrons() + moment) / 2 - 1e-6)
        bands = {"nbands": math.ceil(1.2 * filled) + 4, "convergence": {"bands": filled + 1}}
        atoms.calc = calculator(job["static_density"], **bands)
        energy = float(atoms.get_potential_energy(force_consistent=False))
        outcome = {
            "energy": energy,
            "forces": atoms.get_forces().tolist(),
            "stress": stress(),
            "band_gap": _band_gap(atoms.calc),
            "magnetization": float(atoms.calc.get_magnetic_moment()) if is_magnetic else None,
            "n_steps": n_steps,
            "path": [path[0], path[-1]],
            "lattice": atoms.cell.array.tolist(),
            "frac_coords": atoms.get_scaled_positions(wrap=False).tolist(),
        }
    except KohnShamConvergenceError as err:
        raise GivenUpError(ELECTRONS_NOT_CONVERGED, " ".join(str(err).split())) from err
    return outcome


def _relax(atoms: Any, job: dict[str, Any], fmax: Any, stress: Any, path: list[dict[str, Any]]) -> int:
    """Relax atoms and cell; ``path`` gets every geometry with its forces and stress."""
    import numpy as np
    from ase.filters import FrechetCellFilter
    from ase.optimize import BFGS

    volume = atoms.get_volume()
    optimizer: Any = BFGS(FrechetCellFilter(atoms), logfile=None)  # type: ignore[arg-type]
    if job["hessian"] is not None:
        optimizer.H0 = np.array(job["hessian"])
    steps = 0
    for steps, _ in enumerate(optimizer.irun(fmax=0.0, steps=job["max_steps"])):
        path.append(
            {
                "lattice": atoms.cell.array.tolist(),
                "frac_coords": atoms.get_scaled_positions(wrap=False).tolist(),
                "forces": atoms.get_forces().tolist(),
                "stress": (atoms.get_stress(voigt=False) * GPA).tolist(),
            }
        )
        if fmax() <= job["fmax"] and stress() <= job["smax"]:
            return steps
        if abs(atoms.get_volume() / volume - 1.0) > LARGEST_VOLUME_CHANGE:
            change = atoms.get_volume() / volume - 1.0
            text = f"the volume changed by {change:+.0%} in {steps} steps"
            raise GivenUpError(EXPLODED, text)
    text = f"forces {fmax():.3f} eV/Å (wanted {job['fmax']:g}), stress {stress():.2f} GPa (wanted {job['smax']:g})"
    text = f"{text} after {steps} steps"
    raise GivenUpError(IONS_NOT_CONVERGED, text)


def _band_gap(calc: Any) -> float:
    """Return the gap on the mesh: between the highest filled and the lowest empty state, 0 if they overlap, eV."""
    level = calc.get_fermi_level()
    filled, empty = [], []
    for spin in range(calc.get_number_of_spins()):
        for kpt in range(len(calc.get_ibz_k_points())):
            values = calc.get_eigenvalues(kpt=kpt, spin=spin)
            below = values[values <= level]
            above = values[values > level]
            filled.append((len(below), below.max() if len(below) else -1e9))
            empty.append(above.min() if len(above) else 1e9)
    if len({count for count, _ in filled[: len(calc.get_ibz_k_points())]}) > 1:
        return 0.0  # a band crosses the Fermi level
    return max(0.0, float(min(empty) - max(value for _, value in filled)))


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(1)


def main(arguments: list[str]) -> int:
    """Do what the arguments say; return the exit code."""
    if arguments == ["--describe"]:
        sys.stdout.write(json.dumps(describe()) + "\n")
        return 0
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    source, target = map(Path, arguments)
    job = json.loads(source.read_text(encoding="utf-8"))
    try:
        outcome = {"failure": None, "detail": "", **calculate(job, target.with_name("gpaw.txt"))}
    except GivenUpError as err:
        outcome = {"failure": err.failure, "detail": str(err)}
    partial = target.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump({"key": job["key"], **outcome}, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
