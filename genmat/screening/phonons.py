"""Phonons by finite displacements, dynamical stability, and thermal expansion in the quasi-harmonic approximation.

phonopy does the work (Togo, J. Phys. Soc. Jpn. 92, 012001 (2023), https://doi.org/10.7566/JPSJ.92.012001); here are the
choices: supercells of at least ``MIN_LENGTH``, frequencies at the wave vectors that the supercell holds exactly.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core.structure import Structure

from genmat.screening.equation_of_state import FitFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    type ForceFunction = Callable[[Sequence[Structure]], Sequence[NDArray[np.float64]]]
    """Forces (eV/Å), each of shape (n, 3), of supercells with displaced atoms."""

MIN_LENGTH = 8.0
"""Shortest edge of a supercell, Å."""

DISPLACEMENT = 0.05
"""Å: CHGNet's energy surface is rough on the scale of 0.01 Å, where frequencies jump by 20 % from volume to volume."""

IMAGINARY = -0.3
"""Frequency (THz) below which a mode is unstable: noise of a potential reaches the acoustic modes at Γ."""

QHA_SCALES = (0.97, 0.98, 0.99, 1.0, 1.01, 1.02, 1.03)
"""Volumes, relative to the relaxed one, of the quasi-harmonic approximation."""

TEMPERATURE = 300.0
"""K, at which thermal expansion is told."""

TEMPERATURE_STEP = 20.0
"""K, of the free energies."""

MESH_LENGTH = 60.0
"""Å: length that decides how fine the mesh of wave vectors of the free energies is."""


@dataclass(frozen=True, slots=True)
class Phonons:
    """Vibrations of a crystal.

    Parameters
    ----------
    min_frequency, max_frequency
        THz, over the wave vectors of the supercell; imaginary frequencies are negative.
    gamma_min_frequency
        Lowest optical or imaginary one at Γ, THz: the three acoustic modes left out.
    supercell
        Multiples of the primitive cell.
    n_displacements
        Supercells that were evaluated.
    """

    min_frequency: float
    max_frequency: float
    gamma_min_frequency: float
    supercell: tuple[int, int, int]
    n_displacements: int

    @property
    def is_stable(self) -> bool:
        """Whether no mode is imaginary beyond noise."""
        return self.min_frequency > IMAGINARY


def supercell_of(structure: Structure, *, min_length: float = MIN_LENGTH) -> tuple[int, int, int]:
    """Return multiples of the edges that make every spacing of lattice planes at least ``min_length`` (Å)."""
    spacings = 1.0 / np.linalg.norm(np.linalg.inv(structure.lattice.matrix), axis=0)
    na, nb, nc = (max(1, int(np.ceil(min_length / spacing - 1e-6))) for spacing in spacings)
    return na, nb, nc


def compute_phonons(structure: Structure, *, forces: ForceFunction, min_length: float = MIN_LENGTH) -> Phonons:
    """Return the vibrations of a relaxed crystal.

    Parameters
    ----------
    structure
        Relaxed crystal, primitive cell.
    forces
        Forces of supercells.
    min_length
        Shortest spacing of the supercell's lattice planes, Å.
    """
    phonon, supercell = _force_constants(structure, forces, min_length)
    phonon.run_mesh(list(supercell), is_mesh_symmetry=True, is_gamma_center=True)
    frequencies = phonon.mesh.frequencies
    phonon.run_qpoints([[0.0, 0.0, 0.0]])
    gamma = np.sort(phonon.qpoints.frequencies[0])
    acoustic = set(np.argsort(np.abs(gamma))[:3].tolist())
    optical = [float(value) for place, value in enumerate(gamma) if place not in acoustic]
    return Phonons(
        float(frequencies.min()),
        float(frequencies.max()),
        min(optical, default=0.0),
        supercell,
        len(phonon.supercells_with_displacements),
    )


def _force_constants(
    structure: Structure, forces: ForceFunction, min_length: float
) -> tuple[Any, tuple[int, int, int]]:
    with warnings.catch_warnings():
        # A supercell that is wide in all directions may lack symmetries of the crystal: more displacements, no error.
        warnings.filterwarnings("ignore", message="Warning: Point group symmetries")
        from phonopy import Phonopy
        from phonopy.structure.atoms import PhonopyAtoms

        supercell = supercell_of(structure, min_length=min_length)
        cell = PhonopyAtoms(
            symbols=[site.specie.symbol for site in structure],
            cell=structure.lattice.matrix,
            scaled_positions=structure.frac_coords,
        )
        phonon = Phonopy(cell, supercell_matrix=np.diag(supercell), primitive_matrix=np.eye(3), symprec=1e-3)
        phonon.generate_displacements(distance=DISPLACEMENT)
        displaced = [
            Structure(item.cell, item.symbols, item.scaled_positions)
            for item in phonon.supercells_with_displacements or []
        ]
        phonon.forces = list(forces(displaced))
        phonon.produce_force_constants()
        phonon.symmetrize_force_constants()
    return phonon, supercell


def thermal_expansion(
    structures: Sequence[Structure],
    energies: Sequence[float],
    *,
    forces: ForceFunction,
    min_length: float = MIN_LENGTH,
    temperature: float = TEMPERATURE,
) -> float | FitFailure:
    """Return the coefficient of volumetric thermal expansion, 1/K.

    Parameters
    ----------
    structures
        The crystal at ``QHA_SCALES`` or other volumes, ions relaxed.
    energies
        Their energies, eV per cell.
    forces
        Forces of supercells.
    min_length
        Shortest spacing of the supercells' lattice planes, Å.
    temperature
        K.

    Returns
    -------
    float | FitFailure
        The coefficient, or why there is none: an imaginary mode at one of the volumes, no minimum of the free energy.
    """
    from phonopy import run_qha

    temperatures = np.arange(0.0, temperature + 2 * TEMPERATURE_STEP, TEMPERATURE_STEP)
    phonons = []
    for structure in structures:
        phonon, supercell = _force_constants(structure, forces, min_length)
        phonon.run_mesh([4 * n for n in supercell], is_gamma_center=True)
        lowest = float(phonon.mesh.frequencies.min())
        if lowest < IMAGINARY:
            return FitFailure(f"a mode of {lowest:.2f} THz at {structure.volume / len(structure):.4g} Å^3/atom")
        phonons.append(phonon)
    try:
        with warnings.catch_warnings():
            # The axes of a triclinic or monoclinic cell are not fitted; only the volume is asked for here.
            warnings.simplefilter("ignore")
            result = run_qha(
                phonons, temperatures, internal_energies=list(energies), mesh=MESH_LENGTH, eos="birch_murnaghan"
            )
    except (RuntimeError, ValueError, np.linalg.LinAlgError) as err:
        return FitFailure(f"the free energy has no minimum: {' '.join(str(err).split())}")
    found = np.asarray(result.thermal_expansion)
    return float(np.interp(temperature, temperatures[: len(found)], found))
