"""Compute competing phases with GPAW's default settings and write the table that genmat ships.

    python benchmarks/build_competing_phases.py mp-1265 mp-1143 …

Ids are those of the reference; phases that the table holds already, on the same scale, are kept. The table is written
after every phase, so that the script may be stopped and started again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from genmat.errors import GenmatError
from genmat.interop.io import write_text
from genmat.validation.competing import SHIPPED
from genmat.validation.gpaw import Gpaw
from workflows.computation import phase_structure

TABLE = Path(__file__).resolve().parent.parent / "genmat" / "validation" / "data" / SHIPPED


def main() -> None:
    """Compute what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("material_ids", nargs="+")
    parser.add_argument("--minutes", type=float, default=30.0, help="wall time of one phase")
    arguments = parser.parse_args()
    engine = Gpaw()
    print(engine.check())
    scale = engine.scale.to_dict()
    table = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.is_file() else {}
    phases = table["phases"] if table.get("scale") == scale else {}
    for name in arguments.material_ids:
        if name in phases:
            continue
        try:
            structure = phase_structure(name)
        except GenmatError as err:
            print(f"{name}: {err}")
            continue
        expected = 3600 * engine.estimate(structure)
        with tempfile.TemporaryDirectory() as folder:
            outcome = engine.run(structure, folder=Path(folder), max_seconds=60 * arguments.minutes)
        formula = structure.composition.reduced_formula
        text = f"{name} {formula} {len(structure)} atoms: {outcome.wall_seconds:.0f} s (expected {expected:.0f} s)"
        if outcome.failure is not None or outcome.structure is None:
            print(f"{text}, {outcome.failure}: {outcome.detail}", flush=True)
            continue
        print(f"{text}, {outcome.energy_per_atom:.4f} eV/atom", flush=True)
        phases[name] = {
            "formula": formula,
            "energy_per_atom": round(outcome.energy_per_atom, 6),
            "volume_per_atom": round(outcome.structure.volume / len(structure), 4),
            "n_atoms": len(structure),
        }
        content = {"scale": scale, "parameters": engine.parameters, "phases": dict(sorted(phases.items()))}
        write_text(TABLE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
