"""One job of VASP, in a process of its own: atomate2 changes the current folder.

Run as ``python -m genmat.validation.vasp.program JOB``: a JSON file with structure and walltime. A job that names a
functional runs the Materials Project's steps, one that names a property the flow of that; both below the folder of JOB,
where ``folders.json`` names the folders of what has run, in order, and ``values.json`` holds the values of a property.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Run the job; return the exit code."""
    source = Path(arguments[0]).resolve()
    job = json.loads(source.read_text(encoding="utf-8"))
    if "property" in job:
        from genmat.validation.vasp.flows import compute

        return compute(job, source.parent)
    from genmat.validation.vasp.steps import run_steps

    return run_steps(job, source.parent)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
