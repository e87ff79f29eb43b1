"""Measure identity at a million: draws of one job in memory, and look-ups across campaigns in a private ``mongod``.

    python benchmarks/bench_identity.py memory [--number 1000000]
    python benchmarks/bench_identity.py database [--number 1000000] [--campaigns 20] [--crystals 4000] [--queries 500]

``memory``: the crystals of the shared table are drawn one after the other, again and again until there are so many
draws, and looked for among the firsts, with nothing of a draw computed before. ``database``: candidates of several
campaigns, 5 % of them accepted, each one of some crystals of the table; what is timed is
``genmat.database.sightings.sightings``, as ``genmat why`` and the page of a candidate ask.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from contextlib import closing
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pyarrow.parquet as pq
from bench_novelty import COLUMNS, to_structure
from machine import describe_machine, shared_data

from genmat.database.connection import open_session
from genmat.database.documents import CandidateDocument, CandidateStatus, StructureDocument
from genmat.database.sightings import sightings
from genmat.database.store import connect
from genmat.screening.identity import describe
from genmat.screening.uniqueness import Candidate, KnownDraws
from genmat.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH, REPORT = 5000, 100_000


def measure_memory(number: int) -> None:
    """Look for a million draws among the firsts of their formula."""
    rows = pq.read_table(shared_data() / "mp_structures.parquet", columns=COLUMNS).to_pylist()
    crystals = [to_structure(row) for row in rows]
    del rows
    known, seconds, firsts = KnownDraws(compiled=True), 0.0, 0
    for index in range(number):
        draw = Candidate(f"{index:07d}", (0, index), describe(crystals[index % len(crystals)], gene=""))
        start = time.process_time()
        firsts += known.add(draw) is None
        seconds += time.process_time() - start
        if not (index + 1) % REPORT:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(
                f"{index + 1:,} draws, {firsts:,} firsts: {seconds:.1f} s of processor time, "
                f"{1e3 * seconds / (index + 1):.3f} ms a draw; peak memory {peak:.2f} GiB",
                flush=True,
            )


def documents(
    number: int, crystals: list[StructureDocument], *, campaigns: int
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Yield candidates, each with a random one of the crystals; one in twenty accepted, with its own structure."""
    dice = np.random.default_rng(1)
    common = CandidateDocument(
        id="0", campaign="0", round=0, index=0, generator="template", generator_hash="bench", seed=1, stage="rank"
    ).to_mongo()
    stored = [crystal.to_mongo() for crystal in crystals]
    for index, place, share in zip(
        range(number), dice.integers(len(crystals), size=number), dice.random(number), strict=True
    ):
        crystal, accepted = crystals[place], share < 0.05
        structure = stored[place] | {"_id": f"relaxed-{index:032x}"} if accepted else None
        candidate = common | {
            "_id": f"{index:032x}",
            "campaign": f"campaign-{index % campaigns:03d}",
            "index": index // campaigns,
            "status": (CandidateStatus.ACCEPTED if accepted else CandidateStatus.REJECTED).value,
            "formula_pretty": crystal.formula_pretty,
            "chemsys": crystal.chemsys,
            "nsites": crystal.nsites,
            "relaxed_structure_id": structure["_id"] if structure else crystal.id,
        }
        yield candidate, structure


def measure_database(number: int, *, campaigns: int, crystals: int, queries: int) -> None:
    """Ask which other campaigns accepted random candidates."""
    table = pq.read_table(shared_data() / "mp_structures.parquet", columns=COLUMNS)
    chosen = np.random.default_rng(0).choice(len(table), size=crystals, replace=False)
    pool = [
        StructureDocument.from_structure(to_structure(row), identifier=f"{place:032x}")
        for place, row in enumerate(table.take(chosen).to_pylist())
    ]
    with tempfile.TemporaryDirectory(prefix="genmat-bench-") as folder:
        settings = Settings(data_folder=Path(folder) / "data", mongod_idle=5.0)
        start = time.perf_counter()
        with closing(open_session(settings, read_only=False)) as session:
            for batch in batched(documents(number, pool, campaigns=campaigns), BATCH):
                session.insert("candidates", [candidate for candidate, _ in batch])
                session.insert("structures", [structure for _, structure in batch if structure])
            written = time.perf_counter() - start
            with connect(settings) as store:  # creates the indexes
                indexed = time.perf_counter() - start
                print(f"{number:,} candidates written in {written:.0f} s, {indexed:.0f} s with indexes", flush=True)
                store.structures.insert_if_absent(pool)
                ask(store, number, queries=queries)
            sizes = session.run(lambda database: database.command("collStats", "candidates"))
            index = sizes["indexSizes"]["formula_pretty_1_status_1_campaign_1__id_1"]
            print(
                f"documents {sizes['size'] / 2**20:.0f} MiB ({sizes['storageSize'] / 2**20:.0f} on disk), all "
                f"{len(sizes['indexSizes'])} indexes {sizes['totalIndexSize'] / 2**20:.0f} MiB, that of look-ups "
                f"{index / 2**20:.0f} MiB; mongod holds {server_memory(folder):.2f} GiB"
            )


def ask(store: Any, number: int, *, queries: int) -> None:
    """Print how long look-ups take, the first ones and all."""
    identifiers = [f"{int(k):032x}" for k in np.random.default_rng(2).integers(number, size=queries)]
    times, worked, found = [], [], []
    print(f"{store.structures.count():,} structures; load {os.getloadavg()[0]:.1f}", flush=True)
    for identifier in identifiers:
        candidate = store.candidates.require(identifier)
        start, before = time.perf_counter(), time.process_time()
        found.append(len(sightings(store, candidate)))
        times.append(1e3 * (time.perf_counter() - start))
        worked.append(1e3 * (time.process_time() - before))
    p50, p95, p99 = np.percentile(times[1:], (50, 95, 99))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{queries} look-ups: first {times[0]:.0f} ms, then p50 {p50:.1f} ms, p95 {p95:.1f} ms, p99 {p99:.1f} ms, "
        f"the client's processor {np.median(worked[1:]):.1f} ms at the median; "
        f"{np.mean(found):.1f} sightings each, {max(found)} at most; the client's peak memory {peak:.2f} GiB"
    )


def server_memory(folder: str) -> float:
    """Return what the private server of a folder holds, GiB."""
    held = 0
    for process in psutil.process_iter(["cmdline", "memory_info"]):
        words = process.info["cmdline"] or []
        if words and "mongod" in words[0] and any(folder in word for word in words):
            held += process.info["memory_info"].rss
    return held / 2**30


def main() -> None:
    """Measure one of the two, or both."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("part", nargs="?", choices=("memory", "database", "both"), default="both")
    parser.add_argument("--number", type=int, default=1_000_000, help="draws or candidates")
    parser.add_argument("--campaigns", type=int, default=20)
    parser.add_argument("--crystals", type=int, default=4000, help="that the candidates of all campaigns are")
    parser.add_argument("--queries", type=int, default=500)
    arguments = parser.parse_args()
    print(describe_machine(), f"load {os.getloadavg()[0]:.1f}", sep="; ", flush=True)
    if arguments.part != "database":
        measure_memory(arguments.number)
    if arguments.part != "memory":
        measure_database(
            arguments.number,
            campaigns=arguments.campaigns,
            crystals=arguments.crystals,
            queries=arguments.queries,
        )
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
