"""Measure hulls of the reference: time of a query, and the largest difference from pymatgen's phase diagrams.

    python benchmarks/bench_hull.py [--reference reference.parquet] [--systems 60] [--candidates 100000] [--seed 0]

Times are CPU seconds of one process, for later queries the median. The comparison takes random chemical systems of two
to six elements that hold at least one compound. Many candidates: compositions of random crystals of the reference with
energies moved at random; pymatgen judges a random sample of them, each chemical system's diagram built once for all of
its candidates in the sample, entries looked up beforehand.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from machine import describe_machine, keep
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core.composition import Composition

from genmat.reference.entries import system_name, system_numbers
from genmat.reference.hull import Hull
from genmat.reference.io import load_reference

if TYPE_CHECKING:
    from collections.abc import Callable

N_WARM = 200
QUERIES = ["Li", "Fe", "P", "O", "Mn", "Co", "Na", "S"]


def seconds(function: Callable[[], object]) -> float:
    """Return the CPU time of one call, s."""
    start = time.process_time()
    function()
    return time.process_time() - start


def random_systems(hull: Hull, n_systems: int, *, seed: int) -> list[int]:
    """Return chemical systems that are the union of two random compounds' systems, of at most six elements."""
    random = np.random.default_rng(seed)
    compounds = sorted({fractions.key for fractions in hull.entries.compositions if len(fractions.numbers) > 1})
    chosen: list[int] = []
    while len(chosen) < n_systems:
        left, right = (compounds[i] for i in random.integers(len(compounds), size=2))
        key = left if len(chosen) % 2 else left | right
        if key.bit_count() <= 6:
            chosen.append(key)
    return chosen


def compare(hull: Hull, systems: list[int]) -> tuple[float, float, float]:
    """Return the largest difference from pymatgen (eV/atom), its time and ours (s) over some chemical systems."""
    keys = [fractions.key for fractions in hull.entries.compositions]
    worst = theirs = ours = 0.0
    for system in systems:
        rows = [row for row, key in enumerate(keys) if key & ~system == 0]
        compositions = [Composition(hull.entries.formulas[row]) for row in rows]
        energies = hull.entries.energies[rows]
        entries = [PDEntry(c, e * c.num_atoms) for c, e in zip(compositions, energies, strict=True)]
        start = time.process_time()
        diagram = PhaseDiagram(entries)
        expected = np.array([diagram.get_e_above_hull(entry) for entry in entries])
        theirs += time.process_time() - start
        start = time.process_time()
        found = hull.energies_above_hull(compositions, energies, scale=hull.scale)
        ours += time.process_time() - start
        difference = float(np.abs(found - expected).max())
        worst = max(worst, difference)
        if difference > 1e-9:
            print(f"  {system_name(system)}: differs by {difference:.2e} eV/atom")
    return worst, theirs, ours


def many_candidates(hull: Hull, fresh: Hull, n_candidates: int, n_pymatgen: int, *, seed: int) -> None:
    """Print what the distances of many candidates cost, and what pymatgen needs for a sample of them."""
    random = np.random.default_rng(seed)
    rows = random.integers(len(hull.entries), size=n_candidates)
    energies = hull.entries.energies[rows] + random.normal(0.0, 0.05, n_candidates)
    compositions = [Composition(hull.entries.formulas[row]) for row in rows]
    first = seconds(lambda: fresh.energies_above_hull(compositions, energies, scale=fresh.scale))
    later = seconds(lambda: fresh.energies_above_hull(compositions, energies, scale=fresh.scale))
    found = fresh.energies_above_hull(compositions, energies, scale=fresh.scale)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "facets.sqlite"
        again = [Hull(hull.entries, scale=hull.scale).with_cache(file) for _ in range(2)]
        write, read = (
            seconds(lambda cached=cached: cached.energies_above_hull(compositions, energies, scale=cached.scale))
            for cached in again
        )
        size = file.stat().st_size / 2**20
    n_systems = len({hull.entries.compositions[row].key for row in rows})
    print(f"{n_candidates:,} candidates in {n_systems:,} chemical systems")
    print(f"  genmat, every facet computed: {first:.1f} s, {first / n_candidates * 1e6:.0f} µs each")
    print(f"  genmat, every facet computed and written: {write:.1f} s, {write / n_candidates * 1e6:.0f} µs each")
    print(f"  genmat, facets on disk ({size:.0f} MiB): {read:.1f} s, {read / n_candidates * 1e6:.0f} µs each")
    print(f"  genmat, facets at hand: {later:.2f} s, {later / n_candidates * 1e6:.1f} µs each")

    keys = [fractions.key for fractions in hull.entries.compositions]
    building = asking = worst = 0.0
    sample = random.choice(n_candidates, size=min(n_pymatgen, n_candidates), replace=False)
    by_system: dict[int, list[int]] = {}
    for candidate in sample.tolist():
        by_system.setdefault(keys[rows[candidate]], []).append(candidate)
    for system, candidates in by_system.items():
        inside = [row for row, key in enumerate(keys) if key & ~system == 0]
        known = [Composition(hull.entries.formulas[row]) for row in inside]
        entries = [PDEntry(c, hull.entries.energies[row] * c.num_atoms) for row, c in zip(inside, known, strict=True)]
        start = time.process_time()
        diagram = PhaseDiagram(entries)
        building += time.process_time() - start
        judged = [PDEntry(compositions[k], energies[k] * compositions[k].num_atoms) for k in candidates]
        start = time.process_time()
        expected = [diagram.get_e_above_hull(entry, allow_negative=True) for entry in judged]
        asking += time.process_time() - start
        worst = max(worst, float(np.abs(found[candidates] - expected).max()))
    theirs, ask = (building + asking) / len(sample), asking / len(sample)
    print(f"  pymatgen, {len(sample)} of them: {theirs * 1e3:.2f} ms each, diagrams at hand {ask * 1e3:.3f} ms each")
    print(
        f"  ratio: {theirs / first * n_candidates:.0f} with facets and diagrams to be computed, "
        f"{theirs / read * n_candidates:.0f} with facets on disk"
    )
    print(
        f"  ratio: {ask / later * n_candidates:.0f} with both at hand, "
        f"{theirs / later * n_candidates:.0f} with facets at hand"
    )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"  largest difference {worst:.1e} eV/atom; peak memory {memory:.2f} GiB, pymatgen and the reference included"
    )
    keep(
        "hull",
        {
            "candidates": n_candidates,
            "chemical_systems": n_systems,
            "genmat_seconds": {"computed": first, "computed_and_written": write, "on_disk": read, "at_hand": later},
            "pymatgen_seconds": {"candidates": len(sample), "diagrams": building, "asking": asking},
            "largest_difference_ev_per_atom": worst,
            "peak_memory_gib": memory,
        },
    )


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--reference", type=Path, default=None, help="reference file; default: the packaged one")
    parser.add_argument("--systems", type=int, default=60, help="chemical systems to compare with pymatgen")
    parser.add_argument("--candidates", type=int, default=100_000, help="candidates that are judged together")
    parser.add_argument("--pymatgen", type=int, default=400, help="of these, judged by pymatgen too")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message="No Pauling electronegativity")
    print(describe_machine())

    loading = seconds(lambda: load_reference(arguments.reference))
    reference = load_reference(arguments.reference)
    print(f"reference of {len(reference):,} crystals loaded in {loading:.2f} s")
    building = seconds(reference.hull)
    hull = reference.hull()
    print(f"hull of {len(hull.entries):,} entries indexed in {building:.2f} s")

    for size in range(2, len(QUERIES) + 1):
        composition = Composition(dict.fromkeys(QUERIES[:size], 1))
        fresh = reference.hull()
        first = seconds(lambda fresh=fresh, c=composition: fresh.energy_above_hull(c, -4.0, scale=fresh.scale))
        later = [
            seconds(lambda c=composition: hull.energy_above_hull(c, -4.0, scale=hull.scale)) for _ in range(N_WARM)
        ]
        print(f"{'-'.join(QUERIES[:size])}: first query {first * 1e3:.1f} ms, later {np.median(later) * 1e6:.1f} µs")

    many = [Composition(dict.fromkeys(pair, 1)) for pair in combinations(QUERIES, 4)] * 20
    hull.energies_above_hull(many, np.zeros(len(many)), scale=hull.scale)
    batch = seconds(lambda: hull.energies_above_hull(many, np.zeros(len(many)), scale=hull.scale))
    print(f"batch of {len(many)}: {batch / len(many) * 1e6:.1f} µs a crystal")
    everything = seconds(reference.hull().entries_above_hull)
    print(f"distances of all {len(hull.entries):,} entries to their own hull, from scratch: {everything:.1f} s")

    many_candidates(hull, reference.hull(), arguments.candidates, arguments.pymatgen, seed=arguments.seed)

    systems = random_systems(hull, arguments.systems, seed=arguments.seed)
    largest = max(systems, key=lambda key: key.bit_count())
    print(f"{len(systems)} random systems, the largest of {len(system_numbers(largest))} elements")
    worst, theirs, ours = compare(hull, systems)
    print(f"largest difference from pymatgen {worst:.1e} eV/atom; pymatgen {theirs:.1f} s, genmat {ours:.1f} s")


if __name__ == "__main__":
    main()
