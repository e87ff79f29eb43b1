"""Measure what tests by one evaluation as proposed save and lose: every sample is relaxed, whatever they say.

    python benchmarks/bench_static.py [FILE] [--number 160] [--workers 1] [--work-folder FOLDER] [--tolerance 0.08]
        [--rattle 0.05]

FILE holds proposed structures, such as those of ``genmat sample -n 240 --seed 11 --output samples.parquet``; a random
part is relaxed in primitive cells, in stages as campaigns do (``--rattle 0``: as proposed). A relaxed crystal counts as
stable if it converged and lies at most τ above CHGNet's own hull; novelty is not asked. Resumes from its work folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from machine import describe_machine

from genmat.errors import MissingReferenceError
from genmat.evaluation.io import read_samples
from genmat.generation.library import template_library
from genmat.models.pool import PotentialPool
from genmat.models.protocol import USUAL_RATTLE, RelaxProtocol
from genmat.reference.io import load_reference
from genmat.reference.journal import Journal

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.core.structure import Structure

    from genmat.reference.table import Reference

BLOCK = 16
"""Samples between two writes of the journal."""

THRESHOLDS = {
    "energy above the hull (eV/atom)": (0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0),
    "largest force (eV/Å)": (1.0, 2.0, 5.0, 10.0, 20.0, 50.0),
    "factor of the volume": (1.15, 1.2, 1.3, 1.5),
}


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("file", type=Path, nargs="?", help="samples; without them nothing is measured")
    parser.add_argument("--number", type=int, default=160, help="random samples that are relaxed")
    parser.add_argument("--seed", type=int, default=0, help="seed of their choice")
    parser.add_argument("--tolerance", type=float, default=0.08, help="τ, eV/atom")
    parser.add_argument("--rattle", type=float, default=USUAL_RATTLE, help="displacement of the stages, Å")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--work-folder", type=Path, default=Path("genmat-output/bench"), help="what is done; resumes")
    arguments = parser.parse_args()
    print(describe_machine())
    if arguments.file is None:
        print("not measured: name a file of samples, see --help")
        return

    samples = read_samples(arguments.file)
    chosen = np.random.default_rng(arguments.seed).permutation(len(samples))[: arguments.number].tolist()
    structures = {
        f"{arguments.file.stem}/{place}": structure.get_primitive_structure()
        for place in chosen
        if (structure := samples[place].structure) is not None
    }
    protocol = RelaxProtocol(rattle=arguments.rattle)
    print(protocol.text)
    journal = Journal(arguments.work_folder / f"static-gates-{arguments.rattle:g}.jsonl")
    records = relaxed(structures, journal, protocol=protocol, workers=arguments.workers)
    table(structures, records, load_reference(), tolerance=arguments.tolerance)


def relaxed(
    structures: dict[str, Structure], journal: Journal, *, protocol: RelaxProtocol, workers: int
) -> dict[str, dict[str, Any]]:
    """Return energies, forces and steps of each sample, as proposed and relaxed."""
    done = journal.read()
    todo = [name for name in structures if name not in done]
    if todo:
        with PotentialPool("chgnet-0.3.0", workers=workers) as pool:
            for first in range(0, len(todo), BLOCK):
                block = {name: structures[name] for name in todo[first : first + BLOCK]}
                once = dict(pool.relax(block, missing=set(block), protocol=RelaxProtocol(max_steps=0)))
                records = [
                    {
                        "material_id": name,
                        "start_energy_per_atom": once[name].energy_per_atom,
                        "start_fmax": once[name].fmax,
                        "energy_per_atom": outcome.energy_per_atom,
                        "n_steps": outcome.n_steps,
                        "failure": outcome.failure,
                    }
                    for name, outcome in pool.relax(block, missing=set(block), protocol=protocol)
                ]
                journal.append(records)
                done |= {record["material_id"]: record for record in records}
    return done


def table(
    structures: dict[str, Structure], records: dict[str, dict[str, Any]], reference: Reference, *, tolerance: float
) -> None:
    """Print what each threshold drops, saves and loses."""
    hull, volumes = reference.hull(), template_library(reference).volume
    rows = []
    for name, structure in structures.items():
        record, composition = records[name], structure.composition
        try:
            start, end = (
                hull.energy_above_hull(composition, record[key], scale=hull.scale)
                if np.isfinite(record[key])
                else np.inf
                for key in ("start_energy_per_atom", "energy_per_atom")
            )
        except MissingReferenceError:
            continue
        expected = volumes.volume_per_atom(tuple((element.Z, amount) for element, amount in composition.items()))
        factor = float(np.exp(abs(np.log(structure.volume / len(structure) / expected))))
        stable = record["failure"] is None and end <= tolerance
        rows.append((start, record["start_fmax"], factor, stable, record["n_steps"]))
    energy, force, factor, stable, steps = (np.array(column) for column in zip(*rows, strict=True))
    print(f"{len(rows)} samples relaxed, {stable.mean():.1%} stable, {steps.mean():.0f} steps on average")
    for (name, thresholds), values in zip(THRESHOLDS.items(), (energy, force, factor), strict=True):
        for threshold in thresholds:
            line(f"{name} > {threshold:g}", values > threshold, stable.astype(bool), steps)


def line(name: str, fell: NDArray[np.bool_], stable: NDArray[np.bool_], steps: NDArray[np.int_]) -> None:
    """Print one threshold."""
    lost, kept = int((fell & stable).sum()), max(int(steps[~fell].sum()) + len(steps), 1)
    gain = (stable & ~fell).sum() / kept / max(stable.sum() / max(steps.sum(), 1), 1e-12)
    print(
        f"  {name}: {fell.mean():.0%} fall, {steps[fell].sum() / max(steps.sum(), 1):.0%} of the steps saved, "
        f"{lost} of {fell.sum()} that fall are stable: {lost / max(stable.sum(), 1):.0%} of the stable lost; "
        f"stable crystals a step x {gain:.1f}"
    )


if __name__ == "__main__":
    main()
