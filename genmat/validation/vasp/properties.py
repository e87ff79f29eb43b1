"""What VASP computes of a crystal that it has relaxed: one entry a calculation, each a small flow of its own.

The flows themselves stand in :mod:`genmat.validation.vasp.flows`, which loads atomate2.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genmat.campaign.computed import ComputedProperty
from genmat.errors import InputError
from genmat.screening.phonons import supercell_of
from genmat.validation.engine import SECONDS_PER_HOUR, Failure, Measurement, Outcome
from genmat.validation.restart import earlier_attempts
from genmat.validation.vasp.engine import (
    SECONDS_A_STEP,
    SECONDS_AN_ELECTRON_CUBED,
    VALENCE_EXPECTED,
    run_program,
)
from genmat.validation.vasp.outputs import cores_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pymatgen.core.structure import Structure

SUPERCELL_LENGTH = 10.0
"""Shortest spacing of lattice planes of the supercell of phonons, Å."""
MAX_SUPERCELL = 400
"""Atoms of the largest supercell that is computed."""
DISPLACEMENTS_AN_ATOM = 2
"""Displaced supercells an atom of the primitive cell, expected; symmetry leaves between less than 1 and 6."""


@dataclass(frozen=True, slots=True)
class VaspProperty:
    """A calculation.

    Parameters
    ----------
    name
        In a campaign.
    units
        Unit of each value.
    steps
        Expected cost in self-consistent steps of the relaxation of the same cell; an order of magnitude.
    parameters
        Every setting that decides about a value.
    functional
        Whose values they are: ``pbe`` or ``hse06``.
    of_insulators
        Whether a metal has no such value.
    has_supercell
        Whether displaced supercells come besides.
    """

    name: ComputedProperty
    units: Mapping[str, str]
    steps: float
    parameters: Mapping[str, float | int | str | bool] = field(default_factory=dict)
    functional: str = "pbe"
    of_insulators: bool = False
    has_supercell: bool = False

    @property
    def fidelity(self) -> str:
        """``dft:pbe:vasp`` or ``dft:hse06:vasp``."""
        return f"dft:{self.functional}:vasp"

    def refusal(self, structure: Structure, *, is_metal: bool) -> str | None:
        """Return why it is not computed of a crystal."""
        if is_metal and self.of_insulators:
            return "the crystal is a metal"
        if self.has_supercell and (n_atoms := self._supercell(structure)) > MAX_SUPERCELL:
            return f"{n_atoms} atoms in the supercell, at most {MAX_SUPERCELL} are computed"
        return None

    def estimate(self, structure: Structure) -> float:
        """Return the expected core hours, an order of magnitude."""
        seconds = self.steps * _step_seconds(len(structure))
        if self.has_supercell:
            n_atoms = self._supercell(structure)
            # A cell n times as large has n times fewer k-points.
            large = SECONDS_A_STEP + (_step_seconds(n_atoms) - SECONDS_A_STEP) * len(structure) / n_atoms
            seconds += DISPLACEMENTS_AN_ATOM * len(structure) * large
        return seconds / SECONDS_PER_HOUR

    def run(self, structure: Structure, *, is_metal: bool, folder: Path, max_seconds: float) -> Measurement:
        """Run the flow in a process group of its own and return what its documents say."""
        job = {
            "property": self.name.value,
            "structure": structure.as_dict(),
            "is_metal": is_metal,
            "earlier": [str(path.resolve()) for path in earlier_attempts(folder)],
        }
        ended = run_program(job, folder=folder, max_seconds=max_seconds)
        if isinstance(ended, Outcome):
            return Measurement(ended.failure, ended.detail, wall_seconds=ended.wall_seconds, cores=ended.cores)
        try:
            values = json.loads((folder / "values.json").read_text(encoding="utf-8"))
            return Measurement(None, values=values, wall_seconds=ended.seconds, cores=cores_of(folder))
        except (OSError, ValueError):
            detail = "the flow ended without its values"
        except InputError as err:
            detail = str(err)
        return Measurement(Failure.NO_OUTPUT, detail, wall_seconds=ended.seconds, cores=cores_of(folder))

    def _supercell(self, structure: Structure) -> int:
        return len(structure) * math.prod(supercell_of(structure, min_length=SUPERCELL_LENGTH))


def _step_seconds(n_atoms: int) -> float:
    return SECONDS_A_STEP + SECONDS_AN_ELECTRON_CUBED * (VALENCE_EXPECTED * n_atoms) ** 3


PROPERTIES = {
    entry.name: entry
    for entry in (
        VaspProperty(ComputedProperty.BAND_GAP, {"band_gap": "eV"}, steps=10, parameters={"inputs": "BandStructure"}),
        VaspProperty(
            ComputedProperty.DIELECTRIC,
            {"e_electronic": "1", "e_ionic": "1", "e_total": "1"},
            steps=60,
            parameters={"inputs": "TightRelax, Dielectric"},
            of_insulators=True,
        ),
        VaspProperty(
            ComputedProperty.BAND_GAP_HSE,
            {"band_gap": "eV"},
            steps=100,
            parameters={"inputs": "LineModeBandStructure, HSEBS gap"},
            functional="hse06",
        ),
        VaspProperty(
            ComputedProperty.ELASTIC,
            {
                "bulk_modulus_vrh": "GPa",
                "shear_modulus_vrh": "GPa",
                "smallest_elastic_eigenvalue": "GPa",
                "debye_temperature": "K",
            },
            steps=250,
            parameters={"inputs": "Elastic"},
        ),
        VaspProperty(
            ComputedProperty.PHONON,
            {
                "min_phonon_frequency": "THz",
                "max_phonon_frequency": "THz",
                "gamma_min_phonon_frequency": "THz",
            },
            steps=60,
            parameters={"inputs": "Phonon", "min_length": SUPERCELL_LENGTH},
            has_supercell=True,
        ),
    )
}
"""The table: a further property is one more entry, with its flow and its reader."""
