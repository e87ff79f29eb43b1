"""Measure novelty: time of a query, and agreement with StructureMatcher asked about every pair of one formula.

    python benchmarks/bench_novelty.py [DATA] [--reference reference.parquet] [--queries 2000] [--no-geometry]

Queries are published samples of two generative models, unrelaxed, and known crystals that were deformed. The truth
about the samples is StructureMatcher with its default tolerances, asked about every crystal of the table with the
sample's reduced formula; a deformed crystal is known by construction. ``--no-geometry`` forgets all x, so that gene
and fingerprint decide alone. Times are CPU seconds of one process.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
from machine import describe_machine, shared_data
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.errors import RepresentationError
from genmat.reference.crystals import CrystalColumns
from genmat.reference.formula import reduced_formula
from genmat.reference.io import load_reference
from genmat.representation import from_structure, gene
from genmat.screening.identity import Description, describe, is_same_crystal, reduce_structure
from genmat.screening.novelty import NoveltyIndex

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genmat.reference.table import Reference

SAMPLES = ("peers/crystalformer_mp20.parquet", "peers/wyformer_diffcsppp_mp20.parquet")
COLUMNS = ["lattice", "species", "frac_coords"]
STRAIN, DISPLACEMENT, VOLUME = 0.02, 0.05, 0.05
"""Largest strain, standard deviation of displacements (Å) and largest change of volume of a deformed crystal."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the index said about some queries.

    Parameters
    ----------
    found
        Known according to the index.
    tests
        How often each kind of evidence decided.
    describing, querying
        Seconds a query for its description (gene, fingerprint), and in the index.
    """

    found: np.ndarray
    tests: Counter[str]
    describing: np.ndarray
    querying: np.ndarray


def structures(path: Path) -> Iterator[Structure]:
    """Yield the structures of a table."""
    for batch in pq.ParquetFile(path).iter_batches(columns=COLUMNS):
        for row in batch.to_pylist():
            yield to_structure(row)


def to_structure(row: dict[str, list[float]]) -> Structure:
    """Return the structure of a row."""
    return Structure(
        Lattice(np.reshape(row["lattice"], (3, 3))), row["species"], np.reshape(row["frac_coords"], (-1, 3))
    )


def describe_fully(structure: Structure) -> Description:
    """Return the description of a structure with its gene, in the cell that the symmetry search finds."""
    try:
        return describe(structure, gene=gene(from_structure(structure)))
    except RepresentationError:
        return describe(structure, gene="")


def ask(index: NoveltyIndex, queries: list[Structure]) -> Outcome:
    """Return what the index says about every query."""
    found, tests = np.zeros(len(queries), dtype=bool), Counter[str]()
    describing, querying = np.zeros(len(queries)), np.zeros(len(queries))
    for place, structure in enumerate(queries):
        start = time.process_time()
        description = describe_fully(structure)
        description.find_fingerprint()
        describing[place] = time.process_time() - start
        start = time.process_time()
        match = index.find(description)
        querying[place] = time.process_time() - start
        found[place] = match is not None
        if match is not None:
            tests[match.evidence.value] += 1
    return Outcome(found, tests, describing, querying)


def truth(table: Path, queries: list[Structure]) -> np.ndarray:
    """Return which queries the matcher finds among all crystals of their formula in the table, shape (n,)."""
    columns = pq.read_table(table, columns=["formula"])
    rows_of: dict[str, list[int]] = {}
    for row, formula in enumerate(columns["formula"].to_pylist()):
        rows_of.setdefault(formula, []).append(row)
    wanted = [rows_of.get(reduced_formula(structure.composition), []) for structure in queries]
    rows = sorted({row for group in wanted for row in group})
    place = {row: index for index, row in enumerate(rows)}
    needed = pq.read_table(table, columns=COLUMNS).take(rows).to_pylist()
    reduced = [reduce_structure(to_structure(row)) for row in needed]
    known = np.zeros(len(queries), dtype=bool)
    for query, group in enumerate(wanted):
        if group:
            cell = reduce_structure(queries[query])
            known[query] = any(is_same_crystal(cell, reduced[place[row]]) for row in group)
    return known


def deformed(table: Path, n_crystals: int, *, seed: int) -> list[Structure]:
    """Return random crystals of the table, strained, rattled and with another volume."""
    random = np.random.default_rng(seed)
    n_rows = pq.ParquetFile(table).metadata.num_rows
    rows = np.sort(random.choice(n_rows, size=n_crystals, replace=False))
    result = []
    for row in pq.read_table(table, columns=COLUMNS).take(rows).to_pylist():
        structure = to_structure(row)
        strain = np.eye(3) + random.uniform(-STRAIN, STRAIN, (3, 3))
        cell = Structure(Lattice(structure.lattice.matrix @ strain), structure.species, structure.frac_coords)
        cell.scale_lattice(cell.volume * random.uniform(1 - VOLUME, 1 + VOLUME))
        shifts = random.normal(0.0, DISPLACEMENT, (len(cell), 3))
        result.append(Structure(cell.lattice, cell.species, cell.cart_coords + shifts, coords_are_cartesian=True))
    return result


def without_geometry(reference: Reference) -> Reference:
    """Return the reference without any x."""
    return replace(reference, crystal_rows=np.empty(0, np.int32), crystals=CrystalColumns.from_crystals([]))


def report(name: str, outcome: Outcome) -> None:
    """Print times and kinds of evidence."""
    querying, describing = outcome.querying * 1e3, outcome.describing * 1e3
    print(f"{name}: {len(outcome.found)} queries, {outcome.found.sum()} known {dict(outcome.tests)}")
    slowest = np.quantile(querying, 0.99)
    print(f"  index: mean {querying.mean():.2f} ms, median {np.median(querying):.3f} ms, 99 % {slowest:.1f} ms")
    print(f"  gene and fingerprint of the query itself: mean {describing.mean():.1f} ms")


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("data", type=Path, nargs="?", help="folder of mp_structures.parquet and peers/")
    parser.add_argument("--reference", type=Path, default=None, help="reference file; default: the packaged one")
    parser.add_argument("--queries", type=int, default=2000, help="samples of the generative models")
    parser.add_argument("--deformed", type=int, default=500, help="deformed known crystals")
    parser.add_argument("--no-geometry", action="store_true", help="let gene and fingerprint decide alone")
    arguments = parser.parse_args()
    arguments.data = arguments.data or shared_data()
    warnings.filterwarnings("ignore")
    print(describe_machine())

    reference = load_reference(arguments.reference)
    if arguments.no_geometry:
        reference = without_geometry(reference)
    index = NoveltyIndex(reference)
    print(f"{len(index):,} known crystals, {len(reference.crystals):,} of them with geometry")

    table = arguments.data / "mp_structures.parquet"
    samples = [cell.get_primitive_structure() for name in SAMPLES for cell in structures(arguments.data / name)]
    samples = samples[:: max(1, len(samples) // arguments.queries)]
    outcome = ask(index, samples)
    report("samples of generative models", outcome)
    known = truth(table, samples)
    both = int((known & outcome.found).sum())
    print(
        f"  the matcher knows {known.sum()}; recall {both / max(1, known.sum()):.3f}, "
        f"precision {both / max(1, outcome.found.sum()):.3f}"
    )
    formulas = set(reference.formulas)
    share = np.mean([item in formulas for item in _formulas(samples)])
    print(f"  samples whose formula is known: {share:.0%}")

    changed = ask(index, deformed(table, arguments.deformed, seed=0))
    report("deformed known crystals", changed)
    print(f"  recall {changed.found.mean():.3f}")


def _formulas(samples: list[Structure]) -> list[str]:
    return [reduced_formula(structure.composition) for structure in samples]


if __name__ == "__main__":
    main()
