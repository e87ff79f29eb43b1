"""A table of crystals as training data: read, tokenised in parallel, kept in the work folder.

========  ============================================================================================================
needed    ``material_id``, ``species`` (symbols), ``lattice`` (9 numbers, rows a, b, c, Å), ``frac_coords`` (3 a site),
          ``split`` (``train``, ``val`` or ``test``; rows with another or none take no part)
optional  ``energy_above_hull`` (eV/atom)
========  ============================================================================================================
"""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genmat.errors import InputError, RepresentationError, StorageError, StructureError, did_you_mean
from genmat.models.foundation.tokens import MAX_ORBITS, TokenTable, atomic_number, concatenate, symbol
from genmat.reference.training.labels import intrinsic_labels, label_provenance
from genmat.representation import from_arrays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from genmat.models.foundation.train import PretrainData
    from genmat.reference.table import Reference
    from genmat.representation import Crystal

    type Progress = Callable[[str, int, int], None]

logger = logging.getLogger(__name__)

GEOMETRY = ("species", "lattice", "frac_coords")
COLUMNS = ("material_id", *GEOMETRY, "split")
"""Needed columns."""
SPLITS = ("train", "val", "test")
MAX_ATOMS = 20
"""Atoms of the largest crystal, in the cell of the table."""
SYMPREC = 0.01
"""Å: tolerance of the symmetry search."""
TOKENS_VERSION = 1
"""Version of the kept tokens; one more for every change of what tokens of a crystal are."""
CHUNK = 500
"""Crystals of a task of a process."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingTable:
    """Training data and where it is from.

    Parameters
    ----------
    data
        Crystals, labels, splits.
    material_ids
        Of each crystal.
    split
        ``train``, ``val`` or ``test`` of each.
    provenance
        SHA-256 of the file, rows of each split, elements of the training rows, rows left out by reason, scale and
        reference of the labels.
    """

    data: PretrainData
    material_ids: tuple[str, ...]
    split: tuple[str, ...]
    provenance: dict[str, Any]


def read_training_table(
    path: Path,
    *,
    reference: Reference,
    work_folder: Path,
    workers: int = 1,
    progress: Progress | None = None,
) -> TrainingTable:
    """Return the crystals of a parquet file with labels on the scale of a reference.

    Parameters
    ----------
    path
        The table, columns as the module's top says.
    reference
        Energies and the hull.
    work_folder
        Where tokens are kept (61 MB for 79,000 crystals), under the SHA-256 of the file.
    workers
        Processes that search symmetries: 500 crystals/s each.
    progress
        Called with what is done, how much of it, and of how much.

    Raises
    ------
    StructureError
        If the file is missing, no parquet, lacks a column, or a structure is malformed.
    InputError
        If a split is empty or no crystal has a label.
    MissingReferenceError
        If the reference lacks an element.
    StorageError
        If the work folder cannot be written.
    """
    from genmat.models.foundation.train import PretrainData  # torch

    table = _read(path)
    digest = _sha256(path)
    rows, tokens, dropped = _tokens(table, path, digest, work_folder=work_folder, workers=workers, progress=progress)
    split = np.asarray([str(value) for value in table.column("split").to_pylist()])[rows]
    part = np.isin(split, SPLITS)
    if n_without := int((~part).sum()):
        dropped["without a split (train, val or test)"] = n_without
    rows, split, tokens = rows[part], split[part], tokens[np.flatnonzero(part)]
    names = table.column("material_id").to_pylist()
    material_ids = tuple(str(names[row]) for row in rows.tolist())
    if dropped:
        reasons = "; ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
        logger.info("%d of %d rows of %s left out: %s", len(table) - len(rows), len(table), path, reasons)
    if not len(rows):
        reasons = "; ".join(f"{count} {reason}" for reason, count in sorted(dropped.items()))
        msg = f"none of the {len(table)} rows of {path} can be used: {reasons or 'it is empty'}"
        raise InputError(msg)
    labels, counts = intrinsic_labels(tokens, material_ids, _above_hull(table, path)[rows], reference=reference)
    data = PretrainData(tokens, labels, split == "train", split == "val")
    provenance = {
        "file": path.name,
        "sha256": digest,
        "rows": len(table),
        "splits": {name: int((split == name).sum()) for name in SPLITS},
        "elements": _elements(tokens, split == "train"),
        "left_out": dict(sorted(dropped.items())),
        "labels": label_provenance(reference, counts),
    }
    return TrainingTable(data, material_ids, tuple(split.tolist()), provenance)


def _elements(tokens: TokenTable, rows: NDArray[np.bool_]) -> list[str]:
    """Return the symbols of the elements of some crystals, by atomic number."""
    numbers = np.unique(tokens.elements[rows])
    return [symbol(int(z)) for z in numbers if z]


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        msg = f"{path} does not exist, expected a .parquet table of crystals"
        raise StructureError(msg)
    try:
        names = pq.read_schema(path).names
        for column in COLUMNS:
            if column not in names:
                msg = f"{path} has no column {column!r}, it has {', '.join(names)}.{did_you_mean(column, names)}"
                raise StructureError(msg)
        wanted = [*COLUMNS, *(["energy_above_hull"] if "energy_above_hull" in names else [])]
        return pq.ParquetFile(path).read(columns=wanted)
    except (pa.ArrowException, OSError) as err:
        msg = f"{path} cannot be read, it is truncated or no parquet file ({str(err).splitlines()[0]})"
        raise StructureError(msg) from err


def _above_hull(table: pa.Table, path: Path) -> NDArray[np.float64]:
    if "energy_above_hull" not in table.column_names:
        return np.full(len(table), np.nan)
    column = table.column("energy_above_hull")
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
        msg = f"column 'energy_above_hull' of {path} holds values of type {column.type}, expected numbers in eV/atom"
        raise StructureError(msg)
    return np.asarray([np.nan if value is None else value for value in column.to_pylist()], dtype=np.float64)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tokens(
    table: pa.Table, path: Path, digest: str, *, work_folder: Path, workers: int, progress: Progress | None
) -> tuple[NDArray[np.intp], TokenTable, dict[str, int]]:
    """Return the rows that have tokens, the tokens, and how many rows have none by reason; from the folder if there."""
    kept = work_folder / f"tokens-{digest[:16]}-{TOKENS_VERSION}.npz"
    if (found := _load_tokens(kept)) is not None:
        return found
    parts: list[tuple[list[int], TokenTable, dict[str, int]]] = []
    for part in _tokenised(table, str(path), workers=workers):
        parts.append(part)
        if progress is not None:
            progress("symmetry", min(len(parts) * CHUNK, len(table)), len(table))
    rows = np.asarray([row for part in parts for row in part[0]], dtype=np.intp)
    tokens = concatenate([part[1] for part in parts]) if parts else TokenTable.empty(0)
    dropped: Counter[str] = Counter()
    for part in parts:
        dropped.update(part[2])
    _save_tokens(kept, rows, tokens, dict(dropped))
    return rows, tokens, dict(dropped)


def _tokenised(table: pa.Table, name: str, *, workers: int) -> Iterator[tuple[list[int], TokenTable, dict[str, int]]]:
    geometry = table.select(GEOMETRY)
    starts = range(0, len(table), CHUNK)
    if workers == 1 or len(starts) == 1:
        for start in starts:
            yield _tokenise(start, geometry.slice(start, CHUNK).to_pylist(), name)
        return
    with ProcessPoolExecutor(min(workers, len(starts)), mp_context=get_context("spawn")) as pool:
        tasks = [pool.submit(_tokenise, start, geometry.slice(start, CHUNK).to_pylist(), name) for start in starts]
        try:
            for task in tasks:
                yield task.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _tokenise(start: int, items: list[dict[str, Any]], name: str) -> tuple[list[int], TokenTable, dict[str, int]]:
    """Return the rows of one chunk that have tokens, their tokens, and the others by reason."""
    rows: list[int] = []
    crystals: list[Crystal] = []
    dropped: Counter[str] = Counter()
    for row, item in enumerate(items, start=start):
        found = _crystal(item, name=f"row {row} of {name}")
        if isinstance(found, str):
            dropped[found] += 1
        else:
            rows.append(row)
            crystals.append(found)
    return rows, TokenTable.from_crystals(crystals), dict(dropped)


def _crystal(item: dict[str, Any], *, name: str) -> Crystal | str:
    """Return x of a row, or why it has none.

    Raises
    ------
    StructureError
        If a list has a wrong length or type.
    """
    try:
        lattice = np.array(item["lattice"], dtype=np.float64).reshape(3, 3)
        points = np.array(item["frac_coords"], dtype=np.float64).reshape(-1, 3)
        symbols = [str(name) for name in item["species"]]
    except (TypeError, ValueError) as err:
        msg = f"{name}: lattice needs 9 numbers, frac_coords 3 a site, species a list of symbols"
        raise StructureError(msg) from err
    if not len(symbols) == len(points) > 0:
        msg = f"{name}: {len(symbols)} species, but {len(points)} sites in frac_coords"
        raise StructureError(msg)
    if len(symbols) > MAX_ATOMS:
        return f"with more than {MAX_ATOMS} atoms"
    for element in symbols:
        try:
            atomic_number(element)
        except KeyError as err:
            msg = f"{name}: species holds {element!r}, expected symbols of elements"
            raise StructureError(msg) from err
    try:
        crystal = from_arrays(lattice, symbols, points, symprec=SYMPREC)
    except RepresentationError:
        return "without a symmetric representation"
    return crystal if len(crystal.orbits) <= MAX_ORBITS else f"with more than {MAX_ORBITS} orbits"


def _load_tokens(path: Path) -> tuple[NDArray[np.intp], TokenTable, dict[str, int]] | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            tokens = TokenTable(*(kept[field.name] for field in fields(TokenTable)))
            dropped = dict(zip(kept["reasons"].tolist(), kept["counts"].tolist(), strict=True))
            rows = kept["rows"].astype(np.intp)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as err:
        logger.warning("%s is damaged (%s): made again", path, err)
        return None
    return (rows, tokens, dropped) if len(rows) == len(tokens) else None


def _save_tokens(path: Path, rows: NDArray[np.intp], tokens: TokenTable, dropped: dict[str, int]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez(
                file,
                rows=rows,
                reasons=np.asarray(list(dropped), dtype=str),
                counts=np.asarray(list(dropped.values()), dtype=np.int64),
                **{field.name: getattr(tokens, field.name) for field in fields(TokenTable)},
            )
        partial.replace(path)
    except OSError as err:
        partial.unlink(missing_ok=True)
        msg = f"{path} cannot be written: {err.strerror or err}"
        raise StorageError(msg) from err
