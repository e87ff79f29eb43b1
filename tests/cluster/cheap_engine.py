"""An engine for the tests of dispatch: a real program in a process of its own, whose energies are pair sums."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from genmat.energy import EnergyScale
from genmat.validation.engine import Failure, Measurement, Outcome
from genmat.validation.process import run_group

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pymatgen.core.structure import Structure

PROGRAM = """
import json, math
crystal = json.load(open("crystal.json"))
lattice, sites = crystal["lattice"], crystal["frac_coords"]
images = [(a, b, c) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)]
energy = 0.0
for first in sites:
    for second in sites:
        for image in images:
            step = [s + i - f for s, i, f in zip(second, image, first)]
            distance = math.dist((0, 0, 0), [sum(step[k] * lattice[k][j] for k in range(3)) for j in range(3)])
            if distance > 0.1:
                energy += 0.1 * ((2.5 / distance) ** 12 - (2.5 / distance) ** 6)
json.dump({"energy": energy}, open("energy.json", "w"))
"""


class CheapModulus:
    """A property whose program, a real one, looks its answer up by formula; it fails where there is none."""

    fidelity = "dft:none:cheap"
    units: ClassVar[dict[str, str]] = {"bulk_modulus_vrh": "GPa"}
    parameters: ClassVar[dict[str, str]] = {"inputs": "table"}

    def __init__(self, moduli: Mapping[str, float | None]) -> None:
        self.moduli = moduli
        self.is_broken = False

    def refusal(self, structure: Structure, *, is_metal: bool) -> str | None:
        return "the crystal is a metal" if is_metal else None

    def estimate(self, structure: Structure) -> float:
        return 0.5

    def run(self, structure: Structure, *, is_metal: bool, folder: Path, max_seconds: float) -> Measurement:
        if self.is_broken:
            msg = "no licence"
            raise RuntimeError(msg)
        folder.mkdir(parents=True, exist_ok=True)
        value = json.dumps(self.moduli[structure.composition.reduced_formula])
        command = [sys.executable, "-c", f"import sys; print({value!r}); sys.exit({value!r} == 'null')"]
        ended = run_group(command, folder=folder, max_seconds=max_seconds, environment={}, log="log")
        if ended.code:
            return Measurement(Failure.CRASHED, "no such modulus", wall_seconds=ended.seconds)
        return Measurement(None, values={"bulk_modulus_vrh": float(ended.said)}, wall_seconds=ended.seconds)


class CheapEngine:
    """Pair potential; what it did is told by the process that ran."""

    name = "gpaw"
    fidelity = "dft:none:cheap"
    scale = EnergyScale("cheap", "none", "none", "none", "none")
    parameters: ClassVar[dict[str, float]] = {"sigma": 2.5}
    properties: ClassVar[dict[str, object]] = {}
    workers: list[int]

    def __init__(self, *, pause: float = 0.0) -> None:
        self.pause = pause
        self.workers = []
        self.is_broken = False

    def check(self) -> str:
        return "cheap"

    def refusal(self, structure: Structure) -> str | None:
        return None

    def estimate(self, structure: Structure) -> float:
        return 1e-3

    def warnings(self, structure: Structure) -> list[str]:
        return []

    def run(self, structure: Structure, *, folder: Path, max_seconds: float) -> Outcome:
        if self.is_broken:
            msg = "no licence"
            raise RuntimeError(msg)
        self.workers.append(os.getpid())
        folder.mkdir(parents=True)
        crystal = {"lattice": structure.lattice.matrix.tolist(), "frac_coords": structure.frac_coords.tolist()}
        (folder / "crystal.json").write_text(json.dumps(crystal))
        program = f"import time; time.sleep({self.pause})\n{PROGRAM}"
        command = [sys.executable, "-c", program]
        ended = run_group(command, folder=folder, max_seconds=max_seconds, environment={}, log="log")
        if ended.code:
            return Outcome(Failure.CRASHED, ended.said, wall_seconds=ended.seconds)
        energy = json.loads((folder / "energy.json").read_text())["energy"]
        forces = np.zeros((len(structure), 3))
        return Outcome(
            None, structure=structure.copy(), energy=energy, forces=forces, stress=0.0, band_gap=0.0,
            wall_seconds=ended.seconds,
        )  # fmt: skip
