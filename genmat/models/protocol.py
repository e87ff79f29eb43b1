"""How crystals are relaxed and how models are sampled, in words that need no torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from genmat.errors import InputError

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


class Failure(StrEnum):
    """Why a crystal has no relaxed energy."""

    UNSUPPORTED_ELEMENT = "unsupported_element"
    NOT_FINITE = "not_finite"
    VOLUME_COLLAPSED = "volume_collapsed"
    VOLUME_EXPLODED = "volume_exploded"
    NOT_CONVERGED = "not_converged"
    EVALUATION_FAILED = "evaluation_failed"


@dataclass(frozen=True, slots=True)
class RelaxProtocol:
    """How crystals are relaxed.

    Parameters
    ----------
    fmax
        Largest force of a converged crystal, eV/Å.
    smax
        Largest absolute stress component of a converged crystal, GPa.
    max_steps
        Steps after which a crystal is given up as not converged.
    min_volume_ratio, max_volume_ratio
        Volume relative to the start outside of which a crystal is given up.
    cell
        Whether the cell is relaxed too; if not, ``smax`` does not count.
    rattle
        Standard deviation of the displacements (Å) that a converged crystal gets before it is relaxed once more, to
        leave a saddle point that its symmetry holds it on; 0 for none.
    """

    fmax: float = 0.05
    smax: float = 0.5
    max_steps: int = 300
    min_volume_ratio: float = 0.3
    max_volume_ratio: float = 3.0
    cell: bool = True
    rattle: float = 0.0


@dataclass(frozen=True, slots=True)
class Relaxation:
    """Outcome of one relaxation.

    Parameters
    ----------
    structure
        Last geometry.
    energy
        Total energy of the last geometry in eV per cell, on the potential's scale; NaN if never evaluated.
    fmax
        Largest force of the last geometry, eV/Å, evaluated again there.
    smax
        Largest absolute stress component of the last geometry, GPa, evaluated again there.
    n_steps
        Steps taken.
    converged
        Whether ``fmax`` and ``smax`` meet the protocol at the last geometry.
    failure
        Why there is no usable result, or None.
    energies, volumes
        Energy (eV/atom) and volume (Å³/atom) after every step, the start included.
    rattle_gain
        Energy that the crystal lost after it was displaced, eV/atom: 0 if it came back or ended higher, where the
        geometry before is kept; ``None`` without a rattle.
    """

    structure: Structure
    energy: float
    fmax: float
    smax: float
    n_steps: int
    converged: bool
    failure: Failure | None
    energies: tuple[float, ...]
    volumes: tuple[float, ...]
    rattle_gain: float | None = None

    @classmethod
    def without_result(cls, structure: Structure, failure: Failure) -> Relaxation:
        """Return the outcome of a crystal that was never evaluated."""
        nan = float("nan")
        return cls(structure, nan, nan, nan, 0, converged=False, failure=failure, energies=(), volumes=())

    @property
    def energy_per_atom(self) -> float:
        """Energy in eV/atom."""
        return self.energy / len(self.structure)


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """How the model is sampled.

    Parameters
    ----------
    noise_level
        t at which the flow ends and the decoder takes over: 0 trusts the flow alone, 1 the decoder alone.
    guidance
        Strength of the condition in the flow; 1 is none beyond the condition itself.
    temperature
        Of space groups, letters and elements.
    geometry_temperature
        Of lattices and free coordinates.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    noise_level: float = 0.7
    guidance: float = 1.5
    temperature: float = 0.8
    geometry_temperature: float = 0.3

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, low, high in (
            ("noise_level", 0.0, 1.0),
            ("guidance", 0.0, 20.0),
            ("temperature", 0.0, 5.0),
            ("geometry_temperature", 0.0, 5.0),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                msg = f"{name} is {value}, expected {low:g} to {high:g}"
                raise InputError(msg)
