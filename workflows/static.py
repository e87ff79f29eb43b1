"""Before relaxation: one evaluation of each candidate as proposed, and who is hopeless by it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobflow.core.job import Job, job
from jobflow.core.maker import Maker

from genmat.database.candidates import Decision
from workflows.chunk import attempt
from workflows.session import current_reference, potential_pool

if TYPE_CHECKING:
    from pymatgen.core.composition import Composition

    from genmat.database.documents import CandidateDocument
    from workflows.chunk import Work


@dataclass
class StaticMaker(Maker):
    """Evaluate the candidates of one chunk once, and drop the hopeless ones.

    1. ``static``: energy, forces and volume as proposed, against ``screen.static``; writes verdicts.
    """

    name: str = "static"

    def make(self, activity_id: str) -> Job:
        """Return the job of a chunk."""
        return static_job(activity_id)


@job(name="static")
def static_job(activity_id: str) -> dict[str, Any]:
    """Judge the candidates of a chunk as they were proposed."""
    from genmat.models.protocol import RelaxProtocol
    from genmat.screening.static import StaticPoint, check_static, is_audited
    from genmat.screening.verdict import Stage

    with attempt(activity_id) as work:
        gates = work.campaign.screen.static
        pool = potential_pool(work.campaign.screen.potential)
        candidates = work.store.candidates.get_many(work.activity.used)
        todo = {c.id: c for c in candidates.values() if all(v.stage != Stage.STATIC for v in c.verdicts)}
        drawn = work.store.structures.get_many(str(candidate.structure_id) for candidate in candidates.values())
        structures = {c.id: drawn[str(c.structure_id)].to_structure() for c in candidates.values()}
        judging = work.snapshot().judging(work.campaign.screen.hull, pool.potential)
        one_evaluation = RelaxProtocol(max_steps=0)
        if gates is not None:
            for identifier, result in pool.relax(structures, missing=set(todo), protocol=one_evaluation):
                if identifier not in todo:
                    continue
                structure = structures[identifier]
                verdict = check_static(
                    structure.composition,
                    StaticPoint(
                        result.energy_per_atom,
                        result.fmax,
                        structure.volume / len(structure),
                        _expected_volume(structure.composition),
                    ),
                    gates=gates,
                    hull=judging.hull,
                    scale=judging.scale,
                    audited=is_audited(identifier, fraction=gates.audit),
                )
                work.store.candidates.record([Decision(identifier, work.record(verdict))])
        decided = work.store.candidates.get_many(work.activity.used).values()
        work.counts.update(Counter(v.reason for c in decided for v in c.verdicts if v.stage == Stage.STATIC))
    return {"activity_id": activity_id, "counts": work.counts}


def _expected_volume(composition: Composition) -> float:
    """Return the volume that a composition has in known crystals, Å^3/atom."""
    from genmat.generation.library import template_library

    amounts = tuple((element.Z, amount) for element, amount in composition.element_composition.items())
    return template_library(current_reference()).volume.volume_per_atom(amounts)


def worth_relaxing(work: Work) -> dict[str, CandidateDocument]:
    """Return the candidates of a chunk that did not fall before relaxation, by id."""
    from genmat.screening.verdict import Stage

    candidates = work.store.candidates.get_many(work.activity.used)
    return {
        key: candidate
        for key, candidate in candidates.items()
        if all(verdict.passed for verdict in candidate.verdicts if verdict.stage == Stage.STATIC)
    }
