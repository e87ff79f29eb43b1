"""Fit what a GPAW calculation is expected to cost to measured ones, and print measured and expected side by side.

    python benchmarks/fit_validation_cost.py mp-1265=41 mp-2605=67 Li3SF.cif=80 …

Each argument is a crystal, by its id in the reference or as a CIF file, and the wall time in seconds that relaxation
and static calculation took on a core of their own. Fitted are ``SECONDS_TO_START`` and ``SECONDS_A_STATE`` of
``genmat/validation/gpaw/engine.py``, by relative deviation, neither below zero.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core.structure import Structure
from scipy.optimize import nnls

from genmat.validation.gpaw import Gpaw
from workflows.computation import phase_structure

if TYPE_CHECKING:
    from numpy.typing import NDArray

SECONDS_PER_HOUR = 3600.0


def main() -> None:
    """Print the table, then the constants that would have fitted it best."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measured", nargs="+", metavar="CRYSTAL=SECONDS")
    rows = [_row(text) for text in parser.parse_args().measured]
    engine = Gpaw()
    work = np.array([engine.work(structure) for _, structure, _ in rows])
    seconds = np.array([measured for *_, measured in rows])
    to_start, a_state = fit(work, seconds)
    print("| crystal | atoms | measured (s) | expected by the constants in use (s) | by the fitted ones (s) |")
    print("|---|---|---|---|---|")
    for (name, structure, measured), (starts, states) in zip(rows, work, strict=True):
        used = SECONDS_PER_HOUR * engine.estimate(structure)
        fitted = to_start * starts + a_state * states
        print(f"| {name} | {len(structure)} | {measured:.0f} | {used:.0f} | {fitted:.0f} |")
    print(f"SECONDS_TO_START = {to_start:.2g}, SECONDS_A_STATE = {a_state:.2g}")


def fit(work: NDArray[np.float64], seconds: NDArray[np.float64]) -> tuple[float, float]:
    """Return the two constants, s: rows divided by their times, so that a long one counts no more than a short one."""
    found, _ = nnls(work / seconds[:, None], np.ones(len(seconds)))
    return float(found[0]), float(found[1])


def _row(text: str) -> tuple[str, Structure, float]:
    name, _, seconds = text.rpartition("=")
    structure = Structure.from_file(name) if Path(name).suffix == ".cif" else phase_structure(name)
    return structure.composition.reduced_formula, structure, float(seconds)


if __name__ == "__main__":
    main()
