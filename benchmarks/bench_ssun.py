"""Measure S.S.U.N. of published samples of generative models, and of any others, with one evaluator.

    python benchmarks/bench_ssun.py [FILES …] [--relax 400] [--workers 1] [--work-folder FOLDER] [--output FILE]

Without FILES: the samples of CrystalFormer and of WyFormer + DiffCSP++, unrelaxed, the first with the distances to the
hull that their evaluators published. The same as ``genmat bench ssun FILES``; here with the machine and the time. It
resumes from its work folder.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from machine import describe_machine, shared_data

from genmat.evaluation import Options, evaluate
from genmat.evaluation.io import read_samples, write_rows
from genmat.interop.io import write_text
from genmat.models.pool import PotentialPool
from genmat.reference.io import load_reference
from genmat.reference.journal import Journal

if TYPE_CHECKING:
    from genmat.evaluation import Evaluation
    from genmat.screening.ssun import Proportion

PEERS = ("peers/crystalformer_mp20.parquet", "peers/wyformer_diffcsppp_mp20.parquet")
SHOWN = ("composition_valid", "structure_valid", "unique", "novel", "p1_of_novel")
SHOWN_RELAXED = (
    "converged",
    "lost_symmetry",
    "stable",
    "far_below_hull",
    "missing_reference",
    "sun",
    "ssun_before",
    "ssun_after",
)


def main() -> None:
    """Print the measurements and write them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("files", type=Path, nargs="*", help="samples; default: those of the peers")
    parser.add_argument("--relax", type=int, default=400, help="random samples of each set that are relaxed")
    parser.add_argument("--seed", type=int, default=0, help="seed of the subset and of the rattling")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--work-folder", type=Path, default=Path("genmat-output/bench"), help="what is done; resumes")
    parser.add_argument("--output", type=Path, default=None, help="result (.json), rows (.samples.parquet) beside it")
    arguments = parser.parse_args()
    files = arguments.files or [shared_data() / name for name in PEERS]
    print(describe_machine())

    reference, journal = load_reference(), Journal(arguments.work_folder / "relaxed.jsonl")
    options = Options(relax=arguments.relax, seed=arguments.seed)
    evaluations = {}
    with PotentialPool("chgnet-0.3.0", workers=arguments.workers) as pool:
        for path in files:
            start = time.perf_counter()
            result = evaluate(read_samples(path), reference=reference, options=options, pool=pool, journal=journal)
            evaluations[path.stem] = result
            report(path.stem, result)
            print(f"  {time.perf_counter() - start:.0f} s, without what the work folder held already", flush=True)
    output = arguments.output or arguments.work_folder / "ssun.json"
    content = {"sets": {name: result.to_dict() for name, result in evaluations.items()}}
    write_text(output, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    write_rows(evaluations, output.with_name(f"{output.stem}.samples.parquet"))


def report(name: str, evaluation: Evaluation) -> None:
    """Print the metrics of a set."""
    print(f"{name}: {len(evaluation.rows):,} samples")
    for metric, found in evaluation.all_samples().items():
        if metric in SHOWN:
            print(f"  {metric}: {words(found)}")
    relaxation = evaluation.relaxation()
    print(f"  {relaxation['n_relaxed']} relaxed, {relaxation['mean_steps']:.0f} steps on average")
    for metric, found in evaluation.relaxed_samples().items():
        if metric in SHOWN_RELAXED:
            print(f"  {metric}: {words(found)}")
    comparison = evaluation.comparison()
    if comparison is not None:
        print(
            f"  published distances: {comparison.n_compared} compared, Spearman {comparison.spearman:.3f}, mean "
            f"absolute difference {1e3 * comparison.mean_absolute_difference:.0f} meV/atom, median "
            f"{1e3 * comparison.median_absolute_difference:.0f}; same verdict {comparison.agreement:.1%}; "
            f"{len(comparison.outliers)} differ by more than 100 meV/atom"
        )


def words(found: Proportion) -> str:
    """Return a proportion with its 95 % interval."""
    return f"{found.fraction:.1%} ({found.low:.1%} to {found.high:.1%})"


if __name__ == "__main__":
    main()
