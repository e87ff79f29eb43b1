"""Relax crystals with a MACE of random weights in MPA-0's architecture, by genmat and by torch-sim's own ``optimize``.

    python benchmarks/bench_mace.py --device cuda [--structures 500] [--steps 50] [--channels 128]

Prints atoms x steps a second of both, for the same crystals, steps and precision. No weights are needed: time does not
depend on their values.
"""

from __future__ import annotations

import argparse
import io
import time
import warnings
from typing import Any

from bench_graph import templates
from machine import describe_machine


def main() -> None:
    """Print the speed of both and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--structures", type=int, default=500)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--channels", type=int, default=128)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(describe_machine())
    import torch_sim as ts

    from genmat.models.potentials.devices import get_device
    from genmat.models.potentials.mace import load_mace
    from genmat.models.protocol import RelaxProtocol
    from genmat.models.relaxation import relax

    device = get_device(options.device)
    model = load_mace(_weights(options.channels), name="random", device=device)
    structures = templates(options.structures)
    protocol = RelaxProtocol(fmax=1e-9, smax=1e-9, max_steps=options.steps)
    everything = frozenset(range(1, 90))
    list(relax(structures[:2], model=model, protocol=RelaxProtocol(max_steps=1), atomic_numbers=everything))

    start = time.perf_counter()
    outcomes = [outcome for _, outcome in relax(structures, model=model, protocol=protocol, atomic_numbers=everything)]
    ours = sum(len(o.structure) * o.n_steps for o in outcomes) / (time.perf_counter() - start)

    start = time.perf_counter()
    ts.optimize(
        system=structures,
        model=model,
        optimizer=ts.Optimizer.fire,
        convergence_fn=lambda state, *_: state.energy < -float("inf"),
        max_steps=options.steps,
        steps_between_swaps=options.steps,
        autobatcher=device.type == "cuda",
        init_kwargs={"cell_filter": ts.CellFilter.frechet},
    )
    theirs = options.steps * sum(map(len, structures)) / (time.perf_counter() - start)
    print(f"genmat: {ours:.0f} atoms/s, torch-sim's optimize: {theirs:.0f} atoms/s, ratio {ours / theirs:.2f}")


def _weights(channels: int) -> bytes:
    import mace  # noqa: F401 - before e3nn
    import torch
    from e3nn import o3
    from mace import modules

    torch.manual_seed(0)
    block: Any = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    first: Any = modules.interaction_classes["RealAgnosticDensityInteractionBlock"]
    network = modules.ScaleShiftMACE(
        r_max=6.0,
        num_bessel=10,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls=block,
        interaction_cls_first=first,
        num_interactions=2,
        num_elements=89,
        hidden_irreps=o3.Irreps(f"{channels}x0e + {channels}x1o"),
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=torch.zeros(89).numpy(),
        avg_num_neighbors=60.0,
        atomic_numbers=list(range(1, 90)),
        correlation=3,
        gate=torch.nn.functional.silu,
        atomic_inter_scale=0.8,
        atomic_inter_shift=0.0,
    ).float()
    file = io.BytesIO()
    torch.save(network, file)
    return file.getvalue()


if __name__ == "__main__":
    main()
