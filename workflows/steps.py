"""Workflows of one bookkeeping job, written down as jobflow would, without loading it.

jobflow brings the stores of a cloud and a plotting library along; a login node that submits, resumes or retries a
campaign needs neither. Workers read these workflows with jobflow and FireWorks like all others.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from fireworks.core.firework import FiretaskBase, Firework, Workflow

from workflows.dispatch.stages import Stage

if TYPE_CHECKING:
    from fireworks.core.firework import FWAction

BEGIN, ADVANCE = "begin", "advance"
"""Phases of the workflows that only keep the books."""
_FUNCTIONS = {BEGIN: ("workflows.begin", "begin_job"), ADVANCE: ("workflows.campaign", "advance_job")}
_ARGUMENTS: dict[str, tuple[Any, ...]] = {BEGIN: (), ADVANCE: ({},)}
"""What a job gets besides the name of the campaign; ``advance`` waits for nobody here."""
_UUIDS = uuid.UUID("6f2d6a53-7d0c-4a86-9e55-0f7f4c1b8f10")


class JobTask(FiretaskBase):  # type: ignore[misc]
    """Stands for jobflow's Firetask in a specification; workers read jobflow's own."""

    _fw_name = "{{jobflow.managers.fireworks.JobFiretask}}"

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction | None:
        """Do nothing: only what is read from the database is run, and that is jobflow's."""
        raise NotImplementedError


def job_uuid(key: str, position: int) -> str:
    """Return the uuid of a job: two processes that build one workflow must refer to the same outputs.

    Parameters
    ----------
    key
        Id of its workflow.
    position
        Place in it.
    """
    return str(uuid.uuid5(_UUIDS, f"{key}/{position}"))


def step_workflow(key: str, campaign: str, phase: str, *, priority: int) -> Workflow:
    """Return the workflow of one bookkeeping job.

    Parameters
    ----------
    key
        Its id.
    campaign
        Campaign.
    phase
        ``begin`` or ``advance``.
    priority
        Of the campaign.
    """
    module, function = _FUNCTIONS[phase]
    about = {"campaign": campaign, "round": -1, "phase": phase}
    config = {"_category": Stage.CONTROL.value, "_priority": priority, "genmat": about}
    job = {
        "@module": "jobflow.core.job",
        "@class": "Job",
        "function": {"@module": module, "@callable": function, "@bound": None},
        "function_args": [campaign, *_ARGUMENTS[phase]],
        "function_kwargs": {},
        "uuid": job_uuid(key, 0),
        "name": phase,
        "config": {"@module": "jobflow.core.job", "@class": "JobConfig", "manager_config": config},
    }
    firework = Firework([JobTask(job=job, store=None)], spec={"_add_launchpad_and_fw_id": True, **config}, name=phase)
    return Workflow([firework], name=f"{campaign}-{phase}", metadata={"genmat": {**about, "priority": priority}})
