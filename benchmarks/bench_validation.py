"""What validation costs beyond the engine: orchestration of a job, and reading finished runs of VASP.

The jobs go the real way, jobflow through FireWorks on a private ``mongod``, several by one worker as in one allocation.
Their engine's program does nothing, so that all that is measured is ours.
"""

from __future__ import annotations

import argparse
import logging
import os
import runpy
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import psutil
from machine import describe_machine, shared_data
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.campaign.io import parse_campaign
from genmat.database.cluster import Submission
from genmat.database.documents import CampaignDocument, CampaignState
from genmat.database.store import Store, connect
from genmat.energy import EnergyScale
from genmat.settings import Settings
from genmat.validation import registry
from genmat.validation.engine import Outcome
from genmat.validation.process import run_group
from workflows.chunk import VALIDATE, Chunk, plan_activity
from workflows.description import describe, structure_document
from workflows.dispatch.stages import Stage
from workflows.dispatch.worker import WorkerOptions, work
from workflows.submission import chunk_workflow, workflow_id

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

CAMPAIGN = """
name: bench
target: {properties: [{name: energy_above_hull, max: 0.1}], chemistry: {elements: [Li, Na, F, Cl]}}
generate: {n: 10}
validate: {engine: vasp, top: 10}
"""
FIVE_MINUTES = 300.0
LIMIT_SECONDS, LIMIT_SHARE = 3.0, 0.02


class Nothing:
    """An engine whose program ends at once; the real way to start and to end one."""

    name = "vasp"
    fidelity = "dft:none:nothing"
    scale = EnergyScale("nothing", "none", "none", "none", "none")
    parameters: ClassVar[Mapping[str, float]] = {}

    def __init__(self) -> None:
        self.ended: list[float] = []

    def run(self, structure: Structure, *, folder: Path, max_seconds: float) -> Outcome:
        """Return the crystal as it is."""
        folder.mkdir(parents=True, exist_ok=True)
        run_group(["true"], folder=folder, max_seconds=max_seconds, environment=os.environ, log="log")
        self.ended.append(time.perf_counter())
        forces = np.zeros((len(structure), 3))
        return Outcome(None, structure=structure, energy=-1.0, forces=forces, stress=0.0, band_gap=0.0)


def crystals(n: int) -> list[Structure]:
    """Return rock-salt cells of 16 atoms that differ in size."""
    lattices = [Lattice.cubic(5.5 + 0.001 * k) for k in range(n)]
    made = [Structure.from_spacegroup("Fm-3m", a, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]) for a in lattices]
    return [cell * (2, 1, 1) for cell in made]


def orchestration(store: Store, n_jobs: int) -> None:
    """Put jobs into the queue, do them with one worker, and tell what each took."""
    engine = Nothing()
    registry.get_engine = lambda _: engine  # type: ignore[assignment, return-value]
    campaign = parse_campaign(CAMPAIGN, source="bench")
    stored = CampaignDocument(
        id="bench",
        config=campaign.to_dict(),
        config_hash=campaign.config_hash,
        code_version="0",
        state=CampaignState.RUNNING,
    )
    store.campaigns.insert_if_absent([stored])
    store.cluster.submit(Submission(id="bench", submitted_at=store.cluster.now()))
    store.launchpad().prepare()
    chunks = []
    for number, structure in enumerate(crystals(n_jobs)):
        document = structure_document(describe(structure), identifier=f"{number:032x}", parents=[])
        store.structures.insert_if_absent([document])
        activity = plan_activity("bench", 0, VALIDATE, [document.id])
        store.provenance.insert_if_absent([activity])
        chunks.append(Chunk("bench", 0, VALIDATE, (activity.id,)))
    started = time.perf_counter()
    store.launchpad().insert_once({workflow_id(c): chunk_workflow(workflow_id(c), c, priority=0) for c in chunks})
    inserted = time.perf_counter() - started
    started = time.perf_counter()
    done = work(store, WorkerOptions(stages=(Stage.CPU,), cores=1, idle=0))
    seconds = time.perf_counter() - started
    if done != n_jobs or len(engine.ended) != n_jobs:
        msg = f"{done} jobs were done, {n_jobs} were to be"
        raise SystemExit(msg)
    each = [after - before for before, after in pairwise(engine.ended)]
    mean = (inserted + seconds) / n_jobs
    print(f"{n_jobs} jobs, insertion included: {mean:.2f} s each, {100 * mean / FIVE_MINUTES:.2f} % of five minutes")
    print(f"first job, imports included: {engine.ended[0] - started:.2f} s; between later ones: median "
          f"{np.median(each):.2f} s, largest {max(each):.2f} s")  # fmt: skip
    print(f"asked for: below {LIMIT_SECONDS:g} s and {100 * LIMIT_SHARE:g} %")


def steps_of_vasp(folder: Path) -> None:
    """Run all steps of VASP with a ``vasp`` that needs no time: imports, inputs, custodian, parsing."""
    from genmat.validation.vasp import Vasp
    from genmat.validation.vasp.nursery import NURSERY

    # By its path: packages install a folder "tests" of their own.
    stand_in = runpy.run_path(str(Path(__file__).resolve().parents[1] / "tests" / "validation" / "conftest.py"))
    # Compiles, as the first calculation after an installation does.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
    os.environ |= stand_in["replaying_site"](folder, shared_data() / "vasp" / "nonmetallic")
    walls, processor = [], []
    for number in range(6):
        if number == 1:
            NURSERY.close()
        before, started = _processor_seconds(NURSERY.process), time.perf_counter()
        outcome = Vasp().run(stand_in["silicon"](), folder=folder / f"run-{number}", max_seconds=600)
        if not outcome.converged:
            raise SystemExit(outcome.detail)
        walls.append(time.perf_counter() - started)
        processor.append(_processor_seconds(NURSERY.process) - before)
    NURSERY.close()
    for what, chosen in (("first of a worker", slice(1, 2)), ("a further one", slice(2, None))):
        wall, busy = min(walls[chosen]), min(processor[chosen])
        print(f"three steps of VASP that take no time, {what}: {wall:.1f} s, {busy:.1f} s of processor time")


def _processor_seconds(started: subprocess.Popen[bytes] | None) -> float:
    """Return what this process and one that it started have used, with what those started in turn."""
    spent = sum(os.times()[:2])
    return spent if started is None else spent + sum(psutil.Process(started.pid).cpu_times()[:4])


def reading() -> None:
    """Read real runs as a finished job does."""
    from genmat.validation.vasp.outputs import read_run

    folder = shared_data() / "vasp"
    read_run(folder / "nonmetallic", is_corrected=True)  # imports
    for name in ("nonmetallic", "vasp_mp_run1", "metallic"):
        started = time.process_time()
        outcome = read_run(folder / name)
        found = time.process_time() - started
        started = time.process_time()
        if outcome.structure is not None:
            structure_document(describe(outcome.structure), identifier="0" * 32, parents=[])
        document = time.process_time() - started
        print(f"{name}: read in {found:.2f} s, document in {document:.2f} s (processor time)")


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=30, help="jobs of one crystal each")
    chosen = parser.parse_args()
    logging.disable(logging.INFO)  # jobflow tells of each job
    print(describe_machine(), f"load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name, connect(Settings(data_folder=Path(name) / "data")) as store:
        orchestration(store, chosen.jobs)
        steps_of_vasp(Path(name))
    reading()


if __name__ == "__main__":
    main()
