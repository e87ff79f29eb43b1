"""Crystals of held-out chemical systems, and a reference that does not know their geometry."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from machine import shared_data
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.errors import RepresentationError
from genmat.reference.crystals import CrystalColumns
from genmat.representation import from_structure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from genmat.reference.table import Reference
    from genmat.representation import Crystal

COLUMNS = ["material_id", "nsites", "energy_above_hull", "split", "lattice", "species", "frac_coords"]
MAX_ENERGY_ABOVE_HULL, MAX_SITES = 0.1, 20


def split_rows(split: str, data: Path | None = None) -> list[dict[str, Any]]:
    """Return all rows of a split of the table in folder ``data``."""
    table = pq.read_table((data or shared_data()) / "mp_structures.parquet", columns=COLUMNS)
    return [row for row in table.to_pylist() if row["split"] == split]


def near_hull(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows near the source's hull and of few atoms."""
    return [
        row
        for row in rows
        if row["nsites"] <= MAX_SITES
        and row["energy_above_hull"] is not None
        and row["energy_above_hull"] <= MAX_ENERGY_ABOVE_HULL
    ]


def without_split(reference: Reference, held_out: set[str]) -> Reference:
    """Return the reference without x of the crystals in ``held_out``."""
    rows = reference.crystal_rows.tolist()
    keep = [position for position, row in enumerate(rows) if reference.material_ids[row] not in held_out]
    return replace(
        reference,
        crystal_rows=reference.crystal_rows[keep],
        crystals=CrystalColumns.from_crystals([reference.crystals[position] for position in keep]),
    )


def targets(rows: Sequence[dict], count: int, *, seed: int) -> list[tuple[str, Structure, Crystal]]:
    """Return id, structure and x of up to ``count`` random crystals."""
    found = []
    for index in np.random.default_rng(seed).permutation(len(rows)).tolist():
        row = rows[index]
        frac_coords = np.reshape(row["frac_coords"], (-1, 3))
        structure = Structure(Lattice(np.reshape(row["lattice"], (3, 3))), row["species"], frac_coords)
        try:
            found.append((row["material_id"], structure, from_structure(structure)))
        except RepresentationError as err:
            print(f"{row['material_id']} left out: {err}")
        if len(found) == count:
            break
    return found
