"""GPAW as an engine: relaxation and static calculation at PBE in one process of its own.

Settings, and how they were found to be converged: ``docs/validation.md``.
"""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genmat.energy import EnergyScale
from genmat.errors import EngineError, GenmatError, InputError, is_out_of_space
from genmat.ids import stable_id
from genmat.validation.chemistry import hubbard_metals, initial_moments
from genmat.validation.engine import MAX_KPOINTS, SECONDS_PER_HOUR, Failure, Frame, Outcome, absurd_mesh
from genmat.validation.process import is_full, last_line, run_group
from genmat.validation.symmetry import symmetrized

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pymatgen.core.structure import Structure

    from genmat.validation.engine import PropertyFlow

logger = logging.getLogger(__name__)

PROGRAM = Path(__file__).with_name("program.py")
INSTALL = "install it with: pip install 'genmat[gpaw]' (Debian: libxc-dev and libopenblas-dev first)"
DESCRIBE_SECONDS = 120.0

SECONDS_TO_START = 0.5
"""Time of one self-consistent calculation whatever the crystal, s."""
SECONDS_A_STATE = 1.3e-5
"""Time of one over (k-points x spins x bands x plane waves), s. Both were fitted by benchmarks/fit_validation_cost.py;
how far the expected times are from measured ones stands in docs/benchmarks.md."""
STEPS_EXPECTED = 8
CURVATURE_POTENTIAL = "chgnet-0.3.0"
EMPTY_BANDS = 1.2


@dataclass(frozen=True, slots=True)
class GpawSettings:
    """What decides about a number.

    Parameters
    ----------
    ecut
        Cut-off of the plane waves, eV.
    relax_density, static_density
        k-points per Å^-1 (Γ-centred) of relaxation and static calculation; energies are those of the latter.
    smearing
        Width of the Fermi-Dirac occupations, eV.
    fmax, smax
        Largest force (eV/Å) and stress (GPa) of a relaxed crystal.
    max_steps, max_scf
        Ionic steps, and electronic steps in each, before a calculation is given up.
    functional
        Exchange and correlation.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    ecut: float = 700.0
    relax_density: float = 2.5
    static_density: float = 3.5
    smearing: float = 0.05
    fmax: float = 0.03
    smax: float = 0.3
    max_steps: int = 40
    max_scf: int = 200
    functional: str = "PBE"

    def __post_init__(self) -> None:
        """Check the ranges."""
        ranges = {
            "ecut": (200.0, 2000.0, "eV"),
            "relax_density": (0.5, 10.0, "k-points per 1/Å"),
            "static_density": (0.5, 10.0, "k-points per 1/Å"),
            "smearing": (0.001, 0.5, "eV"),
            "fmax": (0.001, 1.0, "eV/Å"),
            "smax": (0.01, 10.0, "GPa"),
            "max_steps": (1, 1000, "steps"),
            "max_scf": (1, 1000, "steps"),
        }
        for name, (low, high, unit) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                msg = f"gpaw: {name} is {value:g} {unit}, expected {low:g} to {high:g}"
                raise InputError(msg)


@dataclass(frozen=True, slots=True)
class Gpaw:
    """The engine.

    Parameters
    ----------
    settings
        What decides about a number.
    python
        Interpreter that has GPAW; by default the one that runs genmat.
    max_atoms
        Atoms of the largest cell that is computed.
    potential
        Potential whose curvature a relaxation starts with; ``None`` for one number in all directions. It decides about
        the number of steps, not about the result.
    """

    settings: GpawSettings = field(default_factory=GpawSettings)
    python: str = sys.executable
    max_atoms: int = 24
    potential: str | None = CURVATURE_POTENTIAL

    name = "gpaw"
    fidelity = "dft:pbe:gpaw"

    @property
    def scale(self) -> EnergyScale:
        """Energies of other settings are other energies, so that the settings are part of the scale."""
        s = self.settings
        engine = f"gpaw-{_major(self._describe()['gpaw'])} PW({s.ecut:g}) k{s.static_density:g} FD{s.smearing:g}"
        return EnergyScale(engine, s.functional, "none", "gpaw-data PBE", "none")

    @property
    def parameters(self) -> dict[str, float | int | str | bool]:
        """Every setting."""
        return asdict(self.settings)

    @property
    def properties(self) -> dict[str, PropertyFlow]:
        """None but what every calculation gives."""
        return {}

    def check(self) -> str:
        """Return versions.

        Raises
        ------
        EngineError
            If GPAW or its PAW data are missing.
        """
        found = self._describe()
        if not found["valence"]:
            msg = f"gpaw {found['gpaw']} finds no PAW data: pip install gpaw-data"
            raise EngineError(msg)
        return f"gpaw {found['gpaw']}, ase {found['ase']}, PAW data of {len(found['valence'])} elements, {self.python}"

    def refusal(self, structure: Structure) -> str | None:
        """Return why a crystal is not computed."""
        found = self._refusal(structure)
        return None if found is None else found[1]

    def _refusal(self, structure: Structure) -> tuple[Failure, str] | None:
        known = self._describe()["valence"]
        missing = sorted({site.specie.symbol for site in structure} - set(known))
        if missing:
            return Failure.UNSUPPORTED_ELEMENT, f"gpaw has no PAW data of {', '.join(missing)}"
        if len(structure) > self.max_atoms:
            detail = f"{len(structure)} atoms in the cell, at most {self.max_atoms} are computed by gpaw"
            return Failure.TOO_COSTLY, detail
        absurd = absurd_mesh(structure, math.prod(_mesh(structure, self.settings.static_density)))
        return None if absurd is None else (Failure.TOO_COSTLY, absurd)

    def estimate(self, structure: Structure) -> float:
        """Return the expected core hours of relaxation and static calculation."""
        starts, states = self.work(structure)
        return (SECONDS_TO_START * starts + SECONDS_A_STATE * states) / SECONDS_PER_HOUR

    def work(self, structure: Structure) -> tuple[float, float]:
        """Return what the time goes with: self-consistent calculations, and their k-points x bands x plane waves."""
        valence = self._describe()["valence"]
        n_electrons = sum(valence.get(site.specie.symbol, 12) for site in structure)
        n_spins = 2 if any(initial_moments(structure)) else 1
        n_bands = EMPTY_BANDS * n_electrons / 2 + 4
        states = n_spins * n_bands * _plane_waves(structure.volume, self.settings.ecut) * (1 + n_bands / 50)
        relaxing = STEPS_EXPECTED * _irreducible_kpoints(structure, self.settings.relax_density)
        return STEPS_EXPECTED + 1, states * (relaxing + _irreducible_kpoints(structure, self.settings.static_density))

    def warnings(self, structure: Structure) -> list[str]:
        """Return where plain PBE is known to be poor."""
        metals = hubbard_metals(structure)
        if not metals:
            return []
        return [f"the Materials Project treats {', '.join(metals)} here with a Hubbard U, this calculation does not"]

    def run(self, structure: Structure, *, folder: Path, max_seconds: float) -> Outcome:
        """Relax a crystal in a process of its own."""
        if (refusal := self._refusal(structure)) is not None:
            return Outcome(*refusal)
        job = self._job(structure)
        target = folder / "outcome.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
            ended = run_group(
                [self.python, "-P", str(PROGRAM), "job.json", "outcome.json"],
                folder=folder,
                max_seconds=max_seconds,
                environment=_environment(),
                log="program.log",
            )
        except OSError as err:
            failure = Failure.DISK_FULL if is_out_of_space(err) else Failure.CRASHED
            return Outcome(failure, f"{folder}: {err.strerror or err}")
        if ended.code is None:
            detail = f"stopped after {ended.seconds:.0f} s, the limit of one structure"
            return Outcome(Failure.WALLTIME, detail, wall_seconds=ended.seconds)
        if ended.code != 0:
            full = "No space left on device" in ended.said or "Disk quota exceeded" in ended.said or is_full(folder)
            failure = Failure.DISK_FULL if full else Failure.CRASHED
            detail = f"exit code {ended.code}: {last_line(ended.said)}"
            return Outcome(failure, detail, wall_seconds=ended.seconds)
        return read_outcome(target, key=job["key"], structure=structure, wall_seconds=ended.seconds)

    def _job(self, structure: Structure) -> dict[str, Any]:
        # GPAW uses the operations that hold to 1e-7 without a translation: their number decides how long it takes.
        start = symmetrized(structure)
        hessian = self._hessian(start)
        job = {
            "species": [site.specie.symbol for site in start],
            "lattice": start.lattice.matrix.tolist(),
            "frac_coords": start.frac_coords.tolist(),
            "moments": initial_moments(structure),
            "hessian": None if hessian is None else hessian.tolist(),
            **self.parameters,
        }
        return {**job, "key": stable_id("gpaw", job)}

    def _hessian(self, start: Structure) -> NDArray[np.float64] | None:
        """Return the potential's, or nothing where it does not know the elements or is not there."""
        if self.potential is None:
            return None
        from genmat.models.calculation import calculate
        from genmat.models.potentials import get_potential
        from genmat.validation.curvature import curvature

        try:
            potential = get_potential(self.potential)
            if not potential.atomic_numbers.issuperset(start.atomic_numbers):
                return None
            model = potential.load(device="cpu")
            return curvature(start, lambda structures: calculate(structures, model=model))
        except (GenmatError, ValueError) as err:
            logger.info("a relaxation starts without curvature: %s", err)
            return None

    def _describe(self) -> dict[str, Any]:
        return _describe(self.python)


@lru_cache(maxsize=4)
def _describe(python: str) -> dict[str, Any]:
    """Return what the program says about itself.

    Raises
    ------
    EngineError
        If it does not run.
    """
    try:
        done = subprocess.run(
            [python, "-P", str(PROGRAM), "--describe"],
            capture_output=True,
            text=True,
            timeout=DESCRIBE_SECONDS,
            env=_environment(),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        msg = f"gpaw cannot be asked: {python}: {err}; {INSTALL}"
        raise EngineError(msg) from err
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as err:
        msg = f"gpaw does not run with {python}: {last_line(done.stderr)}; {INSTALL}"
        raise EngineError(msg) from err
    return dict(found)


def read_outcome(path: Path, *, key: str, structure: Structure, wall_seconds: float) -> Outcome:
    """Return what the program wrote about the job of a key; anything else than its whole answer is a failure."""
    from pymatgen.core.structure import Structure as Crystal

    def failed(failure: Failure, detail: str) -> Outcome:
        return Outcome(failure, detail, wall_seconds=wall_seconds)

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return failed(Failure.NO_OUTPUT, f"{path.name} is missing though the program ended well")
    if not text.strip():
        return failed(Failure.EMPTY_OUTPUT, f"{path.name} is empty")
    try:
        found = json.loads(text)
        if found["key"] != key:
            return failed(Failure.STALE_OUTPUT, f"{path.name} is of another calculation")
        if found["failure"] is not None:
            return failed(Failure(found["failure"]), found["detail"])
        import numpy as np

        species = [site.specie for site in structure]
        relaxed = Crystal(found["lattice"], species, found["frac_coords"])
        magnetization = found["magnetization"]
        return Outcome(
            None,
            structure=relaxed,
            energy=float(found["energy"]),
            forces=np.asarray(found["forces"], dtype=np.float64).reshape(len(relaxed), 3),
            stress=float(found["stress"]),
            band_gap=float(found["band_gap"]),
            magnetization=None if magnetization is None else float(magnetization),
            n_steps=int(found["n_steps"]),
            wall_seconds=wall_seconds,
            path=tuple(
                Frame(
                    Crystal(part["lattice"], species, part["frac_coords"]),
                    np.asarray(part["forces"], dtype=np.float64).reshape(len(relaxed), 3),
                    np.asarray(part["stress"], dtype=np.float64).reshape(3, 3),
                )
                for part in found["path"]
            ),
        )
    except (ValueError, KeyError, TypeError, InputError) as err:
        return failed(Failure.TRUNCATED_OUTPUT, f"{path.name} is incomplete ({type(err).__name__})")


def _environment() -> dict[str, str]:
    # One core a structure: several structures side by side are faster than several threads on a small one.
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return {**kept, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def _major(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _plane_waves(volume: float, ecut: float) -> float:
    """Return the number of plane waves in a cell, V (2 m E / ħ²)^(3/2) / 6π²."""
    kinetic = 3.809982  # ħ²/2m, eV Å^2
    return float(volume * (ecut / kinetic) ** 1.5 / (6 * math.pi**2))


def _mesh(structure: Structure, density: float) -> tuple[int, ...]:
    """Return the k-points along each axis, before symmetry."""
    return tuple(max(1, math.ceil(length * density)) for length in structure.lattice.reciprocal_lattice.abc)


def _irreducible_kpoints(structure: Structure, density: float) -> int:
    import numpy as np
    import spglib

    mesh = _mesh(structure, density)
    if (n_kpoints := math.prod(mesh)) > MAX_KPOINTS:
        return n_kpoints  # refused: nobody waits for its symmetry
    numbers = [site.specie.Z for site in structure]
    cell = (structure.lattice.matrix.tolist(), structure.frac_coords.tolist(), numbers)
    found = spglib.get_ir_reciprocal_mesh(mesh, cell, is_shift=[0, 0, 0], symprec=0.01)
    if found is None:
        return n_kpoints // 2 + 1
    return len(np.unique(found[0]))
