"""Build CHGNet's crystal graphs with genmat and with chgnet's own converter, in one run, and compare them.

    python benchmarks/bench_graph.py [--structures 60] [--repeat 3]

Structures: a random sample of the shipped reference's templates in primitive cells. One thread; genmat builds
batches of 64 atoms as in a relaxation. Bonds and angles of each crystal must be as many as chgnet's.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from machine import describe_machine, keep

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymatgen.core.structure import Structure

BATCH_ATOMS = 64


def main() -> None:
    """Print milliseconds a crystal for both, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", type=int, default=60)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(describe_machine())
    import torch

    torch.set_num_threads(1)
    structures = templates(options.structures)
    atoms = sum(len(structure) for structure in structures)
    print(f"{len(structures)} crystals, {atoms} atoms, best of {options.repeat}")
    converter = _converter()
    theirs, graphs = _best(lambda: [converter(structure) for structure in structures], options.repeat)
    ours, built = _best(lambda: _ours(structures), options.repeat)
    bonds = sum(len(graph.undirected2directed) for graph in graphs)
    angles = sum(len(graph.bond_graph) for graph in graphs)
    found = sum(len(graph.first) for graph in built), sum(len(graph.angle_centre) for graph in built)
    print(f"chgnet: {1e3 * theirs / len(structures):.2f} ms a crystal, {bonds} bonds, {angles} angles")
    print(f"genmat: {1e3 * ours / len(structures):.2f} ms a crystal, {found[0]} bonds, {found[1]} angles")
    print(f"ratio: {theirs / ours:.1f}")
    keep(
        "graph",
        {
            "crystals": len(structures),
            "atoms": atoms,
            "chgnet": {"seconds": theirs, "bonds": bonds, "angles": angles},
            "genmat": {"seconds": ours, "bonds": found[0], "angles": found[1]},
        },
    )


def _best(work: Callable[[], Any], repeat: int) -> tuple[float, Any]:
    work()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


def _converter() -> Callable[[Structure], Any]:
    from chgnet.model.model import CHGNet

    with contextlib.redirect_stdout(io.StringIO()):
        return CHGNet.load(use_device="cpu", verbose=False).graph_converter


def _ours(structures: list[Structure]) -> list[Any]:
    from genmat.models.potentials.graph import build_graph

    batches: list[list[Structure]] = [[]]
    for structure in structures:
        if batches[-1] and sum(map(len, batches[-1])) + len(structure) > BATCH_ATOMS:
            batches.append([])
        batches[-1].append(structure)
    return [
        build_graph(
            np.array([structure.lattice.matrix for structure in batch]),
            np.concatenate([structure.cart_coords for structure in batch]),
            np.concatenate([[0], np.cumsum([len(structure) for structure in batch])]),
            atom_cutoff=6.0,
            bond_cutoff=3.0,
        )
        for batch in batches
    ]


def templates(count: int) -> list[Structure]:
    """Return a random sample of the templates of the shipped reference, in primitive cells."""
    from genmat.reference.io import load_reference
    from genmat.representation import to_structure

    reference = load_reference()
    found: list[Structure] = []
    for place in np.random.default_rng(0).permutation(len(reference.material_ids)):
        crystal = reference.crystal(int(place))
        if crystal is not None:
            found.append(to_structure(crystal))
        if len(found) == count:
            break
    return found


if __name__ == "__main__":
    main()
