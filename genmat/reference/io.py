"""The reference on disk: one parquet file, one row a known crystal, metadata as JSON in its schema."""

from __future__ import annotations

import contextlib
import json
import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genmat.errors import ReferenceDataError, StorageError
from genmat.reference.crystals import CrystalColumns
from genmat.reference.fingerprint import N_ALL, SIZE
from genmat.reference.table import Reference, ReferenceMetadata

if TYPE_CHECKING:
    from genmat.reference.known import KnownCrystals

METADATA_KEY = b"genmat.reference"
"""Key of the metadata in the parquet schema."""

REBUILD = "reinstall genmat, or rebuild it (genmat data build-reference)"

_COMPRESSION_LEVEL = 19

COLUMNS = pa.schema(
    [
        pa.field("material_id", pa.string(), nullable=False),
        pa.field("formula", pa.string(), nullable=False),
        pa.field("gene", pa.string(), nullable=False),
        pa.field("fingerprint", pa.binary(2 * SIZE), nullable=False),
        pa.field("n_sites", pa.int32(), nullable=False),
        pa.field("energy_per_atom", pa.float64()),
        pa.field("energy_above_hull", pa.float64()),
        pa.field("relaxed", pa.bool_(), nullable=False),
        pa.field("number", pa.int16()),
        pa.field("orbits", pa.string()),
        pa.field("free", pa.list_(pa.field("element", pa.int32(), nullable=False))),
        pa.field("lattice", pa.list_(pa.field("element", pa.float32(), nullable=False))),
    ]
)
"""Columns of the file; the last four are null for a crystal without x."""


def packaged_reference() -> Path:
    """Return where the reference that comes with genmat lies."""
    return Path(str(resources.files("genmat.reference"))) / "data" / "reference.parquet"


def load_reference(path: Path | None = None) -> Reference:
    """Return the reference of a file.

    Parameters
    ----------
    path
        The file; ``None`` for the one that comes with genmat.

    Raises
    ------
    ReferenceDataError
        If the file is missing, truncated, altered, of another schema version or not a reference.
    """
    place = packaged_reference() if path is None else path
    table = _read(place)
    try:
        header = json.loads(table.schema.metadata[METADATA_KEY])
        metadata = ReferenceMetadata.from_dict(header["metadata"])
        reference = _reference(table, metadata)
    except ReferenceDataError as err:
        msg = f"{place}: {err}"
        raise ReferenceDataError(msg) from err
    except (pa.ArrowException, KeyError, TypeError, ValueError, IndexError) as err:
        msg = f"reference {place} is damaged ({type(err).__name__}): {REBUILD}"
        raise ReferenceDataError(msg) from err
    if reference.id != header.get("id"):
        stated = str(header.get("id"))[:12]
        msg = f"reference {place} was altered, its content is {reference.id[:12]}, not {stated}: {REBUILD}"
        raise ReferenceDataError(msg)
    return reference


def load_known(path: Path | None = None) -> KnownCrystals:
    """Return the known crystals of a reference without their atoms, quickly: the content's SHA-256 is not checked.

    Parameters
    ----------
    path
        The file; ``None`` for the one that comes with genmat.

    Raises
    ------
    ReferenceDataError
        If the file is missing, truncated or not a reference.
    """
    from genmat.reference.known import KnownCrystals

    place = packaged_reference() if path is None else path
    table = _read(place, columns=["material_id", "formula", "fingerprint", "energy_per_atom"])
    header = json.loads(table.schema.metadata[METADATA_KEY])
    return KnownCrystals(
        id=str(header["id"]),
        metadata=ReferenceMetadata.from_dict(header["metadata"]),
        material_ids=tuple(table.column("material_id").to_pylist()),
        formulas=tuple(table.column("formula").to_pylist()),
        fingerprints=np.ascontiguousarray(_fingerprints(table.column("fingerprint").combine_chunks())[:, :N_ALL]),
        energies=_energies(table.column("energy_per_atom").combine_chunks()),
    )


def _read(place: Path, columns: list[str] | None = None) -> pa.Table:
    """Return the table of a file that is a reference."""
    try:
        table = pq.ParquetFile(place, memory_map=True).read(columns=columns)
    except FileNotFoundError as err:
        msg = f"reference {place} does not exist: {REBUILD}"
        raise ReferenceDataError(msg) from err
    except (pa.ArrowException, OSError, ValueError) as err:
        msg = f"reference {place} cannot be read, it is truncated, altered or no parquet file: {REBUILD}"
        raise ReferenceDataError(msg) from err
    if METADATA_KEY not in (table.schema.metadata or {}):
        msg = f"{place} is no genmat reference, it has no metadata {METADATA_KEY.decode()!r}: {REBUILD}"
        raise ReferenceDataError(msg)
    return table


def write_reference(reference: Reference, path: Path) -> None:
    """Write a reference; an existing file is replaced only once the other is complete.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    header = {"metadata": reference.metadata.to_dict(), "id": reference.id}
    schema = COLUMNS.with_metadata({METADATA_KEY: json.dumps(header, sort_keys=True).encode()})
    table = pa.table(_columns(reference), schema=schema)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(
            table,
            partial,
            compression="zstd",
            compression_level=_COMPRESSION_LEVEL,
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        )
        partial.replace(path)
    except OSError as err:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        msg = f"reference cannot be written to {path}: {err.strerror or err}"
        raise StorageError(msg) from err


def _columns(reference: Reference) -> dict[str, pa.Array]:
    n_rows, crystals = len(reference), reference.crystals
    number = np.zeros(n_rows, dtype=np.int16)
    absent = np.ones(n_rows, dtype=np.bool_)
    orbits: list[str | None] = [None] * n_rows
    counts, sizes = np.zeros(n_rows, dtype=np.int32), np.zeros(n_rows, dtype=np.int32)
    rows = reference.crystal_rows
    number[rows], absent[rows], counts[rows], sizes[rows] = crystals.numbers, False, np.diff(crystals.offsets), 6
    for row, text in zip(rows, crystals.orbits, strict=True):
        orbits[row] = text
    mask = pa.array(absent)
    return {
        "material_id": pa.array(reference.material_ids),
        "formula": pa.array(reference.formulas),
        "gene": pa.array(reference.genes),
        "fingerprint": pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(2 * SIZE), n_rows, [None, pa.py_buffer(reference.fingerprints.astype("<u2").tobytes())]
        ),
        "n_sites": pa.array(reference.n_sites),
        "energy_per_atom": pa.array(reference.energies, from_pandas=True),
        "energy_above_hull": pa.array(reference.energies_above_hull, from_pandas=True),
        "relaxed": pa.array(reference.relaxed),
        "number": pa.array(number, mask=absent),
        "orbits": pa.array(orbits, type=pa.string()),
        "free": _lists(counts, pa.array(crystals.coordinates), mask),
        "lattice": _lists(sizes, pa.array(crystals.lattices.reshape(-1)), mask),
    }


def _lists(counts: np.ndarray[Any, np.dtype[np.int32]], values: pa.Array, mask: pa.Array) -> pa.Array:
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    kind = pa.list_(pa.field("element", values.type, nullable=False))
    return pa.ListArray.from_arrays(offsets, values, type=kind, mask=mask)


def _reference(table: pa.Table, metadata: ReferenceMetadata) -> Reference:
    """Return the reference of a table, columns copied out of it."""
    columns = {name: table.column(name).combine_chunks() for name in COLUMNS.names}
    rows = np.flatnonzero(_is_valid(columns["number"]))
    free, lattice = columns["free"].drop_null(), columns["lattice"].drop_null()
    return Reference(
        metadata=metadata,
        material_ids=tuple(columns["material_id"].to_pylist()),
        formulas=tuple(columns["formula"].to_pylist()),
        genes=tuple(columns["gene"].to_pylist()),
        fingerprints=_fingerprints(columns["fingerprint"]),
        n_sites=_numbers(columns["n_sites"], "i4"),
        energies=_energies(columns["energy_per_atom"]),
        energies_above_hull=_energies(columns["energy_above_hull"]),
        relaxed=_numbers(columns["relaxed"].cast(pa.uint8()), "u1").astype(np.bool_),
        crystal_rows=rows.astype(np.int32),
        crystals=CrystalColumns(
            numbers=_numbers(columns["number"].drop_null(), "i2"),
            orbits=tuple(columns["orbits"].drop_null().to_pylist()),
            offsets=np.concatenate([[0], np.cumsum(_numbers(free.value_lengths(), "i4"))]).astype(np.int32),
            coordinates=_numbers(free.flatten(), "i4"),
            lattices=_numbers(lattice.flatten(), "f4").reshape(-1, 6),
        ),
    )


def _fingerprints(column: pa.Array) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Return a copy of the fingerprints, shape (n, ``SIZE``)."""
    start, n_rows = column.offset * SIZE, len(column)
    values = np.frombuffer(column.buffers()[1], dtype="<u2")[start : start + n_rows * SIZE]
    return values.reshape(n_rows, SIZE).astype(np.uint16)


def _is_valid(array: pa.Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return _numbers(array.is_valid().cast(pa.uint8()), "u1").astype(np.bool_)


def _energies(array: pa.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a column of energies, NaN where it is null."""
    energies = _numbers(array, "f8")
    energies[~_is_valid(array)] = np.nan
    return energies


def _numbers(array: pa.Array, kind: str) -> np.ndarray[Any, Any]:
    """Return a copy of the numbers of a column, anything where it is null; ``to_numpy`` would import pandas."""
    size = np.dtype(kind).itemsize
    buffer = array.buffers()[1]
    if buffer is None:
        return np.empty(0, dtype=kind)
    return np.frombuffer(buffer, dtype=f"<{kind}", count=len(array), offset=array.offset * size).astype(kind)
