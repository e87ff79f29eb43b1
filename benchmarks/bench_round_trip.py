"""Measure Structure → x → Structure over a table of real crystals.

    python benchmarks/bench_round_trip.py ../shared/data/mp_structures.parquet --processes 2 --output failures.json

Every crystal of the table is converted to x and back. It counts as equal when spglib finds the same space group in the
input and in what came back (same symprec), and both are the same structure; the others are listed with their reason.
The same structure: spglib's transformation to the standard setting lays every atom of the input on an atom of what came
back, one to one, within two symprec, in cells that agree to 1 %; where it does not (the origins may differ), and with
``--matcher-only`` everywhere, StructureMatcher decides with its default tolerances, which are far wider.

The rate is that of the two conversions alone, in CPU seconds of one process.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import spglib
from machine import describe_machine, shared_data
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core.structure import Structure

from genmat.errors import RepresentationError
from genmat.representation import (
    anonymous_gene,
    average_minimum_distances,
    content_id,
    from_structure,
    gene,
    space_group,
    to_arrays,
    to_structure,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from genmat.representation import Crystal

SYMPREC = 0.01
CHUNK = 400
COLUMNS = ["material_id", "formula", "lattice", "species", "frac_coords"]


@dataclass(frozen=True, slots=True)
class Failure:
    """A crystal that did not come back equal."""

    material_id: str
    formula: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Part:
    """What one chunk of the table gave."""

    n_crystals: int
    n_atoms: int
    failures: list[Failure]
    seconds: dict[str, float]


class Stopwatch:
    """CPU seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def time[**P, R](self, function: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> R:
        """Call ``function``, add what it took under its name."""
        begin = time.process_time()
        try:
            return function(*arguments, **options)
        finally:
            self.seconds[function.__name__] += time.process_time() - begin


def spglib_dataset(structure: Structure) -> spglib.SpglibDataset:
    """Return what spglib finds."""
    cell = (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
    dataset = spglib.get_symmetry_dataset(cell, symprec=SYMPREC)  # type: ignore[arg-type]  # arrays are what it wants
    if dataset is None:
        msg = f"spglib finds no symmetry in {structure.formula}"
        raise RepresentationError(msg)
    return dataset


def is_laid_onto(structure: Structure, crystal: Crystal, dataset: spglib.SpglibDataset) -> bool:
    """Return whether spglib's transformation lays ``structure`` onto ``crystal``, atom by atom."""
    group = space_group(crystal.number)
    lattice, symbols, points = to_arrays(crystal, primitive=False)
    if len(points) != len(structure) * group.n_centring:
        return False
    transformed = np.linalg.inv(dataset.transformation_matrix).T @ structure.lattice.matrix
    if not np.allclose(transformed @ transformed.T, lattice @ lattice.T, rtol=0.01, atol=0.1):
        return False
    moved = structure.frac_coords @ dataset.transformation_matrix.T + dataset.origin_shift + group.spglib_shift
    difference = moved[:, None] - points[None]
    distances = np.linalg.norm((difference - np.rint(difference)) @ lattice, axis=2)
    own = [site.specie.symbol for site in structure]
    distances[np.array(own)[:, None] != np.array(symbols)[None]] = np.inf
    partners = distances.argmin(axis=1)
    return bool(len(set(partners.tolist())) == len(own) and distances.min(axis=1).max() < 2.0 * SYMPREC)


def difference(
    structure: Structure, crystal: Crystal, rebuilt: Structure, dataset: spglib.SpglibDataset, *, matcher_only: bool
) -> tuple[str, str] | None:
    """Return why ``rebuilt`` does not equal ``structure``, or None if it does."""
    before, after = dataset.number, spglib_dataset(rebuilt).number
    if crystal.number != before:
        return "x has another space group", f"{before} -> {crystal.number}"
    if after != before:
        return "the exactly symmetric crystal has another space group", f"{before} -> {after}"
    if not matcher_only and is_laid_onto(structure, crystal, dataset):
        return None
    if not StructureMatcher().fit(structure, rebuilt):
        return "StructureMatcher finds no match", f"space group {before}"
    return None


def measure_chunk(task: tuple[str, int, int, bool]) -> Part:
    """Convert and compare rows ``start`` to ``stop`` of the table."""
    path, start, stop, matcher_only = task
    rows = pq.read_table(path, columns=COLUMNS).slice(start, stop - start).to_pylist()
    failures, n_atoms, watch = [], 0, Stopwatch()
    for row in rows:
        structure = Structure(
            np.reshape(row["lattice"], (3, 3)), row["species"], np.reshape(row["frac_coords"], (-1, 3))
        )
        n_atoms += len(structure)
        try:
            crystal = watch.time(from_structure, structure, symprec=SYMPREC)
        except RepresentationError as err:
            failures.append(Failure(row["material_id"], row["formula"], "no representation", str(err)))
            continue
        rebuilt = watch.time(to_structure, crystal)
        dataset = watch.time(spglib_dataset, structure)
        for function in (gene, anonymous_gene, content_id):
            watch.time(function, crystal)
        watch.time(average_minimum_distances, structure)
        found = difference(structure, crystal, rebuilt, dataset, matcher_only=matcher_only)
        if found is not None:
            failures.append(Failure(row["material_id"], row["formula"], *found))
    return Part(len(rows), n_atoms, failures, dict(watch.seconds))


def report(parts: list[Part], wall: float, output: Path | None) -> None:
    """Print the numbers; write the failures to ``output``."""
    n_crystals = sum(part.n_crystals for part in parts)
    failures = [failure for part in parts for failure in part.failures]
    seconds = {name: sum(part.seconds[name] for part in parts) for name in parts[0].seconds}
    print(describe_machine())
    atoms = sum(part.n_atoms for part in parts) / n_crystals
    print(f"{n_crystals} crystals, {atoms:.1f} atoms on average, {wall:.0f} s wall time, symprec {SYMPREC} Å")
    print(f"{n_crystals - len(failures)} came back equal ({100 * (1 - len(failures) / n_crystals):.3f} %)")
    for reason, count in Counter(failure.reason for failure in failures).most_common():
        print(f"{count:8d}  {reason}")
    print(f"{n_crystals / (seconds['from_structure'] + seconds['to_structure']):.0f} structures/s/core there and back")
    for name, total in seconds.items():
        print(f"{1e3 * total / n_crystals:8.3f} ms  {name}")
    if output is not None:
        output.write_text(json.dumps([asdict(failure) for failure in failures], indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(description="Measure Structure → x → Structure over a table of real crystals.")
    parser.add_argument("parquet", type=Path, nargs="?", help=f"table with {', '.join(COLUMNS)}")
    parser.add_argument("--processes", type=int, default=1, help="worker processes")
    parser.add_argument(
        "--limit", type=int, help=f"about so many rows, in chunks of {CHUNK} spread evenly; default all"
    )
    parser.add_argument("--output", type=Path, help="JSON file for the failures")
    parser.add_argument("--matcher-only", action="store_true", help="let StructureMatcher decide everywhere")
    options = parser.parse_args()
    options.parquet = options.parquet or shared_data() / "mp_structures.parquet"
    n_rows = pq.read_metadata(options.parquet).num_rows
    starts = list(range(0, n_rows, CHUNK))
    if options.limit is not None:
        starts = starts[:: max(1, n_rows // max(1, options.limit))]
    tasks = [(str(options.parquet), start, min(start + CHUNK, n_rows), options.matcher_only) for start in starts]
    begin = time.perf_counter()
    parts = []
    with ProcessPoolExecutor(max_workers=options.processes) as pool:
        for done, part in enumerate(pool.map(measure_chunk, tasks), start=1):
            parts.append(part)
            if done % 20 == 0:
                print(f"{done} of {len(tasks)} chunks, {time.perf_counter() - begin:.0f} s", flush=True)
    report(parts, time.perf_counter() - begin, options.output)


if __name__ == "__main__":
    main()
