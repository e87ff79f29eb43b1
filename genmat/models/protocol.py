"""How crystals are relaxed and how models are sampled, in words that need no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from genmat.errors import InputError

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure


MOST_RATTLE = 0.5
"""Å; more takes a crystal apart."""
USUAL_RATTLE = 0.05
"""Of generated crystals, Å (measured: docs/prescreening.md, *Relaxation*)."""


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
        Standard deviation of the displacements (Å) that a crystal gets on its way, to leave a saddle point that its
        symmetry holds it on; 0 for none. The stages: :func:`genmat.models.relaxation.relax`.

    Raises
    ------
    InputError
        If ``rattle`` is not within 0 to 0.5 Å.
    """

    fmax: float = 0.05
    smax: float = 0.5
    max_steps: int = 300
    min_volume_ratio: float = 0.3
    max_volume_ratio: float = 3.0
    cell: bool = True
    rattle: float = 0.0

    def __post_init__(self) -> None:
        """Check the displacement."""
        if not 0.0 <= self.rattle <= MOST_RATTLE:
            msg = f"rattle is {self.rattle} Å, expected 0 to {MOST_RATTLE:g} Å"
            raise InputError(msg)

    @property
    def text(self) -> str:
        """The protocol in words."""
        stages = (
            f"symmetric, then every coordinate displaced by {self.rattle:g} Å (normal distribution) and relaxed on, "
            "then on the symmetry found there"
            if self.rattle
            else "without displacements"
        )
        return (
            f"L-BFGS, after 50 steps FIRE, of {'cell and positions' if self.cell else 'positions'}: {stages}; "
            f"fmax {self.fmax:g} eV/Å, smax {self.smax:g} GPa, at most {self.max_steps} steps"
        )

    def to_dict(self) -> dict[str, float]:
        """Return what identifies the protocol: a stage that is off is left out, as where it is unknown."""
        found = asdict(self)
        if not self.rattle:
            del found["rattle"]
        return found


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
        Energy that the crystal lost after it was displaced, eV/atom; ``None`` if it was not. That of a crystal that
        came back is what its symmetric stage had left, some meV/atom.
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

    def shifted(self, energy: float) -> Relaxation:
        """Return the same relaxation on a scale that lies higher by an energy, eV per cell, all along its path."""
        share = energy / len(self.structure)
        path = tuple(value + share for value in self.energies)
        return replace(self, energy=self.energy + energy, energies=path)


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
