"""Relaxation of samples, resumable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.ids import stable_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from genmat.evaluation.options import Options
    from genmat.models.pool import PotentialPool
    from genmat.models.protocol import Relaxation
    from genmat.reference.journal import Journal

    type Progress = Callable[[str, int, int], None]
    """Called with the stage, what is done and the total."""

BLOCK = 64
"""Crystals that are given to the pool at once; a larger subset repeats the blocks of a smaller one."""

DIGITS = 7
"""Decimals of a geometry in the journal (Å, fractions of a cell edge)."""


@dataclass(frozen=True, slots=True)
class Relaxed:
    """What came of one relaxation.

    Parameters
    ----------
    structure
        Last geometry.
    energy_per_atom
        eV/atom; NaN if there is none.
    n_steps
        Steps taken.
    failure
        Why there is no usable result, in the words of :class:`genmat.models.protocol.Failure`; ``None`` if converged.
    fmax
        Largest force, eV/Å.
    volume_ratio
        Volume over that of the start.
    start_energy_per_atom, symmetric_energy_per_atom
        At the geometry of the start and when the crystal was displaced, eV/atom; NaN if there is none.
    """

    structure: Structure
    energy_per_atom: float
    n_steps: int
    failure: str | None
    fmax: float
    volume_ratio: float
    start_energy_per_atom: float
    symmetric_energy_per_atom: float

    def to_record(self, key: str) -> dict[str, Any]:
        """Return a record of the journal."""
        return {
            "material_id": key,
            "energy_per_atom": self.energy_per_atom,
            "n_steps": self.n_steps,
            "failure": self.failure,
            "fmax": self.fmax,
            "volume_ratio": self.volume_ratio,
            "start_energy_per_atom": self.start_energy_per_atom,
            "symmetric_energy_per_atom": self.symmetric_energy_per_atom,
            **_geometry(self.structure),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Relaxed:
        """Return what :meth:`to_record` wrote."""
        structure = Structure(
            Lattice(np.reshape(record["lattice"], (3, 3))),
            record["species"],
            np.reshape(record["frac_coords"], (-1, 3)),
        )
        names = (
            "energy_per_atom",
            "fmax",
            "volume_ratio",
            "start_energy_per_atom",
            "symmetric_energy_per_atom",
        )
        numbers = {name: float(record[name]) for name in names}
        return cls(structure=structure, n_steps=int(record["n_steps"]), failure=record["failure"], **numbers)

    @classmethod
    def from_relaxation(cls, relaxation: Relaxation, start: Structure) -> Relaxed:
        """Return what is kept of a relaxation; the geometry is rounded as in the journal."""
        nan, gain = float("nan"), relaxation.rattle_gain
        outcome = cls(
            structure=relaxation.structure,
            energy_per_atom=relaxation.energy_per_atom,
            n_steps=relaxation.n_steps,
            failure=None if relaxation.failure is None else relaxation.failure.value,
            fmax=relaxation.fmax,
            volume_ratio=relaxation.structure.volume / start.volume,
            start_energy_per_atom=relaxation.energies[0] if relaxation.energies else nan,
            symmetric_energy_per_atom=nan if gain is None else relaxation.energy_per_atom + gain,
        )
        return cls.from_record(outcome.to_record(""))


def structure_id(structure: Structure) -> str:
    """Return the hash of a geometry."""
    return stable_id("geometry", _geometry(structure))


def relax_samples(
    structures: Mapping[int, Structure],
    *,
    options: Options,
    pool: PotentialPool,
    journal: Journal | None,
    progress: Progress,
) -> dict[int, Relaxed]:
    """Return the outcome of relaxing each crystal.

    Parameters
    ----------
    structures
        Ordered crystals by the position of their sample.
    options
        Protocol of the relaxation.
    pool
        Processes that relax.
    journal
        What was done before, and where to write what is done; ``None`` to keep nothing.
    progress
        Told about every relaxation.
    """
    potential, protocol = pool.potential, options.protocol.to_dict()
    keys = {
        place: stable_id("relaxation", structure_id(structure), protocol, potential.name, potential.key)
        for place, structure in structures.items()
    }
    starts = {keys[place]: structure for place, structure in structures.items()}
    known = {} if journal is None else journal.read()
    done = {key: Relaxed.from_record(known[key]) for key in starts if key in known}
    names = list(starts)
    progress("relaxed", len(done), len(starts))
    for first in range(0, len(names), BLOCK):
        block = {name: starts[name] for name in names[first : first + BLOCK]}
        missing = {name for name in block if name not in done}
        if not missing:
            continue
        for name, relaxation in pool.relax(block, missing=missing, protocol=options.protocol):
            if name in done:
                continue
            done[name] = Relaxed.from_relaxation(relaxation, block[name])
            if journal is not None:
                journal.append([done[name].to_record(name)])
            progress("relaxed", len(done), len(starts))
    return {place: done[key] for place, key in keys.items()}


def _geometry(structure: Structure) -> dict[str, Any]:
    return {
        "lattice": [round(x, DIGITS) for x in structure.lattice.matrix.ravel().tolist()],
        "species": [site.specie.symbol for site in structure],
        "frac_coords": [round(x, DIGITS) for x in structure.frac_coords.ravel().tolist()],
    }
