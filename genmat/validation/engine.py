"""The contract of engines: a crystal in, an outcome out, whatever happens in between.

An engine never raises for a calculation that went wrong: the outcome says why. Only what a user can mend (a program
that is not installed, a setting that cannot be) raises :class:`genmat.errors.EngineError`, before anything runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from genmat.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from pymatgen.core.structure import Structure

    from genmat.energy import EnergyScale

SECONDS_PER_HOUR = 3600.0
MAX_KPOINTS = 20_000
"""k-points of the largest mesh, before symmetry: only cells that are no crystal ask for more."""


class Failure(StrEnum):
    """Why a calculation has no usable result."""

    UNSUPPORTED_ELEMENT = "unsupported_element"
    TOO_COSTLY = "too_costly"
    ELECTRONS_NOT_CONVERGED = "electrons_not_converged"
    IONS_NOT_CONVERGED = "ions_not_converged"
    EXPLODED = "exploded"
    WALLTIME = "walltime"
    CRASHED = "crashed"
    GAVE_UP = "gave_up"
    NO_OUTPUT = "no_output"
    EMPTY_OUTPUT = "empty_output"
    TRUNCATED_OUTPUT = "truncated_output"
    STALE_OUTPUT = "stale_output"
    DISK_FULL = "disk_full"
    NOT_CORRECTABLE = "not_correctable"


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One geometry of a relaxation with what an engine, or a potential, says there.

    Parameters
    ----------
    structure
        The geometry.
    forces
        eV/Å, shape (n, 3).
    stress
        GPa, positive under tension, shape (3, 3).
    """

    structure: Structure
    forces: NDArray[Any]
    stress: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one calculation.

    Parameters
    ----------
    failure
        Why it cannot be used; ``None`` exactly if relaxation and static calculation converged.
    detail
        The same in one line, with numbers.
    structure
        Relaxed crystal; ``None`` after a failure.
    energy
        Total energy of the static calculation, eV per cell, on the engine's scale; NaN after a failure.
    forces
        At the last geometry, eV/Å, shape (n, 3); ``None`` after a failure.
    stress
        Largest absolute stress component at the last geometry, GPa.
    band_gap
        Smallest difference of empty and filled states on the mesh of k-points, eV; 0 for a metal.
    magnetization
        Total magnetic moment, Bohr magnetons per cell; ``None`` where the calculation was not spin-polarised.
    n_steps
        Ionic steps.
    wall_seconds, cores
        What it took.
    path
        First and last geometry of the relaxation, evaluated alike; empty where the engine keeps none.
    """

    failure: Failure | None
    detail: str = ""
    structure: Structure | None = None
    energy: float = math.nan
    forces: NDArray[float] | None = None  # type: ignore[type-var]
    stress: float = math.nan
    band_gap: float = math.nan
    magnetization: float | None = None
    n_steps: int = 0
    wall_seconds: float = 0.0
    cores: int = 1
    path: tuple[Frame, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a success without its numbers: nothing half-read may count as converged.

        Raises
        ------
        InputError
            If there is neither a failure nor a finite energy with structure and forces.
        """
        complete = self.structure is not None and self.forces is not None and math.isfinite(self.energy)
        if self.failure is None and not complete:
            msg = "an outcome without failure needs structure, forces and a finite energy"
            raise InputError(msg)

    @property
    def converged(self) -> bool:
        """Whether the numbers can be used."""
        return self.failure is None

    @property
    def energy_per_atom(self) -> float:
        """Energy in eV/atom; NaN after a failure."""
        return self.energy / len(self.structure) if self.structure is not None else math.nan

    @property
    def fmax(self) -> float:
        """Largest force at the last geometry, eV/Å; NaN after a failure."""
        if self.forces is None:
            return math.nan
        return max(math.hypot(*map(float, force)) for force in self.forces)

    @property
    def core_hours(self) -> float:
        """What it cost."""
        return self.wall_seconds * self.cores / SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True)
class Measurement:
    """What became of the calculation of a property.

    Parameters
    ----------
    failure
        Why there is no value; ``None`` exactly if there are all.
    detail
        The same in one line, with numbers.
    values
        By name, in the units of the flow.
    wall_seconds, cores
        What it took.

    Raises
    ------
    InputError
        If there is neither a failure nor a value, or a value is not finite.
    """

    failure: Failure | None
    detail: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    wall_seconds: float = 0.0
    cores: int = 1

    def __post_init__(self) -> None:
        """Refuse a success without finite numbers."""
        if self.failure is None and not (self.values and all(map(math.isfinite, self.values.values()))):
            msg = f"a measurement without failure needs finite values, got {dict(self.values)}"
            raise InputError(msg)

    @property
    def core_hours(self) -> float:
        """What it cost."""
        return self.wall_seconds * self.cores / SECONDS_PER_HOUR


class PropertyFlow(Protocol):
    """A calculation of an engine on a crystal that it has relaxed."""

    @property
    def fidelity(self) -> str:
        """Fidelity of its values, such as ``dft:hse06:vasp``."""

    @property
    def units(self) -> Mapping[str, str]:
        """Unit of each value by name."""

    @property
    def parameters(self) -> Mapping[str, float | int | str | bool]:
        """Every setting that decides about a value."""

    def refusal(self, structure: Structure, *, is_metal: bool) -> str | None:
        """Return why it cannot be computed for a crystal, or ``None``."""

    def estimate(self, structure: Structure) -> float:
        """Return the expected cost, core hours."""

    def run(self, structure: Structure, *, is_metal: bool, folder: Path, max_seconds: float) -> Measurement:
        """Compute and return the values; files stay in ``folder``."""


class Engine(Protocol):
    """A program that relaxes a crystal and gives its energy from first principles."""

    @property
    def name(self) -> str:
        """Name in a campaign: gpaw, vasp."""

    @property
    def fidelity(self) -> str:
        """Fidelity of its properties, such as ``dft:pbe:gpaw``."""

    @property
    def scale(self) -> EnergyScale:
        """Scale of its energies."""

    @property
    def parameters(self) -> dict[str, float | int | str | bool]:
        """Every setting that decides about a number; part of the ids of what it computes."""

    @property
    def properties(self) -> Mapping[str, PropertyFlow]:
        """Further calculations by name, those of :data:`genmat.campaign.computed.OFFERED`."""

    def check(self) -> str:
        """Return what will compute, in one line.

        Raises
        ------
        EngineError
            If it cannot run here: what is missing, and how to get it.
        """

    def refusal(self, structure: Structure) -> str | None:
        """Return why the engine cannot compute a crystal (elements without data, too many atoms), or ``None``."""

    def estimate(self, structure: Structure) -> float:
        """Return the expected cost of a crystal, core hours."""

    def warnings(self, structure: Structure) -> list[str]:
        """Return what to know about the result of a crystal, such as a missing Hubbard U."""

    def run(self, structure: Structure, *, folder: Path, max_seconds: float) -> Outcome:
        """Relax a crystal and return the outcome; files stay in ``folder``."""


def absurd_mesh(structure: Structure, n_kpoints: int) -> str | None:
    """Return why a crystal with a mesh of so many k-points, before symmetry, is not computed, or ``None``."""
    if n_kpoints <= MAX_KPOINTS:
        return None
    lengths = " x ".join(f"{length:.3g}" for length in structure.lattice.abc)
    return f"a cell of {lengths} Å asks for {n_kpoints} k-points, at most {MAX_KPOINTS} are computed"
