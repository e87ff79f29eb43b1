"""Measure inverse design: how many samples fall into an asked range, over how many do unasked.

    python benchmarks/bench_inverse.py [--models FOLDER] [--samples 60] [--workers 2] [--work-folder FOLDER]

For each range the campaign generator draws with and without it, everything else equal; every sample is relaxed by
CHGNet and judged by what CHGNet says of the relaxed crystal: its volume, and the bulk modulus of a third-order Birch-
Murnaghan equation of state. Samples that fail anywhere count as outside. The ratio of the two shares is reported.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine

from genmat.campaign import PropertyName, PropertyTarget, Target
from genmat.generation import DrawContext, get_generator
from genmat.interop.io import write_text
from genmat.models.pool import PotentialPool
from genmat.models.protocol import RelaxProtocol
from genmat.reference.io import load_reference
from genmat.screening.equation_of_state import FitFailure, fit_birch_murnaghan, scaled_structures
from genmat.screening.ssun import wilson_interval

RANGES: dict[str, tuple[PropertyName, str, float | None, float | None]] = {
    "bulk_modulus_200": (PropertyName.BULK_MODULUS, "GPa", 200.0, None),
    "volume_25_30": (PropertyName.VOLUME_PER_ATOM, "Å^3/atom", 25.0, 30.0),
}
"""What is asked for, by name: property, unit, lower and upper end."""


def main() -> None:
    """Print the measurements and write them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--models", type=Path, default=None, help="folder of trained models; default: the shipped ones")
    parser.add_argument("--samples", type=int, default=60, help="draws of each kind")
    parser.add_argument("--oversample", type=int, default=8, help="genes a draw, of which it keeps the best-scored")
    parser.add_argument("--workers", type=int, default=2, help="processes that relax")
    parser.add_argument("--output", type=Path, default=Path("genmat-output/bench/inverse.json"), help="results (.json)")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    print(describe_machine())
    parameters = {
        "oversample": arguments.oversample,
        "models": None if arguments.models is None else str(arguments.models),
    }
    generator = get_generator("foundation", parameters, reference=load_reference())
    result: dict[str, Any] = {"machine": describe_machine(), "parameters": generator.parameters, "ranges": {}}
    with PotentialPool("chgnet-0.3.0", workers=arguments.workers) as pool:
        base = judged(pool, generator, Target(), arguments.samples)
        result["unasked"] = base
        for name, (prop, unit, low, high) in RANGES.items():
            target = Target(properties=(PropertyTarget(name=prop, unit=unit, min=low, max=high),))
            found = judged(pool, generator, target, arguments.samples)
            result["ranges"][name] = compare(str(prop), low, high, found, base)
            result["ranges"][name]["values"] = found
            print(name, json.dumps({k: v for k, v in result["ranges"][name].items() if k != "values"}), flush=True)
            write_text(arguments.output, json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def judged(pool: PotentialPool, generator: Any, target: Target, count: int) -> list[dict[str, float] | None]:
    """Return volume per atom (Å³/atom) and bulk modulus (GPa) of each draw, relaxed; ``None`` where it failed."""
    context = DrawContext(target=target, campaign="benchmark", round=0, seed=0)
    draws = generator.draw(range(count), context=context)
    structures = {str(draw.index): draw.structure for draw in draws if draw.structure is not None}
    relaxed = {
        name: outcome.structure
        for name, outcome in pool.relax(structures, missing=list(structures), protocol=RelaxProtocol())
        if outcome.converged
    }
    names = sorted(relaxed, key=int)
    scaled = [scaled_structures(relaxed[name]) for name in names]
    flat = [structure for group in scaled for structure in group]
    energies = np.zeros(len(flat))
    for position, energy in pool.evaluate(flat):
        energies[position] = energy
    values: dict[str, dict[str, float]] = {}
    for index, name in enumerate(names):
        n_points = len(scaled[index])
        part = energies[index * n_points : (index + 1) * n_points]
        fit = fit_birch_murnaghan([s.volume for s in scaled[index]], part)
        values[name] = {"volume_per_atom": relaxed[name].volume / len(relaxed[name])}
        if not isinstance(fit, FitFailure):
            values[name]["bulk_modulus"] = float(fit.bulk_modulus)
    return [values.get(str(index)) for index in range(count)]


def compare(name: str, low: float | None, high: float | None, found: list[Any], base: list[Any]) -> dict[str, Any]:
    """Return the shares inside the range, asked and unasked, with 95 % intervals, and their ratio."""
    shares = {}
    for key, values in (("asked", found), ("unasked", base)):
        inside = sum(
            value is not None
            and name in value
            and (low is None or value[name] >= low)
            and (high is None or value[name] <= high)
            for value in values
        )
        shares[key] = {"inside": inside, "n": len(values), "interval": wilson_interval(inside, len(values))}
    asked, unasked = (shares[key]["inside"] / shares[key]["n"] for key in ("asked", "unasked"))
    return {**shares, "ratio": asked / unasked if unasked else None, "range": [low, high]}


if __name__ == "__main__":
    main()
