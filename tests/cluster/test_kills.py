"""Workers killed in the middle of a campaign: reconciled and dispatched again, it equals an undisturbed one."""

from __future__ import annotations

import logging
import random
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from workflows.dispatch.retries import RetryPolicy, treat_failures
from workflows.dispatch.worker import WorkerOptions, work
from workflows.reconcile import Patience, reconcile
from workflows.submission import submit_campaign

from .conftest import outcome

if TYPE_CHECKING:
    from genmat.database.store import Store

    from .conftest import Place

logger = logging.getLogger(__name__)
pytestmark = pytest.mark.mongo
IMPATIENT = Patience(lock=0.3, reservation=timedelta(0), grace=timedelta(0))
MOMENTS = ("generate", "relax", "assess")


def kill_in(place: Place, store: Store, *, stage: str, delay: float) -> bool:
    """Start a worker and SIGKILL it some time after a stage has begun; return whether it had not ended by itself."""
    process = place.start("genmat.cli", "work", "--idle", "0", "--cores", "1")
    begun = {"stage": stage, "state": {"$in": ["running", "completed"]}}
    while process.poll() is None and not store.provenance.count(begun):
        time.sleep(0.05)
    time.sleep(delay)
    was_alive = process.poll() is None
    place.kill(process)
    return was_alive


def finish(store: Store) -> None:
    """Mend and work until the campaign is finished."""
    for _ in range(10):
        reconcile(store, None, patience=IMPATIENT)
        treat_failures(store, store.launchpad(), RetryPolicy(pause=0.0))
        work(store, WorkerOptions(cores=1, idle=0))
        if store.campaigns.require("tiny").state == "finished":
            return
    pytest.fail(f"not finished: {store.launchpad().states('tiny')}")


@pytest.mark.timeout(900)
def test_a_worker_killed_in_generate_and_in_relax_changes_no_result(place: Place, store, campaign, undisturbed):
    submit_campaign(store, campaign)
    assert kill_in(place, store, stage="generate", delay=0.1)
    reconcile(store, None, patience=IMPATIENT)
    assert kill_in(place, store, stage="relax", delay=1.0)
    finish(store)
    assert outcome(store, "tiny") == undisturbed


@pytest.mark.slow
@pytest.mark.timeout(3600 * 4)
def test_workers_killed_at_fifty_random_moments_change_no_result(place: Place, campaign, undisturbed):
    moment = random.Random(11)  # noqa: S311 - moments, not secrets
    n_killed = n_campaigns = 0
    while n_killed < 50:
        place.database = f"{place.database[:12]}{n_campaigns:02d}"
        n_campaigns += 1
        with place.open() as store:
            submit_campaign(store, campaign)
            for stage in MOMENTS:
                n_killed += kill_in(place, store, stage=stage, delay=moment.uniform(0.0, 3.0))
                reconcile(store, None, patience=IMPATIENT)
            finish(store)
            assert outcome(store, "tiny") == undisturbed
    logger.warning("%d workers killed in %d campaigns", n_killed, n_campaigns)
