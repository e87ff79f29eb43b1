"""Measure crystal structure prediction: compositions of held-out chemical systems, best of 1 and of 20.

    python benchmarks/bench_csp.py [--models FOLDER] [--targets 200] [--genes 400] [--starts 20] [--workers 2]
                                   [--work-folder FOLDER] [--output FILE]

For each random crystal of the test split (E_hull ≤ 0.1 eV/atom, at most 20 atoms) the model is told its composition
and that the cell holds at most 20 atoms. It samples genes under the composition's masks; the distinct ones are
ordered by predicted formation energy minus a share of their log-likelihood, and each of the best gets a geometry: of
a known crystal where there is one, decoded otherwise. Whatever the reference knows of the test split is taken away.
CHGNet relaxes up to 20 starts and orders them by energy: *best of 1* is the lowest, *best of 20* any. A match is
StructureMatcher's with DiffCSP's tolerances (stol 0.5, angle_tol 10°, ltol 0.3; Jiao et al. 2023, arXiv:2309.04475).
Every target is a line of ``csp.jsonl`` in the work folder: a killed run goes on.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from heldout import near_hull, split_rows, targets, without_split
from machine import describe_machine
from pymatgen.analysis.structure_matcher import StructureMatcher

from genmat.generation.foundation import FoundationGenerator
from genmat.generation.foundation_parameters import FoundationParameters
from genmat.generation.library import template_library
from genmat.generation.starts import template_starts
from genmat.interop.io import write_text
from genmat.models.bundle import load_bundle
from genmat.models.generator.conditions import Condition
from genmat.models.pool import PotentialPool
from genmat.models.protocol import RelaxProtocol, SamplingOptions
from genmat.reference.entries import ATOMIC_NUMBERS
from genmat.reference.io import load_reference
from genmat.representation import gene, gene_of_occupations, to_structure
from genmat.representation.filling import GeneConstraints
from genmat.screening.ssun import wilson_interval

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

    from genmat.representation import Crystal

LIKELIHOOD_WEIGHT = 0.01
"""eV/atom that a nat of log-likelihood is worth in the order of genes."""
MAX_ATOMS = 20


def main() -> None:
    """Print the measurements and write them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--models", type=Path, default=None, help="folder of trained models; default: the shipped ones")
    parser.add_argument("--targets", type=int, default=200, help="crystals to predict")
    parser.add_argument("--genes", type=int, default=400, help="genes that are sampled for each")
    parser.add_argument("--starts", type=int, default=20, help="starts that are relaxed for each")
    parser.add_argument("--workers", type=int, default=2, help="processes that relax")
    parser.add_argument("--work-folder", type=Path, default=Path("genmat-output/bench"), help="what is done; resumes")
    parser.add_argument("--output", type=Path, default=None, help="outcomes (.json)")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    print(describe_machine())
    rows = split_rows("test")
    library = template_library(without_split(load_reference(), {row["material_id"] for row in rows}))
    bundle = load_bundle(arguments.models)
    generator = FoundationGenerator(FoundationParameters(geometry_temperature=0.5), bundle, library)
    chosen = targets(near_hull(rows), arguments.targets, seed=0)
    arguments.work_folder.mkdir(parents=True, exist_ok=True)
    path = arguments.work_folder / f"csp-{bundle.sha256['foundation.safetensors'][:8]}.jsonl"
    done = (
        {item["material_id"]: item for item in map(json.loads, path.read_text().splitlines())} if path.exists() else {}
    )
    with PotentialPool("chgnet-0.3.0", workers=arguments.workers) as pool, path.open("a") as journal:
        for index, (name, structure, crystal) in enumerate(chosen):
            if name in done:
                continue
            starts, ranks = propose(generator, crystal, n_genes=arguments.genes, n_starts=arguments.starts, seed=index)
            outcome = {
                "material_id": name,
                "gene": gene(crystal),
                "gene_rank": ranks,
                **relaxed(pool, structure, starts),
            }
            journal.write(json.dumps(outcome) + "\n")
            journal.flush()
            done[name] = outcome
            if len(done) % 5 == 0:
                print(f"{len(done)} targets: {json.dumps(summary(list(done.values())))}", flush=True)
    result = {"models": dict(bundle.sha256), "machine": describe_machine(), **summary(list(done.values()))}
    print(json.dumps(result, indent=1))
    if arguments.output is not None:
        content = {**result, "outcomes": list(done.values())}
        write_text(arguments.output, json.dumps(content, indent=1, allow_nan=False) + "\n")


def propose(
    generator: FoundationGenerator, crystal: Crystal, *, n_genes: int, n_starts: int, seed: int
) -> tuple[list[Structure], int | None]:
    """Return starts for a composition, the most promising gene first, and the rank of the true gene among the genes."""
    bundle = generator.bundle
    amounts = {ATOMIC_NUMBERS[symbol]: n for symbol, n in crystal.element_counts.items()}
    constraints = GeneConstraints(amounts=amounts, n_atoms=(1, MAX_ATOMS))
    streams = [np.random.default_rng([seed, draw]) for draw in range(n_genes)]
    condition = Condition(ranges={"energy_above_hull": (None, 0.025)}, composition=amounts)
    options = SamplingOptions(noise_level=0.5, guidance=1.5)
    genes = bundle.propose_genes(condition, constraints=constraints, streams=streams, options=options)
    first: dict[str, int] = {}
    for row in np.argsort(-genes.log_likelihood, kind="stable").tolist():
        if not genes.failed[row]:
            text = gene_of_occupations(int(genes.tokens.numbers[row]), genes.tokens.occupations(row))
            first.setdefault(text, row)
    rows = np.asarray(list(first.values()), dtype=np.intp)
    tokens = genes.tokens[rows]
    mean, _ = bundle.predict_intrinsic(bundle.encode_genes(tokens))
    order = np.argsort(mean[:, 0] - LIKELIHOOD_WEIGHT * genes.log_likelihood[rows], kind="stable")
    names = [list(first)[position] for position in order.tolist()]
    rank = names.index(gene(crystal)) if gene(crystal) in names else None
    best = order[:n_starts]
    placed = generator.place(tokens[best], streams=[streams[row] for row in rows[best].tolist()])
    starts = [to_structure(found) for found, _ in placed if found is not None]
    for position in order.tolist():  # further geometries of the best genes, where the genes are few
        if len(starts) >= n_starts:
            break
        more = template_starts(
            int(tokens.numbers[position]), tokens.occupations(position), library=generator.library, n=4
        )
        starts.extend(to_structure(start.crystal) for start in more[1:])
    return starts[:n_starts], rank


def relaxed(pool: PotentialPool, target: Structure, starts: list[Structure]) -> dict[str, Any]:
    """Return energies (eV/atom) of the relaxed starts, lowest first, and which of them match the target."""
    matcher = StructureMatcher(stol=0.5, angle_tol=10, ltol=0.3)
    named = {str(position): start for position, start in enumerate(starts)}
    found = []
    for name, outcome in pool.relax(named, missing=list(named), protocol=RelaxProtocol(max_steps=200)):
        if outcome.failure is None or np.isfinite(outcome.energy):
            found.append((outcome.energy_per_atom, int(name), bool(matcher.fit(target, outcome.structure))))
    found.sort()
    return {
        "n_starts": len(starts),
        "energies": [round(energy, 5) for energy, _, _ in found],
        "starts": [start for _, start, _ in found],
        "matches": [match for _, _, match in found],
    }


def summary(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the match rates with their 95 % intervals."""
    n = len(outcomes)
    one = sum(bool(item["matches"]) and item["matches"][0] for item in outcomes)
    any_of = sum(any(item["matches"]) for item in outcomes)
    return {
        "n": n,
        "best_of_1": one / n,
        "best_of_1_interval": wilson_interval(one, n),
        "best_of_20": any_of / n,
        "best_of_20_interval": wilson_interval(any_of, n),
        "gene_sampled": sum(item["gene_rank"] is not None for item in outcomes) / n,
        "gene_in_first_20": sum(item["gene_rank"] is not None and item["gene_rank"] < 20 for item in outcomes) / n,
    }


if __name__ == "__main__":
    main()
