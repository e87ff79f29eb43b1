"""Files of crystals that a user gives.

========  =============================================================================================================
parquet   ``material_id``, ``species`` (symbols), ``lattice`` (9 numbers, rows a, b, c, Å), ``frac_coords`` (3 a site)
CSV       ``material_id`` and either ``cif`` (CIF text) or ``file`` (path of a CIF file, relative to the CSV file)
JSON      ``.json``, ``.jsonl`` (one object a line), both also with ``.gz``: :mod:`genmat.reference.sources.entries`
folder    ``*.cif``; the file's name is the id
========  =============================================================================================================

A table may also have ``energy_above_hull`` and ``formation_energy_per_atom`` (eV/atom), which say which crystals matter
most, and ``energy_per_atom`` or ``uncorrected_energy_per_atom`` (eV/atom), from which a reference with labels is made.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genmat.errors import StructureError, did_you_mean
from genmat.reference.sources.cif import MAX_BYTES, CifReader
from genmat.reference.sources.entries import crystal_of, read_records, record_id, run_type
from genmat.reference.sources.structure import LABELS, SourceCrystal, crystal_from_arrays, label_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pymatgen.core.structure import Structure

    type Refuse = Callable[[StructureError], None]

SUFFIXES = (".parquet", ".csv", ".json", ".jsonl")
"""Kinds of table; the last two may be packed (``.gz``)."""

GEOMETRY = ("species", "lattice", "frac_coords")
"""Columns that a parquet table must have besides the id."""


def read_source(path: Path, *, refuse: Refuse | None = None) -> list[SourceCrystal]:
    """Return the crystals of a table or folder, in its order.

    Parameters
    ----------
    path
        A file of one of ``SUFFIXES``, or a folder of ``.cif`` files.
    refuse
        Called with the error of each crystal that cannot be used, which is then left out; ``None`` to raise the first.

    Raises
    ------
    StructureError
        If the source does not exist, is of another kind, lacks a column or has an id twice; without ``refuse`` also if
        a crystal cannot be used.
    """
    if path.is_dir():
        return _collect(_cif_folder(path), refuse)
    if not path.is_file():
        msg = f"{path} does not exist, expected a table ({', '.join(SUFFIXES)}) or a folder of .cif files"
        raise StructureError(msg)
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    if suffix == ".parquet":
        return _collect(_parquet(path), refuse)
    if suffix == ".csv":
        return _collect(_csv(path), refuse)
    if suffix in {".json", ".jsonl"}:
        return _collect(_json(path), refuse)
    hint = did_you_mean(suffix, SUFFIXES)
    msg = f"{path} is of the kind {suffix!r}, expected {', '.join(SUFFIXES)} or a folder of .cif files.{hint}"
    raise StructureError(msg)


def read_cif(path: Path, *, reader: CifReader) -> Structure:
    """Return the structure of a CIF file.

    Raises
    ------
    StructureError
        If it cannot be read or used.
    """
    return reader.read(_read_text(path, max_bytes=MAX_BYTES), name=str(path))


def _collect(items: Iterator[SourceCrystal | StructureError], refuse: Refuse | None) -> list[SourceCrystal]:
    crystals = []
    for item in items:
        if isinstance(item, SourceCrystal):
            crystals.append(item)
        elif refuse is None:
            raise item
        else:
            refuse(item)
    return crystals


def _parquet(path: Path) -> Iterator[SourceCrystal | StructureError]:
    try:
        names = pq.read_schema(path).names
        _check_columns(names, needed=("material_id", *GEOMETRY), name=str(path))
        table = pq.read_table(path, columns=["material_id", *GEOMETRY, *(item for item in LABELS if item in names)])
    except (pa.ArrowException, OSError) as err:
        msg = f"{path} cannot be read, it is truncated or no parquet file ({_first_line(err)})"
        raise StructureError(msg) from err
    columns = {name: table.column(name).to_pylist() for name in table.column_names if name not in GEOMETRY[1:]}
    lattices, coordinates = _lists(table.column("lattice")), _lists(table.column("frac_coords"))
    material_ids = [str(item) for item in columns["material_id"]]
    _check_ids(material_ids, name=str(path))
    for row, material_id in enumerate(material_ids):
        name = f"{material_id} of {path.name}"
        try:
            yield crystal_from_arrays(
                material_id,
                species=columns["species"][row] or (),
                lattice=lattices(row),
                frac_coords=coordinates(row),
                labels=_labels({label: columns[label][row] for label in LABELS if label in columns}, name=name),
                name=name,
            )
        except StructureError as err:
            yield err


def _lists(column: pa.ChunkedArray) -> Callable[[int], np.ndarray[Any, Any]]:
    """Return a function from row to numbers of a column of lists; a null is an empty list."""
    array = column.combine_chunks()
    offsets = np.concatenate([[0], np.cumsum(array.value_lengths().fill_null(0).to_numpy())])
    values = array.flatten().to_numpy(zero_copy_only=False)
    return lambda row: values[offsets[row] : offsets[row + 1]]


def _csv(path: Path) -> Iterator[SourceCrystal | StructureError]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            columns = reader.fieldnames or []
            rows: list[dict[str, Any]] = list(reader)
    except (csv.Error, UnicodeDecodeError, OSError) as err:
        msg = f"{path} cannot be read, it is no CSV table ({_first_line(err)})"
        raise StructureError(msg) from err
    _check_columns(columns, needed=("material_id",), name=str(path))
    if "cif" not in columns and "file" not in columns:
        msg = f"{path} has neither a column 'cif' nor 'file': add one with the CIF text or the CIF file's path"
        raise StructureError(msg)
    _check_ids([str(row["material_id"]) for row in rows], name=str(path))
    with CifReader() as cif_reader:
        for row in rows:
            material_id = str(row["material_id"])
            name = f"{material_id} of {path.name}"
            try:
                labels = _labels(row, name=name)
                if row.get("cif"):
                    structure = cif_reader.read(row["cif"], name=name)
                else:
                    structure = read_cif(path.parent / (row.get("file") or ""), reader=cif_reader)
                yield _from_structure(material_id, structure, labels=labels, name=name)
            except StructureError as err:
                yield err


def _json(path: Path) -> Iterator[SourceCrystal | StructureError]:
    records = list(read_records(path))
    # A download may hold a material once for each functional.
    _check_ids(
        [f"{name} {run_type(r)}".strip() for r in records if isinstance(r, dict) and (name := record_id(r))],
        name=str(path),
    )
    for number, record in enumerate(records, start=1):
        if isinstance(record, StructureError):
            yield record
            continue
        name = f"{record_id(record) or f'record {number}'} of {path.name}"
        try:
            if not record_id(record):
                msg = f"{name} has no material_id or entry_id"
                yield StructureError(msg)
            else:
                yield crystal_of(record, name=name)
        except StructureError as err:
            yield err


def _cif_folder(path: Path) -> Iterator[SourceCrystal | StructureError]:
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".cif")
    if not files:
        msg = f"{path} holds no .cif file: name the folder that does"
        raise StructureError(msg)
    _check_ids([file.stem for file in files], name=str(path))
    with CifReader() as reader:
        for file in files:
            try:
                yield _from_structure(file.stem, read_cif(file, reader=reader), labels={}, name=str(file))
            except StructureError as err:
                yield err


def _from_structure(material_id: str, structure: Structure, *, labels: Mapping[str, float], name: str) -> SourceCrystal:
    return crystal_from_arrays(
        material_id,
        species=[site.specie.symbol for site in structure],
        lattice=structure.lattice.matrix,
        frac_coords=structure.frac_coords,
        labels=labels,
        name=name,
    )


def _read_text(path: Path, *, max_bytes: int) -> str:
    try:
        size = path.stat().st_size
        if size > max_bytes:
            msg = f"{path} has {size:,} bytes, expected at most {max_bytes:,} in the CIF file of one crystal"
            raise StructureError(msg)
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as err:
        msg = f"{path} cannot be read: {err.strerror or err}"
        raise StructureError(msg) from err


def _check_columns(columns: Sequence[str], *, needed: Sequence[str], name: str) -> None:
    missing = next((column for column in needed if column not in columns), None)
    if missing is not None:
        msg = f"{name} lacks the column {missing!r}, it has {', '.join(columns)}.{did_you_mean(missing, columns)}"
        raise StructureError(msg)


def _check_ids(material_ids: Sequence[str], *, name: str) -> None:
    twice = next((item for item, times in Counter(material_ids).items() if times > 1), None)
    if twice is not None:
        msg = f"{name} has the material_id {twice!r} twice, expected distinct ids"
        raise StructureError(msg)


def _labels(row: Mapping[str, Any], *, name: str) -> dict[str, float]:
    return {label: value for label in LABELS if (value := label_value(row.get(label), label, name=name)) is not None}


def _first_line(err: Exception) -> str:
    return next(iter(str(err).splitlines()), type(err).__name__)[:160]
