"""VASP, or what VASP left when an earlier attempt gave it the same inputs: a flow that was cut repeats no finished run.

Run in the folder of the inputs as ``python repeat.py ATTEMPT… -- COMMAND…``; the attempts hold one folder a run. A run
counts where atomate2 has compressed it, which it does once it has found it converged; what is left here it reads and
checks like any other.
"""

from __future__ import annotations

import gzip
import os
import shutil
import sys
import zlib
from pathlib import Path

INPUTS = ("INCAR", "KPOINTS", "POSCAR", "POTCAR", "POTCAR.spec")
NOT_OUTPUTS = frozenset({*INPUTS, *(f"{name}.orig" for name in INPUTS), "custodian.json", "vasp.out"})


def main(arguments: list[str]) -> None:
    """Leave the outputs of an equal run, or become the command."""
    split = arguments.index("--")
    here = Path.cwd()
    runs = [path.parent for attempt in arguments[:split] for path in sorted(Path(attempt).glob("*/OUTCAR.gz"))]
    for run in runs:
        if not (run / "OUTCAR").exists() and _is_equal(run, here) and _is_copied(run, here):
            print(f"repeats {run}")  # noqa: T201 - the output of VASP
            return
    command = arguments[split + 1 :]
    os.execvp(command[0], command)  # noqa: S606 - the site's own command


def _is_equal(run: Path, here: Path) -> bool:
    """Return whether a run began with the inputs of a folder; custodian keeps those that it changed as ``.orig``."""
    for name in INPUTS:
        before = next(
            (path for end in (".orig.gz", ".gz", ".orig", "") if (path := run / f"{name}{end}").is_file()), None
        )
        now = here / name
        if (before is None) is now.is_file() or (before is not None and _content(before) != now.read_bytes()):
            return False
    return True


def _is_copied(run: Path, here: Path) -> bool:
    """Unpack the outputs of a run into a folder; nothing of them stays if one was cut."""
    made = []
    for path in run.glob("*.gz"):
        if path.stem in NOT_OUTPUTS or path.stem.endswith(".tar"):
            continue
        made.append(here / path.stem)
        try:
            with gzip.open(path) as packed, made[-1].open("wb") as file:
                shutil.copyfileobj(packed, file)
        except (OSError, EOFError, zlib.error):
            for output in made:
                output.unlink(missing_ok=True)
            return False
    return True


def _content(path: Path) -> bytes | None:
    """Return the content of a file; ``None`` if it was cut while it was written."""
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error):
        return None


if __name__ == "__main__":
    main(sys.argv[1:])
