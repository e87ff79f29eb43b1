"""The dispatcher: asks the scheduler for workers where there is work, mends what broke, runs failed jobs again.

It keeps nothing in memory that the database does not hold. It may be killed at any moment, run as a daemon, from cron,
or twice at once.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workflows.dispatch.allocation import ask, pause_left
from workflows.dispatch.notices import announce
from workflows.dispatch.retries import RetryPolicy, treat_failures
from workflows.dispatch.stages import Stage
from workflows.reconcile import Patience, reconcile
from workflows.submission import unfinished

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from genmat.database.store import Store
    from genmat.settings import Settings
    from workflows.dispatch.scheduler import Scheduler
    from workflows.dispatch.site import Site
    from workflows.reconcile import Finding

logger = logging.getLogger(__name__)

INTERVAL = 15.0
"""Time between two cycles, s."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """What one cycle did.

    Parameters
    ----------
    findings
        What was broken and is mended.
    failures
        Failed jobs that were retried, parked, or wait for their retry.
    asked
        Queue jobs that were asked for, by stage.
    ready
        Jobs that could begin, by stage.
    unfinished
        Submitted campaigns that are running.
    """

    findings: list[Finding]
    failures: dict[str, int]
    asked: dict[str, int] = field(default_factory=dict)
    ready: dict[str, int] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Everything that a cycle needs.

    Parameters
    ----------
    store
        Database.
    settings
        Name the folder of queue jobs and who is told of changes.
    site
        Stages with their resources; ``None`` for workers on this machine.
    scheduler
        Scheduler; ``None`` for workers on this machine.
    policy
        When failed jobs run again.
    patience
        How long things may stay as they are before they count as broken.
    """

    store: Store
    settings: Settings
    site: Site | None = None
    scheduler: Scheduler | None = None
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    patience: Patience = field(default_factory=Patience)

    @property
    def folder(self) -> Path:
        """Folder of queue jobs."""
        return self.settings.data_folder / "queue"

    def cycle(self) -> Cycle:
        """Mend, retry, ask for workers, tell."""
        findings = reconcile(self.store, self.scheduler, patience=self.patience)
        launchpad = self.store.launchpad()
        failures = treat_failures(self.store, launchpad, self.policy)
        held = self.store.cluster.held()
        ready = {stage.value: launchpad.count_ready(stage, held=held) for stage in Stage}
        asked = {stage.value: self._fill(stage, ready[stage]) for stage in Stage} if self.site else {}
        announce(self.store, self.settings)
        return Cycle(findings, failures, asked=asked, ready=ready, unfinished=unfinished(self.store))

    def run(self, *, until_done: bool, interval: float = INTERVAL, report: Callable[[Cycle], None]) -> None:
        """Do cycle after cycle, for ever or until no submitted campaign runs."""
        while True:
            cycle = self.cycle()
            report(cycle)
            if until_done and not cycle.unfinished:
                return
            time.sleep(interval)

    def _fill(self, stage: Stage, ready: int) -> int:
        """Ask for as many queue jobs as the waiting work of a stage is worth; return how many."""
        if self.site is None or self.scheduler is None or not ready:
            return 0
        config = self.site.stages[stage]
        there = sum(job.stage == stage for job in self.store.cluster.queue_jobs())
        wanted = min(config.packing.max_queue_jobs, math.ceil(ready / config.packing.jobs_per_queue_job))
        if wanted <= there or pause_left(self.store, stage) > 0:
            return 0
        for _ in range(wanted - there):
            ask(self.store, self.scheduler, config, stage=stage, folder=self.folder)
        return wanted - there
