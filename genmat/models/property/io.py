"""Tables of structures with a property, to train heads on.

========  ============================================================================================================
needed    ``species`` (symbols), ``lattice`` (9 numbers, rows a, b, c, Å), ``frac_coords`` (3 a site), the property
optional  a split column with ``train``, ``val`` and ``test``; without one a tenth of the chemical systems each is drawn
          for validation and test
========  ============================================================================================================
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from genmat.errors import InputError, RepresentationError, StructureError, did_you_mean
from genmat.representation import Crystal, from_arrays

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

logger = logging.getLogger(__name__)

GEOMETRY = ("species", "lattice", "frac_coords")
"""Columns of the structure."""

SPLITS = ("train", "val", "test")
"""Values of a split column; a row with another or none takes no part."""

SYMPREC = 0.01
"""Å: tolerance of the symmetry search."""

_SHARES = (80, 90)
"""Hundredths of the chemical systems below which a row is for training, and for validation."""


@dataclass(frozen=True, slots=True, eq=False)
class PropertyTable:
    """Crystals with values of one property.

    Parameters
    ----------
    name
        Column of the property.
    crystals
        All of them have a label.
    values
        The property, in the unit of the table, shape (n,), finite.
    split
        ``train``, ``val`` or ``test`` of each.
    dropped
        Rows left out, by reason.
    """

    name: str
    crystals: tuple[Crystal, ...]
    values: FloatArray
    split: tuple[str, ...]
    dropped: dict[str, int]

    def __post_init__(self) -> None:
        """Check that there is something to train on and to stop by."""
        counts = Counter(self.split)
        for split in SPLITS[:2]:
            if not counts[split]:
                found = ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing"
                msg = f"the split {split!r} of {self.name} holds no usable row ({found}): check the split column"
                raise InputError(msg)

    def rows(self, split: str) -> NDArray[np.bool_]:
        """Return which rows belong to a split, shape (n,)."""
        return np.array([item == split for item in self.split], dtype=np.bool_)

    @classmethod
    def select(
        cls,
        name: str,
        crystals: Sequence[Crystal | None],
        values: FloatArray,
        split: Sequence[str | None] | None,
        *,
        known_elements: Collection[str] | None = None,
        max_orbits: int | None = None,
    ) -> Self:
        """Return the rows that can be used; say in the log how many cannot, and why.

        Parameters
        ----------
        name
            The property.
        crystals
            ``None`` for one that has no x.
        values
            NaN where unknown, shape (n,).
        split
            Of each row; ``None`` to draw one by chemical system.
        known_elements
            Elements that the encoder was trained on; ``None`` for any.
        max_orbits
            Orbits that the encoder takes; ``None`` for any number.

        Raises
        ------
        InputError
            If no row, no training row or no validation row is left.
        """
        if split is None:
            split = [draw_split(crystal) if crystal is not None else None for crystal in crystals]
        dropped: Counter[str] = Counter()
        kept: list[int] = []
        for row, (crystal, value, part) in enumerate(zip(crystals, values, split, strict=True)):
            reason = _refusal(crystal, float(value), part, known_elements, max_orbits)
            if reason is None:
                kept.append(row)
            else:
                dropped[reason] += 1
        reasons = "; ".join(f"{count} {reason}" for reason, count in dropped.most_common())
        if not kept:
            msg = f"none of the {len(crystals)} rows can be used for {name}: {reasons or 'the table is empty'}"
            raise InputError(msg)
        if dropped:
            logger.warning("%s: %d of %d rows left out: %s", name, len(crystals) - len(kept), len(crystals), reasons)
        return cls(
            name=name,
            crystals=tuple(crystals[row] for row in kept),  # type: ignore[misc]  # None was left out
            values=np.asarray(values, dtype=np.float64)[kept],
            split=tuple(str(split[row]) for row in kept),
            dropped=dict(dropped),
        )


def _refusal(
    crystal: Crystal | None, value: float, split: str | None, known: Collection[str] | None, max_orbits: int | None
) -> str | None:
    """Return why a row cannot be used, or None if it can."""
    if not np.isfinite(value):
        return "without a label"
    if crystal is None:
        return "without a symmetric representation"
    if split not in SPLITS:
        return "without a split (train, val or test)"
    if max_orbits is not None and len(crystal.orbits) > max_orbits:
        return f"with more than {max_orbits} orbits"
    unknown = sorted(set(crystal.element_counts) - set(known)) if known is not None else []
    return f"with {unknown[0]}, which the encoder never saw" if unknown else None


def draw_split(crystal: Crystal) -> str:
    """Return a split that depends on the chemical system alone, so that no polymorph leaks into another."""
    system = "-".join(sorted(crystal.element_counts))
    hundredth = int(hashlib.sha256(system.encode()).hexdigest()[:8], 16) % 100
    return SPLITS[sum(hundredth >= limit for limit in _SHARES)]


def read_property_table(
    path: Path,
    *,
    column: str,
    split_column: str | None = None,
    known_elements: Collection[str] | None = None,
    max_orbits: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PropertyTable:
    """Return the crystals of a parquet file that have a value of a property.

    Parameters
    ----------
    path
        The table, columns as the module's top says.
    column
        Column of the property.
    split_column
        Column of the split; ``None`` draws one by chemical system.
    known_elements
        Elements that the encoder was trained on; rows with others are left out. ``None`` for any.
    max_orbits
        Orbits that the encoder takes; rows with more are left out. ``None`` for any number.
    progress
        Called with rows done and all.

    Raises
    ------
    StructureError
        If the file is missing, no parquet, lacks a column, or a structure is malformed.
    InputError
        If the property is no number, or no row, no training row or no validation row can be used.
    """
    wanted = dict.fromkeys((*GEOMETRY, column, *((split_column,) if split_column else ())))
    table = _read(path, columns=tuple(wanted))
    values = _numbers(table.column(column), name=f"column {column!r} of {path}")
    labelled = np.flatnonzero(np.isfinite(values))
    if not len(labelled):
        msg = f"column {column!r} of {path} holds no number in any of its {len(values)} rows: a head needs labels"
        raise InputError(msg)
    rows = table.select(GEOMETRY).take(pa.array(labelled)).to_pylist()
    crystals: list[Crystal | None] = [None] * len(values)
    for done, (row, geometry) in enumerate(zip(labelled.tolist(), rows, strict=True), start=1):
        crystals[row] = _crystal(geometry, name=f"row {row} of {path}")
        if progress is not None:
            progress(done, len(rows))
    split = None if split_column is None else table.column(split_column).to_pylist()
    return PropertyTable.select(column, crystals, values, split, known_elements=known_elements, max_orbits=max_orbits)


def _read(path: Path, *, columns: tuple[str, ...]) -> pa.Table:
    if not path.is_file():
        msg = f"{path} does not exist, expected a .parquet table of structures and a property"
        raise StructureError(msg)
    try:
        names = pq.read_schema(path).names
        for column in columns:
            if column not in names:
                hint = did_you_mean(column, names)
                msg = f"{path} has no column {column!r}, it has {', '.join(names)}.{hint}"
                raise StructureError(msg)
        return pq.read_table(path, columns=list(columns))
    except (pa.ArrowException, OSError) as err:
        msg = f"{path} cannot be read, it is truncated or no parquet file ({str(err).splitlines()[0]})"
        raise StructureError(msg) from err


def _numbers(column: pa.ChunkedArray, *, name: str) -> FloatArray:
    """Return a column of numbers, NaN where there is none, shape (n,)."""
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
        msg = f"{name} holds values of type {column.type}, expected numbers"
        raise InputError(msg)
    return np.array([np.nan if value is None else value for value in column.to_pylist()], dtype=np.float64)


def _crystal(geometry: dict[str, Any], *, name: str) -> Crystal | None:
    """Return x of a row, or None where the symmetry search fails."""
    try:
        lattice = np.array(geometry["lattice"], dtype=np.float64).reshape(3, 3)
        points = np.array(geometry["frac_coords"], dtype=np.float64).reshape(-1, 3)
        symbols = [str(symbol) for symbol in geometry["species"]]
    except (TypeError, ValueError) as err:
        msg = f"{name}: lattice needs 9 numbers, frac_coords 3 a site, species a list of symbols"
        raise StructureError(msg) from err
    if not len(symbols) == len(points) > 0:
        msg = f"{name}: {len(symbols)} species, but {len(points)} sites in frac_coords"
        raise StructureError(msg)
    try:
        return from_arrays(lattice, symbols, points, symprec=SYMPREC)
    except RepresentationError as err:
        logger.debug("%s: %s", name, err)
        return None
