"""Measure the foundation model on held-out chemical systems: reconstruction, de novo samples, speed.

    python benchmarks/bench_generation.py [--models FOLDER] [--samples 10000] [--relax 400] [--workers 2]
        [--work-folder FOLDER] [--output FILE] [--parts reconstruction,raw,ranked,speed]

*Reconstruction* encodes crystals of the test split (E_hull ≤ 0.1 eV/atom, at most 20 atoms) and decodes them at
temperature 0: exact canonical gene, and StructureMatcher with the tolerances of CDVAE (stol 0.5, angle_tol 10°,
ltol 0.3; Xie et al. 2022, arXiv:2110.06197). *Raw* are draws of the campaign generator without any choice among
genes, *ranked* are its draws with oversampling. Both go through ``genmat.evaluation``; relaxations resume from the work
folder.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from bench_ssun import report
from heldout import near_hull, split_rows, targets
from machine import describe_machine
from pymatgen.analysis.structure_matcher import StructureMatcher

from genmat.campaign import Target
from genmat.errors import GenmatError
from genmat.evaluation import Options, Sample, evaluate
from genmat.evaluation.io import write_rows
from genmat.generation import DrawContext, get_generator
from genmat.interop.io import write_text
from genmat.models.bundle import load_bundle
from genmat.models.foundation.sample import decode_genes, decode_geometry, encode
from genmat.models.foundation.tokens import TokenTable
from genmat.models.generator.conditions import Condition
from genmat.models.pool import PotentialPool
from genmat.models.protocol import SamplingOptions
from genmat.reference.io import load_reference
from genmat.reference.journal import Journal
from genmat.representation import gene, gene_of_occupations, to_structure
from genmat.representation.filling import GeneConstraints

if TYPE_CHECKING:
    from genmat.evaluation import Evaluation
    from genmat.models.bundle import ModelBundle

RAW: dict[str, Any] = {"oversample": 1, "avoid_known": False, "charge_balanced": False}
RANKED: dict[str, Any] = {"oversample": 16, "selection_temperature": 0.2}
PARTS = ("reconstruction", "raw", "ranked", "speed")
BATCH = 500
"""Draws at a time."""


def main() -> None:
    """Print the measurements and write them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--models", type=Path, default=None, help="folder of trained models; default: the shipped ones")
    parser.add_argument("--samples", type=int, default=10_000, help="raw draws")
    parser.add_argument("--ranked", type=int, default=1000, help="ranked draws")
    parser.add_argument("--relax", type=int, default=400, help="random draws of each kind that are relaxed")
    parser.add_argument("--targets", type=int, default=500, help="crystals that are reconstructed")
    parser.add_argument("--workers", type=int, default=2, help="processes that relax")
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure")
    parser.add_argument("--work-folder", type=Path, default=Path("genmat-output/bench"), help="what is done; resumes")
    parser.add_argument("--output", type=Path, default=None, help="results (.json)")
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    print(describe_machine())
    bundle = load_bundle(arguments.models)
    result: dict[str, Any] = {"models": dict(bundle.sha256), "machine": describe_machine()}
    if "reconstruction" in parts:
        result["reconstruction"] = reconstruction(bundle, arguments.targets)
        print("reconstruction:", json.dumps(result["reconstruction"]), flush=True)
    if "speed" in parts:
        result["speed"] = speed(bundle)
        print("speed:", json.dumps(result["speed"]), flush=True)
    output = arguments.output or arguments.work_folder / "generation.json"
    evaluations: dict[str, Evaluation] = {}
    models = None if arguments.models is None else str(arguments.models)
    with PotentialPool("chgnet-0.3.0", workers=arguments.workers) as pool:
        for name, parameters, count in (("raw", RAW, arguments.samples), ("ranked", RANKED, arguments.ranked)):
            if name not in parts:
                continue
            begin = time.perf_counter()
            samples = draw({**parameters, "models": models}, count)
            print(f"{name}: {count} draws in {time.perf_counter() - begin:.0f} s", flush=True)
            evaluations[name] = evaluate(
                samples,
                reference=load_reference(),
                options=Options(relax=arguments.relax),
                pool=pool,
                journal=Journal(arguments.work_folder / "relaxed.jsonl"),
            )
            report(name, evaluations[name])
            result[name] = {"parameters": parameters, **evaluations[name].to_dict()}
            write_text(output, json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    write_text(output, json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    if evaluations:
        write_rows(evaluations, output.with_name(f"{output.stem}.samples.parquet"))


def draw(parameters: dict[str, Any], count: int) -> list[Sample]:
    """Return draws of the campaign generator without any target, failed ones included."""
    generator = get_generator("foundation", parameters, reference=load_reference())
    context = DrawContext(target=Target(), campaign="benchmark", round=0, seed=0)
    samples = []
    for begin in range(0, count, BATCH):
        for found in generator.draw(range(begin, min(begin + BATCH, count)), context=context):
            if found.structure is None:
                samples.append(Sample(str(found.index), None, found.failure or "no proposal"))
            else:
                samples.append(Sample(str(found.index), found.structure))
    return samples


def reconstruction(bundle: ModelBundle, count: int) -> dict[str, float]:
    """Return how often x → z → x gives back crystals of the test split."""
    chosen = targets(near_hull(split_rows("test")), count, seed=0)
    crystals = [crystal for _, _, crystal in chosen]
    tokens = TokenTable.from_crystals(crystals)
    model = bundle.foundation
    latents, times = encode(model, tokens), np.zeros(len(tokens), dtype=np.float32)
    streams = [np.random.default_rng(row) for row in range(len(tokens))]
    constraints = GeneConstraints(numbers=frozenset(range(1, 231)))
    genes = decode_genes(model, latents, times, constraints=constraints, streams=streams, temperature=0.0)
    placed = decode_geometry(model, genes.tokens, latents, times, streams=streams, temperature=0.0)
    matcher = StructureMatcher(stol=0.5, angle_tol=10, ltol=0.3)
    same, matched = 0, 0
    for row, crystal in enumerate(crystals):
        if genes.failed[row]:
            continue
        same += gene_of_occupations(int(placed.numbers[row]), placed.occupations(row)) == gene(crystal)
        try:
            matched += bool(matcher.fit(to_structure(crystal), to_structure(placed.crystal(row))))
        except (GenmatError, ValueError):
            continue
    n = len(crystals)
    groups = float((placed.numbers == tokens.numbers).mean())
    return {"n": n, "space_group": groups, "gene": same / n, "structure_match": matched / n}


def speed(bundle: ModelBundle, count: int = 4096) -> dict[str, Any]:
    """Return structures per second: flow, genes and decoded geometry, x in memory."""
    found: dict[str, Any] = {"threads": torch.get_num_threads(), "device": str(bundle.foundation.shape_mean.device)}
    constraints = GeneConstraints()
    for attempt in ("first", "second"):  # the first fills the tables of masks
        streams = [np.random.default_rng([1, row]) for row in range(count)]
        begin = time.perf_counter()
        genes = bundle.propose_genes(
            Condition(), constraints=constraints, streams=streams, options=SamplingOptions(guidance=1.0)
        )
        middle = time.perf_counter()
        bundle.place_atoms(genes.tokens, bundle.encode_genes(genes.tokens), streams=streams, temperature=0.3)
        end = time.perf_counter()
        found[attempt] = {
            "genes_per_second": count / (middle - begin),
            "structures_per_second": count / (end - begin),
        }
    return found


if __name__ == "__main__":
    main()
