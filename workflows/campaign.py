"""The graph of a campaign: one small flow a chunk, and the step that decides what comes next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobflow.core.flow import Flow
from jobflow.core.job import job
from jobflow.core.maker import Maker

from workflows.advance import advance
from workflows.chunk import GENERATE, PROPERTIES, VALIDATE
from workflows.generate import GenerateMaker
from workflows.prescreen import PrescreenMaker
from workflows.properties import PropertyMaker
from workflows.session import current_store
from workflows.validate import ValidateMaker

if TYPE_CHECKING:
    from workflows.chunk import Chunk


@dataclass
class CampaignMaker(Maker):
    """Do one chunk of a campaign and advance it.

    1. the jobs of :class:`GenerateMaker`, :class:`PrescreenMaker`, :class:`ValidateMaker` or :class:`PropertyMaker`;
    2. ``advance``: if this was the last chunk of its phase, close the phase.

    A campaign is many such flows. The barrier between phases is a question to the database, not an edge of a graph.
    """

    name: str = "campaign"
    generate_maker: GenerateMaker = field(default_factory=GenerateMaker)
    prescreen_maker: PrescreenMaker = field(default_factory=PrescreenMaker)
    validate_maker: ValidateMaker = field(default_factory=ValidateMaker)
    property_maker: PropertyMaker = field(default_factory=PropertyMaker)

    def make(self, chunk: Chunk) -> Flow:
        """Return the flow of a chunk."""
        makers: dict[str, Maker] = {
            GENERATE: self.generate_maker,
            VALIDATE: self.validate_maker,
            PROPERTIES: self.property_maker,
        }
        maker: Any = makers.get(chunk.phase, self.prescreen_maker)
        work = maker.make(chunk)
        step = advance_job(chunk.campaign, work.output)
        return Flow([work, step], output=step.output, name=f"{chunk.campaign}-{chunk.round}-{chunk.phase}")


@job(name="advance")
def advance_job(campaign: str, done: dict[str, Any]) -> dict[str, Any]:
    """Take a campaign as far as it goes without work; return how many chunks wait, or were submitted to FireWorks.

    On a cluster the workers that do chunks only ask whether theirs was the last of its phase; if so they insert this
    job once more, for a worker that keeps the books.

    Parameters
    ----------
    campaign
        Name of the campaign.
    done
        Summary of the chunk's last job, for which this one waits; empty where it stands alone.
    """
    store = current_store()
    if store.in_process or store.cluster.submission(campaign) is None:
        return {"campaign": campaign, "waiting": len(advance(store, campaign))}
    from workflows.submission import end_of_phase, submit_next

    if done:
        return {"campaign": campaign, "phase_ended": end_of_phase(store, campaign)}
    return {"campaign": campaign, "submitted": submit_next(store, campaign)}
