"""Run a campaign in this process: start it, or take up what a kill left."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genmat import __version__
from genmat.campaign import Campaign
from genmat.database.documents import CampaignDocument, CampaignState, ModelDocument
from genmat.errors import CampaignError, EnergyScaleError, GenmatError
from genmat.models.potentials import get_potential
from genmat.models.potentials.weights import sha256_of
from workflows.advance import advance
from workflows.chunk import COUNTED, PROPERTIES, VALIDATE
from workflows.planning import campaign_generator
from workflows.session import current_labels, current_reference, n_cores, use_store, use_workers
from workflows.validate import side_by_side
from workflows.validation import absent_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from genmat.database.store import Store
    from genmat.energy import EnergyScale
    from genmat.models.potentials import Potential
    from genmat.reference.table import Reference
    from workflows.chunk import Chunk

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands: chunks done and planned of one phase of one round."""

    round: int
    n_rounds: int
    phase: str
    done: int
    total: int


def check_judgeable(potential: Potential, scale: EnergyScale) -> None:
    """Check that the reference's hull lies on the scale of a potential's energies.

    Raises
    ------
    EnergyScaleError
        If it does not: no distance to it would mean anything.
    """
    if potential.scale != scale:
        msg = (
            f"screen.potential {potential.name} gives energies on the scale {potential.scale}, the reference's hull "
            f"lies on {scale}: no distance to it would mean anything. Take a potential of that scale, or build a "
            f"reference with genmat data build-reference --potential {potential.name}"
        )
        raise EnergyScaleError(msg)


def check_labelled(potential: Potential, labels: Reference | None) -> None:
    """Check that there are labels of the scale that a potential predicts.

    Raises
    ------
    EnergyScaleError
        If nobody states which labels it predicts, there are none, or they are of another scale.
    """
    predicted = potential.label_scale
    if predicted is None:
        msg = (
            f"screen.hull is dft, but nobody states which labels {potential.name} predicts: add it again with "
            "genmat models add --labels ENGINE, or take screen.hull: own"
        )
    elif labels is None:
        msg = (
            f"screen.hull is dft, but the settings name no labels on the scale {predicted}: make them with genmat data "
            "build-labels, name them in the setting labels (GENMAT_LABELS), or take screen.hull: own"
        )
    elif labels.scale != predicted:
        msg = (
            f"screen.potential {potential.name} predicts energies on the scale {predicted}, the setting labels names "
            f"ones on {labels.scale}: no distance to their hull would mean anything"
        )
    else:
        return
    raise EnergyScaleError(msg)


def create_campaign(store: Store, campaign: Campaign) -> CampaignDocument:
    """Store a campaign after checking that its target can be met at all; a stored one with equal configuration stays.

    Raises
    ------
    CampaignError
        If the name is taken by another configuration, or the generator cannot meet the target.
    PotentialError
        If the potential is unknown or its weights are missing or altered.
    EnergyScaleError
        If there is no hull, of the reference or of labels as the campaign asks, on the scale of the potential.
    EngineError
        If the engine of the validation cannot run here and is not optional.
    """
    potential = get_potential(campaign.screen.potential)
    potential.check_weights()
    if (committee := campaign.screen.further.committee) is not None:
        from genmat.screening.committee import check_committee

        members = [get_potential(name) for name in committee.potentials]
        for member in members:
            member.check_weights()
        check_committee({member.name: member.scale for member in (potential, *members)})
    if campaign.screen.hull == "dft":
        check_labelled(potential, current_labels())
    else:
        check_judgeable(potential, current_reference().scale)
    if campaign.validation is not None and (absence := absent_engine(campaign.validation)) is not None:
        logger.warning("%s; the campaign goes on without validation", absence)
    generator = campaign_generator(campaign)
    generator.check_target(campaign.target)
    for warning in generator.provenance(campaign.target).get("warnings", ()):
        logger.warning("target: %s", warning)
    document = store.campaigns.create(
        CampaignDocument(
            id=campaign.name, config=campaign.to_dict(), config_hash=campaign.config_hash, code_version=__version__
        )
    )
    store.models.insert_if_absent([_model_document(potential)])
    return document


def _model_document(potential: Potential) -> ModelDocument:
    if potential.weights:
        is_file = Path(potential.weights).is_absolute()
        location = potential.weights if is_file else f"package chgnet, {potential.weights}"
        sha256 = potential.sha256
    else:
        location, sha256 = "no weights file", sha256_of(f"{potential.version} {potential.options}".encode())
    return ModelDocument(
        id=potential.name,
        name=potential.family.value,
        version=potential.version,
        kind="potential",
        sha256=sha256,
        license=potential.licence,
        location=location,
        energy_scale=potential.scale.to_dict(),
    )


def run_campaign(
    store: Store, name: str, *, workers: int | None = None, report: Callable[[Progress], None] | None = None
) -> CampaignDocument:
    """Run a stored campaign to its end and return its document; nothing happens if it is finished.

    Parameters
    ----------
    store
        Database.
    name
        Campaign.
    workers
        Processes that relax; those of the configuration by default.
    report
        Called after every chunk.

    Raises
    ------
    CampaignBusyError
        If another live process runs it.
    CampaignError
        If a chunk fails; the campaign is marked as failed and can be resumed.
    """
    document = store.campaigns.require(name)
    if document.state is CampaignState.FINISHED:
        return document
    campaign = Campaign.from_dict(document.config, source=f"campaign {name!r}")
    count = workers or (n_cores() if campaign.resources.workers == "auto" else campaign.resources.workers)
    with ExitStack() as stack:
        stack.enter_context(store.campaigns.hold(name))
        stack.enter_context(use_store(store))
        stack.enter_context(use_workers(count))
        store.campaigns.set_state(name, CampaignState.RUNNING)
        try:
            while chunks := advance(store, name):
                _run_chunks(store, chunks, n_rounds=campaign.learn.rounds, workers=count, report=report)
        except GenmatError as err:
            store.campaigns.set_state(name, CampaignState.FAILED, error=str(err))
            raise
    return store.campaigns.require(name)


def _run_chunks(
    store: Store,
    chunks: list[Chunk],
    *,
    n_rounds: int,
    workers: int,
    report: Callable[[Progress], None] | None,
) -> None:
    """Run the flows of some chunks of one phase: one after another with all workers, or calculations side by side."""
    from jobflow.managers.local import run_locally

    from workflows.campaign import CampaignMaker

    first = chunks[0]
    criteria = {"campaign": first.campaign, "round": first.round}
    total = sum(store.provenance.count({**criteria, "stage": stage}) for stage in COUNTED[first.phase])
    done = total - len(chunks)
    job_store = store.job_store()
    maker = CampaignMaker()

    def work(chunk: Chunk) -> None:
        flow = maker.make(chunk)
        try:
            run_locally(flow, log=False, store=job_store, create_folders=False, raise_immediately=True)
        except GenmatError:
            raise
        except Exception as err:
            first_line = str(err).partition("\n")[0]
            msg = (
                f"campaign {chunk.campaign!r}: {chunk.phase} in round {chunk.round + 1} failed "
                f"({type(err).__name__}: {first_line}); nothing is lost, continue with: genmat resume {chunk.campaign}"
            )
            raise CampaignError(msg) from err

    def say() -> None:
        if report is not None:
            report(Progress(first.round, n_rounds, first.phase, done, total))

    say()
    if first.phase in {VALIDATE, PROPERTIES}:
        ended: Iterable[object] = side_by_side(work, chunks, workers=workers)
    else:
        ended = map(work, chunks)
    for _ in ended:
        done += 1
        say()
