"""Sampled structures, which no database knows, for other programs; ``genmat bench ssun`` reads them all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from genmat.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pymatgen.core.structure import Structure


def to_cif(structure: Structure) -> str:
    """Return a CIF with every atom of the primitive cell (P1 setting)."""
    from pymatgen.io.cif import CifWriter

    return str(CifWriter(structure))


def to_extxyz(structure: Structure, *, name: str, score: float) -> str:
    """Return one extended XYZ frame; lengths in Å, ``score`` the generator's (dimensionless)."""
    lattice = " ".join(f"{value:.8f}" for value in structure.lattice.matrix.ravel())
    lines = [
        str(len(structure)),
        f'Lattice="{lattice}" Properties=species:S:1:pos:R:3 pbc="T T T" name="{name}" score={score:.6f}',
    ]
    lines += [f"{site.specie.symbol} {site.x:.8f} {site.y:.8f} {site.z:.8f}" for site in structure]
    return "\n".join(lines) + "\n"


def write_parquet(path: Path, samples: Sequence[tuple[str, Structure, float, dict[str, Any]]]) -> None:
    """Write a table: name, species, lattice (9 numbers, rows a, b, c, Å), frac_coords (3 a site), score, origin (JSON).

    Parameters
    ----------
    path
        The file; it is replaced.
    samples
        Name, structure, score and origin of each.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "name": [name for name, *_ in samples],
            "species": [[site.specie.symbol for site in structure] for _, structure, *_ in samples],
            "lattice": [structure.lattice.matrix.ravel().tolist() for _, structure, *_ in samples],
            "frac_coords": [structure.frac_coords.ravel().tolist() for _, structure, *_ in samples],
            "score": [score for *_, score, _ in samples],
            "origin": [json.dumps(origin) for *_, origin in samples],
        }
    )
    partial = path.with_name(f".{path.name}.partial")
    try:
        pq.write_table(table, partial)
        partial.replace(path)
    except OSError as err:
        msg = f"{path} cannot be written: {err.strerror or err}; choose another place with --output"
        raise StorageError(msg) from err
