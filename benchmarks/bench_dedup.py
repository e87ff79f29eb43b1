"""Measure uniqueness: 100,000 crystals with known copies, against StructureMatcher grouped by formula.

    python benchmarks/bench_dedup.py [--structures 100000] [--sample 0.04] [--pairs 2000]

The crystals are all of the shared table; the rest are copies of random ones in another cell, of these half deformed
(strain up to 2 %, volume up to 5 %, atoms moved by 0.05 Å), half exact. Everything that a draw needs is counted,
fingerprints and reduced cells included. StructureMatcher (``group_structures`` of each formula, default tolerances) is
asked about all crystals of a random share of the formulas; genmat is timed on the same ones with the compiled code that
it takes for 100,000, loaded before, then on all, as it comes. Times are CPU seconds of one process.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from bench_novelty import COLUMNS, to_structure
from machine import describe_machine, shared_data
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.reference.fingerprint import fingerprint
from genmat.screening.identity import describe, describe_disordered, is_same_cell, substitutes
from genmat.screening.matching import reduce_cell
from genmat.screening.uniqueness import Candidate, KnownDraws, find_duplicates

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from genmat.screening.uniqueness import Duplicate

CELLS = ([[1, 1, 0], [0, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1], [0, 0, 1]], [[1, 0, 1], [0, 1, 0], [1, 0, 2]])
"""Other cells of one lattice."""


def copy_of(structure: Structure, dice: np.random.Generator, *, deformed: bool) -> Structure:
    """Return a crystal in another cell, origin and order of atoms, deformed if asked for."""
    matrix = structure.lattice.matrix
    if deformed:
        strain = dice.uniform(-0.02, 0.02, (3, 3))
        matrix = matrix @ (np.eye(3) + 0.5 * (strain + strain.T)) * dice.uniform(0.95, 1.05) ** (1.0 / 3.0)
    order = dice.permutation(len(structure))
    species = [structure[int(index)].specie for index in order]
    copied = Structure(Lattice(matrix), species, structure.frac_coords[order] + dice.random(3))
    copied.make_supercell(CELLS[int(dice.integers(len(CELLS)))])
    if deformed:
        moves = dice.normal(0.0, 0.05 / np.sqrt(3.0), (len(copied), 3))
        copied = Structure(copied.lattice, copied.species, copied.cart_coords + moves, coords_are_cartesian=True)
    return copied


def draws(number: int, *, folder: Path) -> tuple[list[Candidate], dict[str, str]]:
    """Return the draws, and of which one each copy is made."""
    rows = pq.read_table(folder / "mp_structures.parquet", columns=COLUMNS).to_pylist()
    found = [to_structure(row) for row in rows[:number]]
    originals = len(found)
    dice, truth = np.random.default_rng(0), {}
    for index in range(originals, number):
        origin = int(dice.integers(originals))
        found.append(copy_of(found[origin], dice, deformed=bool(index % 2)))
        truth[f"{index:06d}"] = f"{origin:06d}"
    return [Candidate(f"{k:06d}", (0, k), describe(item, gene="")) for k, item in enumerate(found)], truth


def fresh(chosen: Iterable[Candidate]) -> list[Candidate]:
    """Return the same draws with nothing computed yet."""
    return [Candidate(c.id, c.order, describe(c.description.structure, gene="")) for c in chosen]


def root_of(identifier: str, found: dict[str, Duplicate | None]) -> str:
    """Return the first draw of an equivalence class."""
    duplicate = found[identifier]
    return identifier if duplicate is None else duplicate.id


def compare_pairs(table: list[Candidate], number: int, *, disordered: bool) -> None:
    """Ask both tests about random pairs of one formula, disordered ones with elements that substitute as one."""
    formulas: dict[str, list[Candidate]] = {}
    for item in table:
        formulas.setdefault(item.description.formula, []).append(item)
    several = [group for group in formulas.values() if len(group) > 1 and (not disordered or may_mix(group[0]))]
    dice, judge = random.Random(1), StructureMatcher()  # noqa: S311
    counts: dict[tuple[bool, bool], int] = {}
    for _ in range(number):
        one, other = (item.description.structure for item in dice.sample(dice.choice(several), 2))
        if disordered:
            one, other = (describe_disordered(structure).structure for structure in (one, other))
        cells = reduce_cell(one, compiled=True), reduce_cell(other, compiled=True)
        key = judge.fit(one, other), is_same_cell(*cells, compiled=True)
        counts[key] = counts.get(key, 0) + 1
    both, only_judge, only_ours = (counts.get(key, 0) for key in ((True, True), (True, False), (False, True)))
    kind = "disordered" if disordered else "ordered"
    print(
        f"{number} {kind} pairs of one formula: the matcher calls {both + only_judge} the same; "
        f"recall {both / max(1, both + only_judge):.4f}, precision {both / max(1, both + only_ours):.4f}"
    )


def load_compiled(structure: Structure) -> None:
    """Call each piece of compiled code once."""
    cell = reduce_cell(structure, compiled=True)
    is_same_cell(cell, cell, compiled=True)
    fingerprint(structure, compiled=True)


def may_mix(item: Candidate) -> bool:
    """Return whether a crystal has elements that substitute for each other."""
    symbols = sorted({site.specie.symbol for site in item.description.structure})
    return len(substitutes(symbols)) < len(symbols)


def main() -> None:
    """Print times, recall and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--structures", type=int, default=100_000)
    parser.add_argument("--sample", type=float, default=0.04, help="share of the formulas that the matcher judges")
    parser.add_argument("--pairs", type=int, default=2000, help="pairs that both tests judge")
    arguments = parser.parse_args()
    print(describe_machine(), f"load {os.getloadavg()[0]:.1f}", sep="; ", flush=True)
    table, truth = draws(arguments.structures, folder=shared_data())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{len(table):,} crystals, {len(truth):,} of them copies; {memory:.2f} GiB before anything is compared",
        flush=True,
    )

    formulas = sorted({item.description.formula for item in table})
    chosen = set(random.Random(0).sample(formulas, round(arguments.sample * len(formulas))))  # noqa: S311
    sample = [item for item in table if item.description.formula in chosen]
    _, seconds = timed(load_compiled, table[0].description.structure)
    print(f"compiled code loaded in {seconds:.1f} s, or compiled if it was not yet on this machine", flush=True)
    known = KnownDraws(compiled=True)
    ours, our_time = timed(lambda draws: {draw.id: known.add(draw) for draw in draws}, fresh(sample))
    print(f"{len(sample):,} crystals of {len(chosen):,} formulas: genmat {our_time:.2f} s", flush=True)
    groups: dict[str, list[Candidate]] = {}
    for item in sample:
        groups.setdefault(item.description.formula, []).append(item)
    theirs: dict[str, str] = {}

    def judge() -> None:
        matcher = StructureMatcher()
        for group in groups.values():
            names = {id(item.description.structure): item.id for item in group}
            for same in matcher.group_structures([item.description.structure for item in group]):
                first = min(names[id(structure)] for structure in same)
                theirs.update({names[id(structure)]: first for structure in same})

    _, their_time = timed(judge)
    print(f"StructureMatcher, grouped by formula: {their_time:.1f} s; ratio {their_time / our_time:.1f}", flush=True)
    repeats = {name for name, first in theirs.items() if name != first}
    found = {name for name, duplicate in ours.items() if duplicate is not None}
    print(
        f"the matcher finds {len(repeats)} repeats; recall {len(repeats & found) / max(1, len(repeats)):.4f}, "
        f"precision {len(repeats & found) / max(1, len(found)):.4f}",
        flush=True,
    )
    compare_pairs(table, arguments.pairs, disordered=False)
    compare_pairs(table, arguments.pairs, disordered=True)

    result, seconds = timed(find_duplicates, fresh(table))
    hit = sum(root_of(copy, result) == root_of(origin, result) for copy, origin in truth.items())
    known = sum(result[copy] is not None for copy in truth)
    print(
        f"all {len(table):,}: {seconds:.1f} s, {1000 * seconds / len(table):.3f} ms a crystal; of the copies "
        f"{known / max(1, len(truth)):.4f} are found, {hit / max(1, len(truth)):.4f} with their original; "
        f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"
    )


def timed(action: Any, *arguments: Any) -> tuple[Any, float]:
    """Return a result and the CPU seconds that it took."""
    start = time.process_time()
    result = action(*arguments)
    return result, time.process_time() - start


if __name__ == "__main__":
    main()
