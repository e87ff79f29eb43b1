"""Samples from a user's files.

=================  ====================================================================================================
input              what it holds
=================  ====================================================================================================
folder             ``*.cif``; the file's name is the id
CIF                one crystal
extended XYZ       ``.xyz`` or ``.extxyz``: a frame each, with ``Lattice``; ``id`` or ``name`` of the frame is the id
parquet            columns ``species`` (symbols), ``lattice`` (9 numbers, rows a, b, c, Å), ``frac_coords`` (3 a site);
                   the first of ``material_id``, ``id``, ``index`` and ``name`` is the id
JSON               ``.json`` or ``.json.gz``: a crystal, a list of them, or a mapping from ids to them; one a line in
                   ``.jsonl`` and ``.jsonl.gz``. A crystal is a pymatgen structure, ``{"species", "lattice",
                   "frac_coords"}`` or x (``{"number", "orbits", "lattice"}``), bare or as ``"structure"`` of a record
=================  ====================================================================================================

A column or field named ``…e_above_hull`` or ``…energy_above_hull`` is taken as a published distance to the hull,
eV/atom.
One bad crystal is a sample with a problem; a bad file raises.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genmat.errors import GenmatError, StorageError, StructureError, did_you_mean
from genmat.evaluation.sample import Sample
from genmat.reference.sources.cif import CifReader
from genmat.reference.sources.io import read_cif
from genmat.reference.sources.structure import crystal_from_arrays
from genmat.representation import Crystal, to_structure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pymatgen.core.structure import Structure

    from genmat.evaluation.evaluation import Evaluation

KINDS = (".cif", ".extxyz", ".json", ".json.gz", ".jsonl", ".jsonl.gz", ".parquet", ".xyz")
"""Endings of the files that are read."""

IDS = ("material_id", "id", "index", "name")
"""Columns or fields that may name a sample, the first that is there."""

GEOMETRY = ("species", "lattice", "frac_coords")
"""Columns that a table must have."""

_PUBLISHED = ("e_above_hull", "energy_above_hull")


def read_samples(path: Path) -> list[Sample]:
    """Return the samples of a file or folder, in its order.

    Raises
    ------
    StructureError
        If it does not exist, is of another kind, cannot be read at all, lacks a column or holds nothing.
    """
    if path.is_dir():
        samples = read_cifs(sorted(file for file in path.iterdir() if file.suffix.lower() == ".cif"))
        if not samples:
            msg = f"{path} holds no .cif file, expected one for each structure"
            raise StructureError(msg)
        return samples
    if not path.is_file():
        msg = f"{path} does not exist, expected a folder of .cif files or a file ({', '.join(KINDS)})"
        raise StructureError(msg)
    try:
        samples = list(_read(path))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, pa.ArrowException) as err:
        msg = f"{path} cannot be read, it is truncated or not what its name says ({_first_line(err)})"
        raise StructureError(msg) from err
    if not samples:
        msg = f"{path} holds no structure"
        raise StructureError(msg)
    return samples


def read_cifs(paths: Iterable[Path]) -> list[Sample]:
    """Return one sample a CIF file; the file's name is the id."""
    samples = []
    with CifReader() as reader:
        for path in paths:
            try:
                samples.append(Sample(path.stem, read_cif(path, reader=reader)))
            except StructureError as err:
                samples.append(Sample(path.stem, None, str(err)))
    return samples


def write_rows(evaluations: Mapping[str, Evaluation], path: Path) -> None:
    """Write the rows of all evaluations into one parquet table, the column ``set`` in front.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    rows = [{"set": name} | row.to_dict() for name, item in evaluations.items() for row in item.rows]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd")
    except OSError as err:
        msg = f"{path} cannot be written: {err.strerror or err}; choose another place with --output"
        raise StorageError(msg) from err


def _read(path: Path) -> Iterator[Sample]:
    name = path.name.lower()
    kind = next((kind for kind in sorted(KINDS, key=len, reverse=True) if name.endswith(kind)), None)
    if kind == ".parquet":
        return _parquet(path)
    if kind == ".cif":
        return iter(read_cifs([path]))
    if kind in {".xyz", ".extxyz"}:
        return _extxyz(path)
    if kind is not None:
        return _json(path, lines=kind.startswith(".jsonl"))
    msg = f"{path} is of no kind that is read, expected a folder of .cif files or a file ({', '.join(KINDS)})."
    raise StructureError(msg + did_you_mean(path.suffix, KINDS))


def _parquet(path: Path) -> Iterator[Sample]:
    names = pq.read_schema(path).names
    missing = next((column for column in GEOMETRY if column not in names), None)
    if missing is not None:
        msg = f"{path} lacks the column {missing!r}, it has {', '.join(names)}.{did_you_mean(missing, names)}"
        raise StructureError(msg)
    wanted = [*GEOMETRY, *(column for column in IDS if column in names), *filter(_is_published, names)]
    row = 0
    for batch in pq.ParquetFile(path).iter_batches(columns=wanted):
        for record in batch.to_pylist():
            yield _sample(record, name=_name(record, row), path=path)
            row += 1


def _json(path: Path, *, lines: bool) -> Iterator[Sample]:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.name.lower().endswith(".gz") else data).decode("utf-8")
    try:
        content = [json.loads(line) for line in text.splitlines() if line.strip()] if lines else json.loads(text)
    except json.JSONDecodeError as err:
        msg = f"{path} is no JSON: {err.msg} in line {err.lineno}"
        raise StructureError(msg) from err
    for name, record in _records(content, path=path):
        yield _sample(record, name=name, path=path)


def _records(content: Any, *, path: Path) -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict) and isinstance(content.get("structures"), list):
        content = content["structures"]
    if isinstance(content, dict) and not _is_crystal(content):
        if not all(isinstance(value, dict) for value in content.values()):
            keys = ", ".join(list(content)[:8])
            msg = f"{path} holds an object with {keys}, expected crystals: pymatgen structures or x"
            raise StructureError(msg)
        yield from content.items()
        return
    items = content if isinstance(content, list) else [content]
    for place, item in enumerate(items):
        yield _name(item, place) if isinstance(item, dict) else str(place), item


def _is_crystal(record: Mapping[str, Any]) -> bool:
    return "lattice" in record or "structure" in record


def _sample(record: Any, *, name: str, path: Path) -> Sample:
    """Return the sample of one record of a table or JSON file."""
    where = f"{name} of {path.name}"
    published = None
    try:
        published = _published(record)
        return Sample(name, _structure(record, name=where), published=published)
    except GenmatError as err:
        return Sample(name, None, str(err), published)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as err:
        return Sample(name, None, f"{where} is no crystal ({type(err).__name__}: {_first_line(err)})", published)


def _structure(record: Any, *, name: str) -> Structure:
    if isinstance(record.get("structure"), dict):
        return _structure(record["structure"], name=name)
    if "orbits" in record:
        return to_structure(Crystal.from_dict(record))
    if "sites" in record:
        return _pymatgen(record, name=name)
    return _from_arrays(record["species"] or (), record["lattice"], record["frac_coords"], name=name)


def _pymatgen(record: Mapping[str, Any], *, name: str) -> Structure:
    """Return the structure of pymatgen's JSON, read by hand: its own decoder imports whatever the file names."""
    symbols, points = [], []
    for site in record["sites"]:
        occupants = site["species"]
        if len(occupants) != 1 or not math.isclose(float(occupants[0].get("occu", 1.0)), 1.0):
            msg = f"{name} has partial occupancies: give an ordered model of the crystal"
            raise StructureError(msg)
        symbols.append(str(occupants[0]["element"]))
        points.append(site["abc"])
    return _from_arrays(symbols, record["lattice"]["matrix"], points, name=name)


def _from_arrays(symbols: Sequence[str], lattice: Any, points: Any, *, name: str) -> Structure:
    return crystal_from_arrays(
        name,
        species=list(symbols),
        lattice=[math.nan if value is None else value for value in np.ravel(lattice)],
        frac_coords=[math.nan if value is None else value for value in np.ravel(points)],
        name=name,
    ).structure()


def _extxyz(path: Path) -> Iterator[Sample]:
    lines = path.read_text(encoding="utf-8").splitlines()
    start = frame = 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        if not lines[start].strip().isdigit() or int(lines[start]) == 0:
            msg = f"{path} has {lines[start][:40]!r} in line {start + 1}, expected the number of atoms of a frame"
            raise StructureError(msg)
        end = start + 2 + int(lines[start])
        yield _frame(lines[start:end], frame, path=path)
        start, frame = end, frame + 1


def _frame(lines: list[str], place: int, *, path: Path) -> Sample:
    import warnings

    from ase.io.extxyz import read_extxyz

    name = str(place)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (atoms,) = read_extxyz(io.StringIO("\n".join(lines) + "\n"), index=slice(None))
        name = _name(atoms.info, place)
        if atoms.cell.rank != 3:
            return Sample(name, None, f"frame {place} of {path.name} has no Lattice of three vectors")
        symbols, lattice, points = atoms.get_chemical_symbols(), atoms.cell[:], atoms.get_scaled_positions(wrap=False)
        structure = _from_arrays(symbols, lattice, points, name=f"{name} of {path.name}")
        return Sample(name, structure, published=_published(atoms.info))
    except GenmatError as err:
        return Sample(name, None, str(err))
    except Exception as err:  # noqa: BLE001 - ASE raises whatever a broken frame leads to
        return Sample(name, None, f"frame {place} of {path.name} cannot be read ({_first_line(err)})")


def _name(record: Mapping[str, Any], place: int) -> str:
    found = next((record[key] for key in IDS if record.get(key) is not None), place)
    return str(found)


def _is_published(column: str) -> bool:
    return column.endswith(_PUBLISHED)


def _published(record: Any) -> float | None:
    """Return the published distance to the hull of a record; ``None`` where there is none, or no number."""
    if not isinstance(record, dict):
        return None
    for key in filter(_is_published, record):
        value = record[key]
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    return None


def _first_line(err: BaseException) -> str:
    return next(iter(str(err).splitlines()), type(err).__name__)[:160]
