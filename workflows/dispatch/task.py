"""A Firetask that does several jobs of jobflow one after another: a chunk is one Firework, not one for each job.

FireWorks asks the database some twenty times for each Firework, and loses what a Firetask adds to the graph unless it
is the last of its Firework; jobs that add something therefore come last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fireworks.core.firework import FiretaskBase, FWAction
from fireworks.utilities.fw_serializers import recursive_serialize, serialize_fw
from fireworks.utilities.fw_utilities import explicit_serialize

from genmat.errors import GenmatError

if TYPE_CHECKING:
    from jobflow.core.job import Job


@explicit_serialize
class JobsTask(FiretaskBase):  # type: ignore[misc]
    """Do jobs in their order; each stores its output before the next one begins."""

    required_params = ("jobs",)

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        """Do the jobs, and return the action of the last with what all of them stored.

        Raises
        ------
        GenmatError
            If a job that is not the last changes the graph.
        """
        from jobflow.managers.fireworks import JobFiretask

        jobs: list[Job] = self["jobs"]
        stored: dict[str, Any] = {}
        action = FWAction()
        for job in jobs:
            if _changes_graph(action):
                msg = f"job {job.name!r} follows one that adds jobs: let the latter be the last of its chunk"
                raise GenmatError(msg)
            task = JobFiretask(job=job, store=None)
            task.fw_id = self.fw_id
            action = task.run_task(fw_spec)  # type: ignore[no-untyped-call]
            stored |= action.stored_data
        action.stored_data = stored
        return action

    @serialize_fw  # type: ignore[untyped-decorator]
    @recursive_serialize  # type: ignore[untyped-decorator]
    def to_dict(self) -> dict[str, Any]:
        """Return the task as the database keeps it; functions by their names."""
        from monty.json import jsanitize

        return {**self, "jobs": [jsanitize(job.as_dict()) for job in self["jobs"]]}


def _changes_graph(action: FWAction) -> bool:
    return bool(action.detours or action.additions or action.defuse_children or action.defuse_workflow)
