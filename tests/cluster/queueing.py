"""Put jobs of no science into the queue of a submitted campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobflow.core.flow import Flow

from genmat.database.cluster import Submission
from genmat.database.documents import CampaignDocument, CampaignState
from workflows.submission import _workflow

if TYPE_CHECKING:
    from jobflow.core.job import Job

    from genmat.database.store import Store

ABOUT = {"campaign": "jobs", "round": 0, "phase": "generate"}


def enqueue(
    store: Store,
    jobs: dict[str, Job],
    *,
    name: str = "jobs",
    phase: str = "generate",
    priority: int = 0,
    **limits: object,
) -> None:
    """Insert one workflow a job; each is an activity of a campaign of that name."""
    launchpad = store.launchpad()
    launchpad.prepare()
    document = CampaignDocument(
        id=name, config={"name": name}, config_hash="0", code_version="0", state=CampaignState.RUNNING
    )
    store.campaigns.insert_if_absent([document])
    store.cluster.submit(Submission(id=name, priority=priority, submitted_at=store.cluster.now(), **limits))
    workflows = {
        f"genmat-{name}-{key}": _workflow(
            f"genmat-{name}-{key}", Flow([job]), {**ABOUT, "campaign": name, "phase": phase}, [key], priority=priority
        )
        for key, job in jobs.items()
    }
    launchpad.insert_once(workflows)


def effects(store: Store) -> dict[str, int]:
    """Count the executions of every job that left its effect."""
    found: dict[str, int] = {}
    for document in store.models.find({"kind": "effect"}):
        found[document.name] = found.get(document.name, 0) + 1
    return found
