"""Relax real generated structures with genmat and with ASE + CHGNet's own StructOptimizer, in one run.

Both use every core, with one single-threaded process a core: the fair choice, as it is faster for the rival, too, than
one process with all threads. Both must meet genmat's criterion; the
rival stops at its own (largest row of forces and virial per atom below ``fmax``).

    python benchmarks/bench_relaxation.py [--structures N] [--fmax 0.05] [--file TABLE.parquet]

Structures: those that the template generator proposes for benchmarks/oxides.yaml, in draw order, or the crystals of a
table.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from machine import describe_machine

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

CAMPAIGN = Path(__file__).resolve().parent / "oxides.yaml"


def main() -> None:
    """Run both and print structures per hour."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", type=int, default=24)
    parser.add_argument("--fmax", type=float, default=0.05)
    parser.add_argument("--file", type=Path)
    options = parser.parse_args()
    workers = len(os.sched_getaffinity(0))
    print(describe_machine())
    structures = _from_table(options.file) if options.file else _proposed(options.structures)
    structures = structures[: options.structures]
    sizes = [len(structure) for structure in structures]
    extent = f"{min(sizes)} to {max(sizes)} atoms"
    print(f"{len(structures)} structures of {extent}, fmax {options.fmax} eV/Å, {workers} processes")
    ours, our_time = _ours(structures, fmax=options.fmax, workers=workers)
    theirs, their_time = _theirs(structures, fmax=options.fmax, workers=workers)
    both = [i for i in range(len(structures)) if ours[i][1] and theirs[i][1]]
    difference = np.array([ours[i][0] - theirs[i][0] for i in both]) * 1000
    for name, results, seconds in (("genmat", ours, our_time), ("ASE + StructOptimizer", theirs, their_time)):
        converged = sum(result[1] for result in results)
        steps = float(np.mean([result[2] for result in results]))
        rate = 3600 * len(structures) / seconds
        print(f"{name:>22}: {seconds:7.1f} s, {rate:8.0f} structures/h, {converged} converged, {steps:.0f} steps each")
    print(f"ratio: {their_time / our_time:.2f}")
    print(
        f"energy difference of the {len(both)} converged in both, meV/atom: median {np.median(difference):+.2f}, "
        f"within 5: {np.mean(np.abs(difference) < 5):.0%}, lower by more: {np.mean(difference < -5):.0%}, "
        f"higher by more: {np.mean(difference > 5):.0%}"
    )


def _proposed(n: int) -> list[Structure]:
    from genmat.campaign.io import load_campaign
    from genmat.generation.draw import DrawContext
    from genmat.generation.registry import get_generator
    from genmat.reference.io import load_reference

    campaign = load_campaign(CAMPAIGN)
    generator = get_generator("template", {}, reference=load_reference(), target=campaign.target)
    context = DrawContext(target=campaign.target, campaign="benchmark", round=0, seed=1)
    draws = generator.draw(range(n), context=context)
    return [draw.structure for draw in draws if draw.structure is not None]


def _from_table(path: Path) -> list[Structure]:
    from genmat.reference.sources.io import read_source

    return [crystal.structure().get_primitive_structure() for crystal in read_source(path)]


def _ours(structures: list[Structure], *, fmax: float, workers: int) -> tuple[list[tuple[float, bool, int]], float]:
    from genmat.models.pool import PotentialPool
    from genmat.models.protocol import RelaxProtocol

    named = {f"{number:06d}": structure for number, structure in enumerate(structures)}
    with PotentialPool("chgnet-0.3.0", workers=workers) as pool:
        list(pool.evaluate(structures[: 4 * workers]))  # start the processes and load the weights outside the clock
        start = time.perf_counter()
        found = dict(pool.relax(named, missing=set(named), protocol=RelaxProtocol(fmax=fmax, max_steps=500)))
        seconds = time.perf_counter() - start
    return [(found[name].energy_per_atom, found[name].converged, found[name].n_steps) for name in named], seconds


def _theirs(structures: list[Structure], *, fmax: float, workers: int) -> tuple[list[tuple[float, bool, int]], float]:
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_load_rival) as pool:
        list(pool.map(_relax_rival, [(structures[0], fmax, 1)] * workers))
        order = sorted(range(len(structures)), key=lambda i: -len(structures[i]))
        start = time.perf_counter()
        results = list(pool.map(_relax_rival, [(structures[i], fmax, 500) for i in order]))
        seconds = time.perf_counter() - start
    return [result for _, result in sorted(zip(order, results, strict=True))], seconds


_rival: list[object] = []


def _load_rival() -> None:
    import torch
    from chgnet.model.dynamics import StructOptimizer

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    _rival.append(StructOptimizer(use_device="cpu"))


def _relax_rival(task: tuple[Structure, float, int]) -> tuple[float, bool, int]:
    structure, fmax, steps = task
    outcome = _rival[0].relax(structure, fmax=fmax, steps=steps, verbose=False)
    trajectory = outcome["trajectory"]
    n_steps = len(trajectory.energies) - 1
    return trajectory.energies[-1] / len(structure), n_steps < steps, n_steps


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
