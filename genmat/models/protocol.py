"""How crystals are relaxed and what comes of it, in words that need no torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

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
    """

    fmax: float = 0.05
    smax: float = 0.5
    max_steps: int = 300
    min_volume_ratio: float = 0.3
    max_volume_ratio: float = 3.0
    cell: bool = True


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

    @property
    def energy_per_atom(self) -> float:
        """Energy in eV/atom."""
        return self.energy / len(self.structure)
