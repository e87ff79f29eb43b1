"""Labelled crystals of the Materials Project with CHGNet's energy of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from machine import shared_data
from pymatgen.core.composition import Composition
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.models.pool import PotentialPool
from genmat.reference.journal import Journal
from genmat.reference.labels import read_elements
from genmat.screening.uncertainty import Residual

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from genmat.reference.hull import Hull
    from genmat.reference.table import Reference

ELEMENTS = "mp_elemental_reference_entries_2023-02-07.json.gz"
BLOCK = 512
"""Crystals between two writes of the journal."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A crystal, its label and a potential's energy.

    Parameters
    ----------
    material_id, composition
        The crystal.
    label
        Distance to the hull of the source, eV/atom.
    source
        Whose hull: the two vintages are never pooled.
    energy_per_atom
        Of the potential, eV/atom.
    """

    material_id: str
    composition: Composition
    label: float
    source: str
    energy_per_atom: float


def labelled_rows(split: str) -> list[dict[str, Any]]:
    """Return the rows of a split that have a distance to the hull."""
    columns = ["material_id", "formula", "energy_above_hull", "hull_source", "split", "formation_energy_per_atom"]
    columns += ["lattice", "species", "frac_coords", "nsites"]
    table = pq.read_table(shared_data() / "mp_structures.parquet", columns=columns, filters=[("split", "=", split)])
    return [row for row in table.to_pylist() if row["energy_above_hull"] is not None]


def labelled_crystals(
    rows: Sequence[dict[str, Any]], *, reference: Reference, work_folder: Path, workers: int
) -> list[Labelled]:
    """Return the crystals of some rows; energies that the reference lacks are computed at the rows' geometries."""
    known = dict(zip(reference.material_ids, reference.energies.tolist(), strict=True))
    energies = {row["material_id"]: known.get(row["material_id"], np.nan) for row in rows}
    missing = [row for row in rows if np.isnan(energies[row["material_id"]])]
    energies |= static_energies(
        missing, potential=reference.metadata.potential, work_folder=work_folder, workers=workers
    )
    return [
        Labelled(
            row["material_id"],
            Composition(row["formula"]),
            row["energy_above_hull"],
            row["hull_source"],
            energies[row["material_id"]],
        )
        for row in rows
    ]


def static_energies(
    rows: Sequence[dict[str, Any]], *, potential: str, work_folder: Path, workers: int
) -> dict[str, float]:
    """Return a potential's energy (eV/atom) of each row at its own geometry; resumes from a journal."""
    journal = Journal(work_folder / f"static-{potential}.jsonl")
    done = {name: float(record["energy_per_atom"]) for name, record in journal.read().items()}
    todo = [row for row in rows if row["material_id"] not in done]
    if todo:
        print(f"{len(todo):,} energies of {potential} to compute", flush=True)
        with PotentialPool(potential, workers=workers) as pool:
            for start in range(0, len(todo), BLOCK):
                block = todo[start : start + BLOCK]
                structures = [structure_of(row) for row in block]
                found = {
                    block[place]["material_id"]: energy / len(structures[place])
                    for place, energy in pool.evaluate(structures)
                }
                journal.append([{"material_id": name, "energy_per_atom": energy} for name, energy in found.items()])
                done |= found
    return {row["material_id"]: done[row["material_id"]] for row in rows}


def structure_of(row: dict[str, Any]) -> Structure:
    """Return the crystal of a row."""
    return Structure(
        Lattice(np.reshape(row["lattice"], (3, 3))), row["species"], np.reshape(row["frac_coords"], (-1, 3))
    )


def own_hull_residuals(crystals: Sequence[Labelled], hull: Hull) -> list[Residual]:
    """Return the residual of each crystal against the potential's own hull."""
    predicted = hull.energies_above_hull(
        [crystal.composition for crystal in crystals],
        [crystal.energy_per_atom for crystal in crystals],
        scale=hull.scale,
    )
    return [
        Residual(crystal.composition, float(above), crystal.label)
        for crystal, above in zip(crystals, predicted, strict=True)
    ]


def elemental_energies() -> dict[str, float]:
    """Return the energy of each element's ground state, eV/atom, MP2020-corrected."""
    return read_elements(shared_data() / ELEMENTS)


def dft_hull_residuals(
    crystals: Sequence[Labelled], rows: Sequence[dict[str, Any]], energies: dict[str, float]
) -> list[Residual]:
    """Return what CHGNet's energies give against the hull of the labels, where formation energies are labelled."""
    found = []
    for crystal, row in zip(crystals, rows, strict=True):
        label = row["formation_energy_per_atom"]
        if label is None:
            continue
        fractions = crystal.composition.fractional_composition
        formation = crystal.energy_per_atom - sum(x * energies[element.symbol] for element, x in fractions.items())
        found.append(Residual(crystal.composition, crystal.label + formation - label, crystal.label))
    return found
