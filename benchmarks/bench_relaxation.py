"""Relax real generated structures with genmat and with ASE + CHGNet's own StructOptimizer, in one run.

On a CPU both use every core, with one single-threaded process a core: the fair choice, as it is faster for the rival,
too, than one process with all threads. On a GPU one process of genmat feeds it, and ``--rivals`` of the rival share it
(try several, its best counts). Both must meet genmat's criterion; the
rival stops at its own (largest row of forces and virial per atom below ``fmax``). The rival goes first and begins no
structure after ``--seconds``; genmat relaxes what the rival has relaxed, with as many steps at most.

    python benchmarks/bench_relaxation.py [--structures N] [--seconds 300] [--fmax 0.05] [--file TABLE.parquet]
    python benchmarks/bench_relaxation.py --device cuda --rivals 4 --structures 2000 --file SAMPLES.parquet

Structures: those that the template generator proposes for benchmarks/oxides.yaml, in draw order, or the crystals of a
table.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
from machine import describe_machine, keep

from genmat.models.potentials.devices import get_device

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

type Result = tuple[float, bool, int]
"""Energy (eV/atom), whether it converged, steps."""
STEPS = 300
"""Of either at most."""
CAMPAIGN = Path(__file__).resolve().parent / "oxides.yaml"


def main() -> None:
    """Run both and print structures per hour."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=300.0, help="after which the rival begins no structure")
    parser.add_argument("--fmax", type=float, default=0.05)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N, for both")
    parser.add_argument("--rivals", type=int, help="processes of the rival; default: one a core, on a GPU one")
    options = parser.parse_args()
    get_device(options.device)
    cores = len(os.sched_getaffinity(0))
    rivals = options.rivals or (cores if options.device == "cpu" else 1)
    print(describe_machine())
    structures = _from_table(options.file) if options.file else _proposed(options.structures)
    structures = structures[: options.structures]
    theirs, their_time, their_processor_time = _theirs(
        structures, fmax=options.fmax, device=options.device, workers=rivals, seconds=options.seconds
    )
    print(f"the rival relaxed {len(theirs)} of {len(structures)} structures in the time it had")
    structures = structures[: len(theirs)]
    sizes = [len(structure) for structure in structures]
    extent = f"{min(sizes)} to {max(sizes)} atoms"
    print(f"{len(structures)} structures of {extent}, fmax {options.fmax} eV/Å, {options.device}, {rivals} rivals")
    ours, our_time, our_processor_time = _ours(structures, fmax=options.fmax, device=options.device, workers=cores)
    both = [i for i in range(len(structures)) if ours[i][1] and theirs[i][1]]
    difference = np.array([ours[i][0] - theirs[i][0] for i in both]) * 1000
    for name, results, seconds in (("genmat", ours, our_time), ("ASE + StructOptimizer", theirs, their_time)):
        converged = sum(result[1] for result in results)
        steps = float(np.mean([result[2] for result in results]))
        rate = 3600 * len(structures) / seconds
        print(f"{name:>22}: {seconds:7.1f} s, {rate:8.0f} structures/h, {converged} converged, {steps:.0f} steps each")
    print(f"ratio: {their_time / our_time:.2f}")
    print(f"processor time: {our_processor_time:.1f} s, {their_processor_time:.1f} s")
    print(f"ratio: {their_processor_time / our_processor_time:.2f}")
    print(
        f"energy difference of the {len(both)} converged in both, meV/atom: median {np.median(difference):+.2f}, "
        f"within 5: {np.mean(np.abs(difference) < 5):.0%}, lower by more: {np.mean(difference < -5):.0%}, "
        f"higher by more: {np.mean(difference > 5):.0%}"
    )
    keep(
        f"relaxation_{options.device.partition(':')[0]}",
        {
            "formulas": [structure.composition.reduced_formula for structure in structures],
            "atoms": sizes,
            "fields": ["energy_per_atom", "converged", "n_steps"],
            "genmat": {"seconds": our_time, "processor_seconds": our_processor_time, "results": ours},
            "rival": {"seconds": their_time, "processor_seconds": their_processor_time, "results": theirs},
        },
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


def _processor_time() -> float:
    """Return the processor time of the worker processes so far, s: the fair measure on a busy machine."""
    return sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children())


def _ours(structures: list[Structure], *, fmax: float, device: str, workers: int) -> tuple[list[Result], float, float]:
    from genmat.models.pool import PotentialPool
    from genmat.models.protocol import RelaxProtocol

    named = {f"{number:06d}": structure for number, structure in enumerate(structures)}
    with PotentialPool("chgnet-0.3.0", workers=workers, device=device) as pool:
        still = RelaxProtocol(max_steps=0)  # start the processes and load the weights outside the clock
        list(pool.relax(named, missing=set(named), protocol=still))
        start, before = time.perf_counter(), _processor_time()
        found = dict(pool.relax(named, missing=set(named), protocol=RelaxProtocol(fmax=fmax, max_steps=STEPS)))
        seconds, processor_time = time.perf_counter() - start, _processor_time() - before
    results = [(found[name].energy_per_atom, found[name].converged, found[name].n_steps) for name in named]
    return results, seconds, processor_time


def _theirs(
    structures: list[Structure], *, fmax: float, device: str, workers: int, seconds: float
) -> tuple[list[Result], float, float]:
    """Return the results of the first structures, in their order, as many as are begun in the time."""
    results: list[Result] = []
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_load_rival, initargs=(device,)) as pool:
        list(pool.map(_relax_rival, [(structures[0], fmax, 1)] * workers))
        start, before = time.perf_counter(), _processor_time()
        waiting = deque((structure, fmax, STEPS) for structure in structures)
        running: deque[Future[Result]] = deque()
        while waiting or running:
            while waiting and len(running) < 2 * workers and time.perf_counter() - start < seconds:
                running.append(pool.submit(_relax_rival, waiting.popleft()))
            if not running:
                break
            results.append(running.popleft().result())
        taken, processor_time = time.perf_counter() - start, _processor_time() - before
    return results, taken, processor_time


_rival: list[object] = []


def _load_rival(device: str) -> None:
    import torch
    from chgnet.model.dynamics import StructOptimizer
    from threadpoolctl import threadpool_limits

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    threadpool_limits(1)  # else OpenBLAS, for the matrix exponentials of ASE's cell filter, spins on the other cores
    _rival.append(StructOptimizer(use_device=device))


def _relax_rival(task: tuple[Structure, float, int]) -> Result:
    structure, fmax, steps = task
    outcome = _rival[0].relax(structure, fmax=fmax, steps=steps, verbose=False)
    trajectory = outcome["trajectory"]
    n_steps = len(trajectory.energies) - 1
    return float(trajectory.energies[-1]) / len(structure), n_steps < steps, n_steps


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
