"""From a campaign to FireWorks: one small workflow a chunk, inserted once whoever inserts it.

What is to be done is recorded first, as the chunk's activities; a workflow's id follows from theirs. Submitting twice,
a killed insertion and several workers that end a phase at the same moment therefore all leave the same workflows.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from genmat import __version__
from genmat.database.cluster import Submission
from genmat.database.documents import CampaignDocument, CampaignState
from genmat.errors import CampaignError
from genmat.ids import stable_id
from workflows.chunk import COUNTED, SELECTED_BY
from workflows.dispatch.stages import stage_of
from workflows.steps import ADVANCE, BEGIN, job_uuid, step_workflow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fireworks.core.firework import Workflow
    from jobflow.core.flow import Flow

    from genmat.campaign import Campaign
    from genmat.database.documents import RoundState
    from genmat.database.launchpad import SessionLaunchPad
    from genmat.database.store import Store
    from workflows.chunk import Chunk

logger = logging.getLogger(__name__)


def submit_campaign(
    store: Store,
    campaign: Campaign,
    *,
    priority: int = 0,
    max_running: int | None = None,
    max_core_hours: float | None = None,
) -> CampaignDocument:
    """Store a campaign and hand it over to workers; what is there already stays.

    Loads neither torch nor the reference: whether the target can be met is checked by the campaign's first job.

    Parameters
    ----------
    store
        Database; not the in-process store.
    campaign
        Campaign.
    priority
        The larger, the earlier its jobs run.
    max_running
        Jobs of it that run at once; ``None`` for no limit.
    max_core_hours
        Core hours after which no job of it begins; ``None`` for no limit.

    Raises
    ------
    CampaignError
        If the name is taken by another configuration.
    DatabaseError
        If the database cannot hold a queue.
    """
    launchpad = store.launchpad()
    launchpad.prepare()
    document = store.campaigns.create(
        CampaignDocument(
            id=campaign.name, config=campaign.to_dict(), config_hash=campaign.config_hash, code_version=__version__
        )
    )
    store.cluster.submit(
        Submission(
            id=campaign.name,
            priority=priority,
            max_running=max_running,
            max_core_hours=max_core_hours,
            submitted_at=store.cluster.now(),
        )
    )
    if document.state is CampaignState.FINISHED:
        return document
    store.campaigns.set_state(campaign.name, CampaignState.RUNNING)
    insert_step(launchpad, campaign.name, BEGIN, cause=campaign.config_hash, priority=priority)
    return store.campaigns.require(campaign.name)


def insert_step(launchpad: SessionLaunchPad, name: str, phase: str, *, cause: str, priority: int) -> bool:
    """Insert a workflow of one bookkeeping job, unless there is one for the same cause; return whether it was new.

    Parameters
    ----------
    launchpad
        Where to.
    name
        Campaign.
    phase
        ``begin`` or ``advance``.
    cause
        What makes it necessary; part of its id.
    priority
        Of the campaign.
    """
    key = f"genmat-{stable_id('workflow', name, phase, cause)}"
    return bool(launchpad.insert_once({key: step_workflow(key, name, phase, priority=priority)}))


def submit_next(store: Store, name: str) -> int:
    """Take a campaign as far as it goes without work, insert the workflows that come next; return how many are new.

    Quick where chunks of the present phase are still being worked on.
    """
    document = store.campaigns.require(name)
    submission = store.cluster.submission(name)
    if submission is None or document.state is not CampaignState.RUNNING:
        return 0
    launchpad = store.launchpad()
    if _is_under_way(store, launchpad, document):
        return 0
    from workflows.advance import advance

    chunks = advance(store, name)
    workflows = {}
    for chunk in chunks:
        key = workflow_id(chunk)
        workflows[key] = chunk_workflow(key, chunk, priority=submission.priority)
    return len(launchpad.insert_once(workflows))


def _is_under_way(store: Store, launchpad: SessionLaunchPad, document: CampaignDocument) -> bool:
    """Return whether every chunk of the present phase has its workflow, and some are not done."""
    if not document.rounds:
        return False
    state = document.rounds[-1]
    stages = COUNTED.get(state.phase, ())
    criteria = {"campaign": document.id, "round": state.round, "stage": {"$in": list(stages)}}
    planned = store.provenance.count(criteria)
    # What is registered of a phase that is still being opened is not all of it.
    opening = SELECTED_BY.get(state.phase)
    is_open = opening is None or store.provenance.count({**criteria, "stage": opening})
    if not planned or not is_open or not _unfinished_chunks(store, document.id, state):
        return False
    return launchpad.count_workflows(document.id, round_number=state.round, phase=state.phase) >= planned


def workflow_id(chunk: Chunk) -> str:
    """Return the id of a chunk's workflow."""
    return f"genmat-{stable_id('workflow', chunk.campaign, chunk.round, chunk.phase, list(chunk.activity_ids))}"


def chunk_workflow(key: str, chunk: Chunk, *, priority: int) -> Workflow:
    """Return the workflow of a chunk: its jobs, then ``advance``.

    Parameters
    ----------
    key
        Its id, from which the uuids of its jobs follow.
    chunk
        Chunk.
    priority
        Of the campaign.
    """
    from workflows.campaign import CampaignMaker

    flow = CampaignMaker().make(chunk)
    about = {"campaign": chunk.campaign, "round": chunk.round, "phase": chunk.phase}
    return _workflow(key, flow, about, chunk.activity_ids, priority=priority)


def _workflow(key: str, flow: Flow, about: dict[str, Any], activities: Sequence[str], *, priority: int) -> Workflow:
    """Return a flow as a workflow of one Firework: its jobs one after another, on the stage of its phase.

    The first jobs do one activity each; what follows tells whether the phase is over.
    """
    from fireworks.core.firework import Firework, Workflow

    from workflows.dispatch.task import JobsTask

    # A job that is parked takes those with it that wait for it.
    described = {**about, "activity_id": activities[0]} if activities else about
    config = {"_category": stage_of(about["phase"]).value, "_priority": priority, "genmat": described}
    jobs = [step for step, _ in flow.iterflow()]  # type: ignore[no-untyped-call]
    for position, step in enumerate(jobs):
        # Two processes that build this workflow must refer to the same outputs.
        step.set_uuid(job_uuid(key, position))
        # Whatever a job adds lands on its stage.
        step.update_config({"manager_config": config}, dynamic=False)
    # No store: FireWorks would write its password into every spec.
    spec = {"_add_launchpad_and_fw_id": True, **config}
    firework = Firework([JobsTask(jobs=jobs)], spec=spec, name=about["phase"])
    metadata = {"genmat": {**about, "priority": priority}}
    return Workflow([firework], name=f"{about['campaign']}-{about['phase']}", metadata=metadata)


def end_of_phase(store: Store, name: str) -> bool:
    """Insert the bookkeeping job that closes the present phase of a campaign if nothing of it is left to do.

    Returns
    -------
    bool
        Whether it was inserted by this call.
    """
    document = store.campaigns.require(name)
    submission = store.cluster.submission(name)
    if submission is None or document.state is not CampaignState.RUNNING or not document.rounds:
        return False
    state = document.rounds[-1]
    if _unfinished_chunks(store, document.id, state):
        return False
    # A phase that was reopened ends once more.
    cause = f"end-{state.round}-{state.phase}-{document.updated_at.isoformat()}"
    return insert_step(store.launchpad(), name, ADVANCE, cause=cause, priority=submission.priority)


def _unfinished_chunks(store: Store, name: str, state: RoundState) -> bool:
    return any(
        store.provenance.unfinished(name, round_number=state.round, stage=stage)
        for stage in COUNTED.get(state.phase, ())
    )


def require_submission(store: Store, name: str) -> Submission:
    """Return the hand-over of a campaign.

    Raises
    ------
    CampaignError
        If there is no such campaign, or it was never handed over.
    """
    store.campaigns.require(name)
    submission = store.cluster.submission(name)
    if submission is None:
        msg = f"campaign {name!r} was not submitted: it runs in one process, with genmat run or genmat resume"
        raise CampaignError(msg)
    return submission


def unfinished(store: Store) -> list[str]:
    """Return the submitted campaigns that are running, by name."""
    submitted = {submission.id for submission in store.cluster.submissions()}
    running = store.campaigns.project({"state": CampaignState.RUNNING.value}, ())
    return [entry["id"] for entry in running if entry["id"] in submitted]
