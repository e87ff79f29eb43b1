"""Measure geometry starts: how near they are to crystals of chemical systems that the library does not hold.

    python benchmarks/bench_starts.py [DATA] [--targets 300] [--split test] [--output starts.json]

Targets are random crystals of one split (by chemical system) of the table, at most 0.1 eV/atom above the source's hull
and of at most 20 atoms. The library forgets the geometry of every crystal of that split, so that what it knows of
similarity and volume does not come from there either. From the gene of each target come template starts, and random
ones at the volume that the library expects; none is relaxed. A start matches where StructureMatcher (stol 0.5,
angle_tol 10, ltol 0.3) says so. Times are seconds of one process.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from heldout import near_hull, split_rows, targets, without_split
from machine import describe_machine
from pymatgen.analysis.structure_matcher import StructureMatcher

from genmat.generation.library import TemplateLibrary, template_library
from genmat.generation.random_start import random_start
from genmat.generation.starts import template_starts
from genmat.reference.entries import ATOMIC_NUMBERS
from genmat.reference.io import load_reference
from genmat.representation import gene, to_structure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core.structure import Structure

    from genmat.representation import Crystal

BEST_OF = 3
DOF_CLASSES = ((0, 0), (1, 2), (3, 5), (6, 10), (11, 999))
"""Least and largest number of free coordinates of the rows of the report."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out for one target.

    Parameters
    ----------
    material_id, gene
        Of the target.
    degrees_of_freedom
        Its free coordinates.
    sources
        Known crystals that the starts come from, the best first.
    template_matches, random_matches
        Whether each start matches the target.
    volume_ratio
        Volume of the best template start over the target's; ``None`` without one.
    composition_volume_ratio
        The same for the volume that the composition alone suggests.
    template_seconds, random_seconds
        For one template start, and for one random start.
    """

    material_id: str
    gene: str
    degrees_of_freedom: int
    sources: list[str]
    template_matches: list[bool]
    random_matches: list[bool]
    volume_ratio: float | None
    composition_volume_ratio: float
    template_seconds: float
    random_seconds: float


def measure(library: TemplateLibrary, name: str, structure: Structure, crystal: Crystal, *, seed: int) -> Outcome:
    """Return the outcome for one target."""
    matcher = StructureMatcher(stol=0.5, angle_tol=10, ltol=0.3)
    occupations = [(orbit.element, orbit.letter) for orbit in crystal.orbits]
    begin = time.perf_counter()
    template_starts(crystal.number, occupations, library=library)
    one = time.perf_counter() - begin
    starts = template_starts(crystal.number, occupations, library=library, n=BEST_OF)
    expected = library.volume.volume_per_atom([(ATOMIC_NUMBERS[e], n) for e, n in crystal.element_counts.items()])
    rng = np.random.default_rng(seed)
    begin = time.perf_counter()
    drawn = [random_start(crystal.number, occupations, rng=rng, volume_per_atom=expected) for _ in range(BEST_OF)]
    random = (time.perf_counter() - begin) / BEST_OF
    return Outcome(
        material_id=name,
        gene=gene(crystal),
        degrees_of_freedom=crystal.degrees_of_freedom,
        sources=[start.source for start in starts],
        template_matches=[bool(matcher.fit(structure, to_structure(start.crystal))) for start in starts],
        random_matches=[item is not None and bool(matcher.fit(structure, to_structure(item))) for item in drawn],
        volume_ratio=starts[0].crystal.volume / crystal.volume if starts else None,
        composition_volume_ratio=expected * crystal.n_atoms / crystal.volume,
        template_seconds=one,
        random_seconds=random,
    )


def report(title: str, outcomes: Sequence[Outcome]) -> None:
    """Print one row of the table."""
    n = len(outcomes)
    if not n:
        return
    held = [o for o in outcomes if o.sources]
    best = sum(o.template_matches[0] for o in held)
    best_of = sum(any(o.template_matches) for o in held)
    random = sum(o.random_matches[0] for o in outcomes)
    random_best_of = sum(any(o.random_matches) for o in outcomes)
    print(
        f"{title:>24} {n:8d} {len(held):8d} {best:7d} ({best / max(1, len(held)):4.0%}) {best_of:7d} "
        f"({best_of / max(1, len(held)):4.0%}) {random:8d} ({random / n:4.0%}) {random_best_of:7d} "
        f"({random_best_of / n:4.0%})"
    )


def report_volumes(title: str, ratios: Sequence[float]) -> None:
    """Print how near some volumes are."""
    error = np.abs(np.asarray(ratios) - 1.0)
    print(
        f"{title}: mean error {error.mean():.1%}, median {np.median(error):.1%}, 90 % within "
        f"{np.quantile(error, 0.9):.1%}, mean ratio {np.mean(ratios):.3f}"
    )


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("data", type=Path, nargs="?", help="folder of mp_structures.parquet")
    parser.add_argument("--targets", type=int, default=300, help="crystals to predict")
    parser.add_argument("--split", default="test", choices=("val", "test"), help="split that the targets are from")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice of targets and of random starts")
    parser.add_argument("--output", type=Path, default=None, help="file for the outcomes, one JSON list")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    print(describe_machine())

    rows = split_rows(arguments.split, arguments.data)
    near = near_hull(rows)
    library = template_library(without_split(load_reference(), {row["material_id"] for row in rows}))
    template_starts(225, [("Na", "a"), ("Cl", "b")], library=library)  # builds the index
    chosen = targets(near, arguments.targets, seed=arguments.seed)
    print(f"{len(library):,} templates, {len(chosen)} of {len(near):,} targets of the {arguments.split} split")
    outcomes = [measure(library, *target, seed=arguments.seed + i) for i, target in enumerate(chosen)]

    print(f"{'free coordinates':>24} {'targets':>8} {'template':>8} {'matches':>14} {f'best of {BEST_OF}':>14} "
          f"{'random':>15} {f'best of {BEST_OF}':>14}")  # fmt: skip
    for low, high in DOF_CLASSES:
        title = f"{low}" if low == high else f"{low} to {high}" if high < DOF_CLASSES[-1][1] else f"{low} and more"
        report(title, [o for o in outcomes if low <= o.degrees_of_freedom <= high])
    report("all", outcomes)
    report("with a template", [o for o in outcomes if o.sources])
    report_volumes("volume of the best template start", [o.volume_ratio for o in outcomes if o.volume_ratio])
    report_volumes("volume of the composition alone", [o.composition_volume_ratio for o in outcomes])
    print(f"one template start {1e3 * np.mean([o.template_seconds for o in outcomes]):.2f} ms, "
          f"one random start {1e3 * np.mean([o.random_seconds for o in outcomes]):.2f} ms")  # fmt: skip
    if arguments.output is not None:
        arguments.output.write_text(json.dumps([asdict(o) for o in outcomes], indent=1) + "\n")


if __name__ == "__main__":
    main()
