"""Validation: the best candidates of a round, and what they compete with, computed from first principles."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobflow.core.job import Job, job
from jobflow.core.maker import Maker

from genmat.errors import GenmatError
from genmat.settings import Settings
from workflows.chunk import COMPETE, attempt
from workflows.computation import (
    Computed,
    competing_ids,
    compute,
    engine_property,
    hull_distance,
    known_competitors,
    phase_structure,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from pymatgen.core.structure import Structure

    from genmat.campaign.schema import Validation
    from genmat.database.store import Store
    from genmat.validation.engine import Engine
    from workflows.chunk import Chunk, Work

SECONDS_PER_HOUR = 3600.0


@dataclass
class ValidateMaker(Maker):
    """Compute one crystal from first principles.

    1. ``validate``: relax a candidate, or a phase that candidates compete with; writes a structure and properties.

    One flow a structure: a campaign is many of them, side by side where there is room.
    """

    name: str = "validate"

    def make(self, chunk: Chunk) -> Job:
        """Return the job of a chunk."""
        return validate_job(*chunk.activity_ids)


def campaign_engine(validation: Validation) -> Engine:
    """Return the engine that a campaign asks for."""
    from genmat.validation.registry import get_engine

    return get_engine(validation.engine)


def asked_of(work: Work) -> Validation:
    """Return what the campaign of a job asks an engine for.

    Raises
    ------
    GenmatError
        If it asks for nothing.
    """
    if work.campaign.validation is None:
        msg = f"campaign {work.campaign.name!r} asks for no validation"
        raise GenmatError(msg)
    return work.campaign.validation


@job(name="validate")
def validate_job(activity_id: str) -> dict[str, Any]:
    """Compute the crystal of an activity; a failure is a count with its reason, never an exception."""
    with attempt(activity_id) as work:
        asked = asked_of(work)
        engine = campaign_engine(asked)
        (source,) = work.activity.used
        if work.activity.stage == COMPETE:
            structure = phase_structure(source)
        else:
            structure = work.store.structures.require(source).to_structure()
        computed = compute(
            work.store,
            engine,
            source,
            structure,
            max_seconds=asked.max_hours_each * SECONDS_PER_HOUR,
            keep=Settings.load().dft_folder,
            activity_id=activity_id,
            potential=None if work.activity.stage == COMPETE else work.campaign.screen.potential,
        )
        if computed.failure is None:
            work.generated.add(computed.structure_id)
        work.counts.update(Counter([computed.failure or "ok"]))
        work.found |= {"detail": computed.detail, "core_hours": computed.core_hours}
    return {"activity_id": activity_id, "counts": work.counts}


@dataclass(frozen=True, slots=True)
class Validated:
    """What ``genmat validate`` says about one crystal.

    Parameters
    ----------
    computed
        The calculation.
    energy_above_hull
        eV/atom; ``None`` where it cannot be told.
    competing
        What it competes with, or why there is no distance.
    warnings
        What to know about the result.
    """

    computed: Computed
    energy_above_hull: float | None
    competing: str
    warnings: tuple[str, ...] = ()


def validate_structures(
    store: Store,
    engine: Engine,
    structures: Mapping[str, Structure],
    *,
    max_seconds: float,
    workers: int = 1,
    keep: Path | None = None,
    report: Callable[[str, int, int], None] | None = None,
) -> dict[str, Validated]:
    """Compute crystals and the phases that they compete with, several side by side.

    Parameters
    ----------
    store
        Database; it spares what it holds already.
    engine
        What computes.
    structures
        Ordered crystals by id.
    max_seconds
        Wall time of one calculation.
    workers
        Calculations side by side, one core each.
    keep
        Folder of the raw files.
    report
        Called with a stage, what is done of it and its total.
    """
    computable = {key: value for key, value in structures.items() if engine.refusal(value) is None}
    tasks = {**computable, **missing_phases(store, engine, computable.values())}
    done: dict[str, Computed] = {}

    def work(key: str) -> tuple[str, Computed]:
        return key, compute(store, engine, key, tasks[key], max_seconds=max_seconds, keep=keep)

    # Large cells first: the last one to end decides how long it takes.
    order = sorted(tasks, key=lambda key: -len(tasks[key]))
    for key, computed in side_by_side(work, order, workers=workers):
        done[key] = computed
        if report is not None:
            report("compute", len(done), len(tasks))
    results = {}
    for key, structure in structures.items():
        if key not in computable:
            refusal = engine.refusal(structure) or ""
            results[key] = Validated(Computed(key, failure="refused", detail=refusal), None, refusal)
            continue
        results[key] = _judged(store, engine, structure, done[key])
    return results


def missing_phases(store: Store, engine: Engine, structures: Any) -> dict[str, Structure]:
    """Return the competing phases of some crystals that have no energy by the engine and can get one, by id."""
    wanted: set[str] = set()
    for structure in structures:
        try:
            wanted.update(competing_ids(structure.composition))
        except GenmatError:
            continue  # told again, with its reason, where the distance is asked for
    found = {}
    for name in sorted(wanted - known_competitors(store, engine, wanted).keys()):
        try:
            structure = phase_structure(name)
        except GenmatError:
            continue
        if engine.refusal(structure) is None:
            found[name] = structure
    return found


def expected_core_hours(store: Store, engine: Engine, structures: Mapping[str, Structure]) -> dict[str, float]:
    """Return the expected cost of everything that a validation has to compute, core hours by id."""
    computable = {key: value for key, value in structures.items() if engine.refusal(value) is None}
    tasks = {**computable, **missing_phases(store, engine, computable.values())}
    return {key: engine.estimate(structure) for key, structure in tasks.items()}


def _judged(store: Store, engine: Engine, structure: Structure, computed: Computed) -> Validated:
    warnings = tuple(engine.warnings(structure))
    above, competing = hull_distance(store, engine, computed)
    if above is not None:
        document = store.structures.require(computed.structure_id)
        further = {"competing": competing}
        store.properties.insert_if_absent(
            [engine_property(document, "energy_above_hull", above, engine, further=further)]
        )
    return Validated(computed, above, competing, warnings)


def side_by_side[T, R](work: Callable[[T], R], tasks: Iterable[T], *, workers: int) -> Iterator[R]:
    """Do tasks that wait for programs, several at a time; yield what each returns as it ends.

    An error or an interruption ends every program that still runs.
    """
    from genmat.validation.process import end_running

    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        for future in as_completed([pool.submit(work, task) for task in tasks]):
            yield future.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        end_running()
        raise
    finally:
        pool.shutdown(wait=True)
