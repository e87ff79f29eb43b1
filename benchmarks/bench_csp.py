"""Measure crystal structure prediction: compositions of held-out chemical systems, best of 1 and of 20.

    python benchmarks/bench_csp.py [--models FOLDER] [--targets 200] [--genes 800] [--starts 20] [--workers 2]
                                   [--work-folder FOLDER] [--output FILE]

For each random crystal of the test split (E_hull ≤ 0.1 eV/atom, at most 20 atoms) the model is told what the primitive
cell holds, as DiffCSP is. It samples genes under the masks of these amounts; the distinct ones are ordered by their
log-odds (:func:`genmat.generation.foundation.log_odds`), and the best get geometries: of known crystals where there
are any, decoded otherwise. Whatever the reference knows of the validation and test splits is taken away.
CHGNet relaxes up to 20 starts. *Best of 1* is the lowest in energy minus ``--log-odds-energy`` times log-odds, *best of
20* any; ``--split val`` prints the weight that serves its own targets best. A match is
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

from genmat.generation.foundation import FoundationGenerator, log_odds
from genmat.generation.library import template_library
from genmat.generation.parameters import FoundationParameters, StartKind
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

    from genmat.models.foundation.tokens import TokenTable
    from genmat.representation import Crystal

LOG_ODDS_ENERGY = 0.025
"""What a unit of log-odds weighs against energy, eV/atom: of 40 targets of the validation split 27 rank first with it,
19 by energy alone, 26 with half of it. As large as CHGNet's own error of formation energies."""
N_GEOMETRIES = 3
"""Of a gene at least, if decoding finds as many."""
SAMPLING = (
    SamplingOptions(noise_level=0.5, guidance=1.5, temperature=0.8),
    SamplingOptions(noise_level=0.7, guidance=1.5, temperature=1.0),
)
"""Half of the genes are sampled in either way."""


def main() -> None:
    """Print the measurements and write them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--models", type=Path, default=None, help="folder of trained models; default: the shipped ones")
    parser.add_argument("--targets", type=int, default=200, help="crystals to predict")
    parser.add_argument("--genes", type=int, default=800, help="genes that are sampled for each")
    parser.add_argument("--starts", type=int, default=20, help="starts that are relaxed for each")
    parser.add_argument("--workers", type=int, default=2, help="processes that relax")
    parser.add_argument(
        "--log-odds-energy", type=float, default=LOG_ODDS_ENERGY, help="weight of log-odds in the ranking, eV/atom"
    )
    parser.add_argument("--split", choices=("val", "test"), default="test", help="crystals to predict are from it")
    parser.add_argument("--work-folder", type=Path, default=Path("genmat-output/bench"), help="what is done; resumes")
    parser.add_argument("--output", type=Path, default=None, help="outcomes (.json)")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    weight = arguments.log_odds_energy
    print(describe_machine())
    rows = split_rows(arguments.split)
    held_out = {row["material_id"] for split in ("val", "test") for row in split_rows(split)}
    library = template_library(without_split(load_reference(), held_out))
    bundle = load_bundle(arguments.models)
    parameters = FoundationParameters(start=StartKind.DECODED, geometry_temperature=0.5)
    generator = FoundationGenerator(parameters, bundle, library)
    chosen = targets(near_hull(rows), arguments.targets, seed=0)
    arguments.work_folder.mkdir(parents=True, exist_ok=True)
    path = arguments.work_folder / f"csp-{arguments.split}-{bundle.sha256['foundation.safetensors'][:8]}.jsonl"
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
                print(f"{len(done)} targets: {json.dumps(summary(list(done.values()), weight))}", flush=True)
    outcomes = list(done.values())
    if arguments.split == "val":
        for trial in np.arange(0.0, 0.0401, 0.0025).tolist():
            print(f"log-odds x {trial:.4f} eV/atom: best of 1 {summary(outcomes, trial)['best_of_1']:.3f}")
    result = {
        "models": dict(bundle.sha256),
        "machine": describe_machine(),
        "log_odds_energy": weight,
        "best_of_1_by_energy": summary(outcomes, 0.0)["best_of_1"],
        **summary(outcomes, weight),
    }
    print(json.dumps(result, indent=1))
    if arguments.output is not None:
        content = {**result, "outcomes": outcomes}
        write_text(arguments.output, json.dumps(content, indent=1, allow_nan=False) + "\n")


def propose(
    generator: FoundationGenerator, crystal: Crystal, *, n_genes: int, n_starts: int, seed: int
) -> tuple[list[tuple[Structure, float]], int | None]:
    """Return starts for the content of a cell with the log-odds of their genes, and the rank of the true gene."""
    bundle = generator.bundle
    amounts = {ATOMIC_NUMBERS[symbol]: n for symbol, n in crystal.element_counts.items()}
    constraints = GeneConstraints(amounts=amounts, n_atoms=(sum(amounts.values()),) * 2)
    condition = Condition(ranges={"energy_above_hull": (None, 0.025)}, composition=amounts)
    tokens, odds = [], {}
    for kind, options in enumerate(SAMPLING):
        streams = [np.random.default_rng([seed, kind, draw]) for draw in range(n_genes // len(SAMPLING))]
        found = bundle.propose_genes(condition, constraints=constraints, streams=streams, options=options).tokens
        for row in np.flatnonzero(found.n_orbits).tolist():
            number, occupations = int(found.numbers[row]), found.occupations(row)
            name = gene_of_occupations(number, occupations)
            if name not in odds:
                odds[name] = log_odds(number, occupations, library=generator.library)
                tokens.append((name, found[row : row + 1]))
    tokens.sort(key=lambda item: -odds[item[0]])
    names = [name for name, _ in tokens]
    rank = names.index(gene(crystal)) if gene(crystal) in names else None
    starts = []
    geometries = [
        geometries_of(generator, token, n_starts // (place + 1)) for place, (_, token) in enumerate(tokens[:n_starts])
    ]
    # The k-th geometry of the g-th gene: in the order of k · g, the better gene first.
    order = sorted(((k + 1) * (g + 1), g, k) for g, several in enumerate(geometries) for k in range(len(several)))
    for _, g, k in order[:n_starts]:
        starts.append((geometries[g][k], odds[names[g]]))
    return starts, rank


def geometries_of(generator: FoundationGenerator, token: TokenTable, n: int) -> list[Structure]:
    """Return up to ``n`` geometries of a gene: of known crystals, decoded where those are few."""
    found = template_starts(int(token.numbers[0]), token.occupations(0), library=generator.library, n=n)
    crystals = [start.crystal for start in found]
    missing = min(n, N_GEOMETRIES) - len(crystals)
    if missing > 0 and (not crystals or crystals[0].degrees_of_freedom):
        streams = [np.random.default_rng(draw) for draw in range(missing)]
        decoded = generator.place(token[np.zeros(missing, dtype=np.intp)], streams=streams)
        crystals += [crystal for crystal, _ in decoded if crystal is not None]
    return [to_structure(crystal) for crystal in crystals]


def relaxed(pool: PotentialPool, target: Structure, starts: list[tuple[Structure, float]]) -> dict[str, Any]:
    """Return energies (eV/atom) of the relaxed starts, lowest first, and which of them match the target."""
    matcher = StructureMatcher(stol=0.5, angle_tol=10, ltol=0.3)
    named = {str(position): start for position, (start, _) in enumerate(starts)}
    found = []
    for name, outcome in pool.relax(named, missing=list(named), protocol=RelaxProtocol(max_steps=200)):
        if outcome.failure is None or np.isfinite(outcome.energy):
            found.append((outcome.energy_per_atom, int(name), bool(matcher.fit(target, outcome.structure))))
    found.sort()
    return {
        "n_starts": len(starts),
        "log_odds": [round(odds, 4) for _, odds in starts],
        "energies": [round(energy, 5) for energy, _, _ in found],
        "starts": [start for _, start, _ in found],
        "matches": [match for _, _, match in found],
    }


def first_matches(outcome: dict[str, Any], weight: float) -> bool:
    """Return whether the relaxed start that ranks first matches the target."""
    ranked = zip(outcome["energies"], outcome["starts"], outcome["matches"], strict=True)
    best = min(ranked, key=lambda item: item[0] - weight * outcome["log_odds"][item[1]])
    return best[2]


def summary(outcomes: list[dict[str, Any]], weight: float) -> dict[str, Any]:
    """Return the match rates with their 95 % intervals; ``weight``: eV/atom of a unit of log-odds."""
    n = len(outcomes)
    one = sum(bool(item["matches"]) and first_matches(item, weight) for item in outcomes)
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
