"""One structure through atomate2's flow and custodian, in a process of its own: atomate2 changes the current folder.

Run as ``python -m genmat.validation.vasp.program JOB``: a JSON file with structure, functional and walltime. The flow
runs below the folder of JOB; ``folders.json`` names the folder of each job, in order. A job that names a property runs
the flow of that and leaves its values in ``values.json``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def flow_of(job: dict[str, Any]) -> Any:
    """Return atomate2's flow for a job: the Materials Project's double relaxation and static calculation."""
    from atomate2.vasp.flows.mp import MPGGADoubleRelaxStaticMaker, MPMetaGGADoubleRelaxStaticMaker
    from atomate2.vasp.powerups import update_vasp_custodian_handlers
    from atomate2.vasp.run import DEFAULT_HANDLERS
    from custodian.vasp.handlers import WalltimeHandler
    from pymatgen.core.structure import Structure

    makers = {"PBE": MPGGADoubleRelaxStaticMaker, "r2SCAN": MPMetaGGADoubleRelaxStaticMaker}
    flow = makers[job["functional"]]().make(Structure.from_dict(job["structure"]))
    handlers = (*DEFAULT_HANDLERS, WalltimeHandler(wall_time=int(job["wall_time"])))
    return update_vasp_custodian_handlers(flow, handlers)


def main(arguments: list[str]) -> int:
    """Run the flow; return the exit code."""
    from jobflow.core.store import JobStore
    from jobflow.managers.local import run_locally
    from maggma.stores.mongolike import MemoryStore

    (source,) = map(Path, arguments)
    job = json.loads(source.read_text(encoding="utf-8"))
    if "property" in job:
        from genmat.validation.vasp.flows import compute

        return compute(job, source.parent)
    flow = flow_of(job)
    # Outputs that are large go to a store of their own, as atomate2's jobs ask.
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    responses = run_locally(flow, store=store, root_dir=source.parent, create_folders=True, raise_immediately=True)
    folders = [str(answer.job_dir) for by_index in responses.values() for answer in by_index.values()]
    (source.parent / "folders.json").write_text(json.dumps(folders), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
