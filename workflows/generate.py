"""Generation: draws become candidates, judged by everything that needs no energy."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobflow.core.job import Job, job
from jobflow.core.maker import Maker

from genmat.database.documents import CandidateDocument, CandidateStatus
from workflows.chunk import attempt
from workflows.identity import candidate_id, drawn_structure_id
from workflows.planning import campaign_generator

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

    from genmat.database.documents import StructureDocument
    from genmat.generation.draw import Draw, Generator
    from genmat.screening.verdict import Verdict
    from workflows.chunk import Chunk, Work
    from workflows.snapshot import Snapshot


@dataclass
class GenerateMaker(Maker):
    """Turn the draws of one chunk into candidates.

    1. ``generate``: draw, check validity, compare with the reference; writes structures and candidates.
    """

    name: str = "generate"

    def make(self, chunk: Chunk) -> Job:
        """Return the job of a chunk."""
        return generate_job(*chunk.activity_ids)


@job(name="generate")
def generate_job(activity_id: str) -> dict[str, Any]:
    """Draw the candidates of a chunk; return the number of candidates per reason."""
    from genmat.generation.draw import DrawContext

    with attempt(activity_id) as work:
        snapshot = work.snapshot()
        generator = campaign_generator(work.campaign)
        context = DrawContext(
            target=work.campaign.target,
            campaign=work.activity.campaign,
            round=work.activity.round,
            seed=work.campaign.generate.seed,
            weights=work.weights,
        )
        first, last = int(work.activity.parameters["first"]), int(work.activity.parameters["last"])  # type: ignore[arg-type]
        made = [
            _candidate(work, generator, draw, snapshot)
            for draw in generator.draw(range(first, last + 1), context=context)
        ]
        structures = [structure for _, structure in made if structure is not None]
        work.store.structures.insert_if_absent(structures)
        work.store.candidates.insert_if_absent([candidate for candidate, _ in made])
        work.generated.update(document.id for pair in made for document in pair if document is not None)
        work.counts.update(Counter(candidate.reason for candidate, _ in made))
    return {"activity_id": activity_id, "counts": work.counts}


def _candidate(
    work: Work, generator: Generator, draw: Draw, snapshot: Snapshot
) -> tuple[CandidateDocument, StructureDocument | None]:
    from genmat.screening.verdict import Reason, Stage, Verdict
    from workflows.description import Described, structure_document

    identifier = candidate_id(
        campaign=work.activity.campaign,
        round_number=work.activity.round,
        generator_configuration=generator.configuration_id,
        index=draw.index,
    )
    common = {
        "id": identifier,
        "campaign": work.activity.campaign,
        "round": work.activity.round,
        "index": draw.index,
        "generator": generator.name,
        "generator_hash": generator.configuration_id,
        "seed": work.campaign.generate.seed,
        "origin": dict(draw.origin),
        "score": draw.score if math.isfinite(draw.score) else None,
    }
    if draw.crystal is None or draw.structure is None:
        verdict = Verdict.reject(Stage.GENERATE, Reason.GENERATOR_FAILED, draw.failure or "no proposal")
        return _decided(work, common, [verdict]), None
    structure = structure_document(
        Described(draw.structure, draw.crystal), identifier=drawn_structure_id(identifier), parents=[]
    )
    common |= {
        "structure_id": structure.id,
        "content_hash": structure.content_hash,
        "formula_pretty": structure.formula_pretty,
        "elements": structure.elements,
        "nelements": structure.nelements,
        "chemsys": structure.chemsys,
        "nsites": structure.nsites,
        "space_group_number": structure.space_group_number,
        "gene": structure.gene,
    }
    return _decided(work, common, _early_verdicts(work, draw.structure, structure.gene or "", snapshot)), structure


def _early_verdicts(work: Work, structure: Structure, name: str, snapshot: Snapshot) -> list[Verdict]:
    """Return the verdicts up to the first that rejects: generation, validity, novelty."""
    from genmat.screening.identity import describe
    from genmat.screening.validity import check_validity
    from genmat.screening.verdict import Stage, Verdict

    verdicts = [Verdict.accept(Stage.GENERATE)]
    verdicts.append(check_validity(structure, gates=work.campaign.screen.gates))
    if verdicts[-1].passed:
        disordered = work.campaign.screen.matching == "disordered"
        verdicts.append(snapshot.novelty.check(describe(structure, gene=name), disordered=disordered))
    return verdicts


def _decided(work: Work, fields: dict[str, Any], verdicts: list[Verdict]) -> CandidateDocument:
    last = verdicts[-1]
    return CandidateDocument(
        **fields,
        stage=last.stage,
        status=CandidateStatus.ACTIVE if last.passed else CandidateStatus.REJECTED,
        reason=last.reason,
        verdicts=[work.record(verdict) for verdict in verdicts],
    )
