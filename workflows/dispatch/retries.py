"""Jobs that failed: run again after a pause that doubles, then parked so that the campaign goes on without them."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genmat.database.candidates import Decision
from genmat.database.documents import ActivityState, CampaignState, CandidateStatus, VerdictRecord
from genmat.errors import CampaignError
from genmat.screening.verdict import Reason
from genmat.screening.verdict import Stage as Funnel
from workflows.chunk import ASSESS, BY_ENGINE, COUNTED, DONE, GENERATE, PRESCREEN, PROPERTIES, RELAX, VALIDATE
from workflows.steps import ADVANCE, BEGIN
from workflows.submission import insert_step, require_submission

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genmat.database.documents import ActivityDocument, CandidateDocument
    from genmat.database.launchpad import Failure, SessionLaunchPad
    from genmat.database.store import Store

logger = logging.getLogger(__name__)

_PHASE_ORDER = (GENERATE, PRESCREEN, VALIDATE, PROPERTIES, DONE)
_NEXT_VERDICT = {RELAX: Funnel.RELAX, ASSESS: Funnel.STABILITY}
"""Stage of the funnel at which the candidates of a parked activity stop."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed job runs again.

    Parameters
    ----------
    max_attempts
        Attempts after which a job that raises is parked.
    max_lost
        Workers that may vanish under a job before it is parked: walltime kills keep what was done, so they are many.
    pause
        Pause after the first failure, doubled after each further one, s.
    longest
        Longest pause, s.
    """

    max_attempts: int = 3
    max_lost: int = 20
    pause: float = 30.0
    longest: float = 3600.0

    def is_spent(self, failure: Failure) -> bool:
        """Return whether a job is given up."""
        return failure.attempts >= self.max_attempts or failure.lost >= self.max_lost

    def wait(self, failure: Failure) -> float:
        """Return the pause after the last failure, s."""
        return min(self.longest, self.pause * math.pow(2, max(0, failure.attempts - 1)))


def treat_failures(store: Store, launchpad: SessionLaunchPad, policy: RetryPolicy) -> dict[str, int]:
    """Run failed jobs again whose pause is over, park those that failed too often; return how many of each.

    A campaign whose bookkeeping cannot be done fails with the reason.
    """
    counts = {"retried": 0, "parked": 0, "waiting": 0}
    now = store.cluster.now()
    for failure in launchpad.failures():
        if policy.is_spent(failure):
            park(store, launchpad, failure)
            counts["parked"] += 1
        elif (now - failure.failed_at).total_seconds() >= policy.wait(failure):
            launchpad.rerun_fw(failure.fw_id)
            counts["retried"] += 1
        else:
            counts["waiting"] += 1
    return counts


def park(store: Store, launchpad: SessionLaunchPad, failure: Failure) -> None:
    """Give a failed job up: its chunk counts as done, its candidates say why they were not judged.

    Doing so twice, or after a kill in the middle, changes nothing more.
    """
    logger.warning(
        "%s of campaign %s is parked after %d attempts: %s",
        failure.phase,
        failure.campaign,
        failure.attempts + failure.lost,
        failure.error,
    )
    if failure.activity_id is None:
        error = f"{failure.phase} failed {failure.attempts} times: {failure.error}; genmat retry {failure.campaign}"
        store.campaigns.set_state(failure.campaign, CampaignState.FAILED, error=error)
        launchpad.defuse_fw(failure.fw_id)
        return
    detail = f"{failure.error} (job {failure.fw_id}, {failure.attempts + failure.lost} attempts)"
    for activity in _chunk_activities(store, failure.activity_id):
        store.provenance.park(activity.id)
        _stop_candidates(store, activity, detail=detail)
    submission = store.cluster.submission(failure.campaign)
    cause = f"parked-{failure.fw_id}-{failure.attempts + failure.lost}"
    priority = submission.priority if submission is not None else 0
    # Before the mark that it is parked, so that a kill here parks it again.
    insert_step(launchpad, failure.campaign, ADVANCE, cause=cause, priority=priority)
    launchpad.defuse_fw(failure.fw_id)


def _chunk_activities(store: Store, activity_id: str) -> list[ActivityDocument]:
    """Return the activity and those of its chunk that wait for it."""
    activity = store.provenance.require(activity_id)
    if activity.stage != RELAX:
        return [activity]
    criteria = {"campaign": activity.campaign, "round": activity.round, "stage": ASSESS, "used": activity.used}
    return [activity, *store.provenance.find(criteria)]


def _stop_candidates(store: Store, activity: ActivityDocument, *, detail: str) -> None:
    if activity.stage in BY_ENGINE and activity.state is not ActivityState.COMPLETED:
        # The verdict of its candidate, which is told where the round ends, quotes this.
        told = {"counts": {Reason.JOB_FAILED.value: 1}, "parameters": {**activity.parameters, "detail": detail}}
        store.provenance.set_fields({activity.id: told})
    stage = _NEXT_VERDICT.get(activity.stage)
    if stage is None:
        return
    verdict = VerdictRecord(stage=stage, passed=False, reason=Reason.JOB_FAILED, detail=detail, activity_id=activity.id)
    open_ones = [
        candidate.id
        for candidate in store.candidates.get_many(activity.used).values()
        if candidate.status is CandidateStatus.ACTIVE and all(v.stage != stage for v in candidate.verdicts)
    ]
    store.candidates.record(Decision(identifier, verdict) for identifier in open_ones)


def retry_campaign(store: Store, name: str, *, phase: str | None = None) -> int:
    """Give the parked jobs of a campaign another chance and return how many.

    Parameters
    ----------
    store
        Database.
    name
        Campaign.
    phase
        ``generate``, ``prescreen``, …; all by default.

    Raises
    ------
    CampaignError
        If it was never submitted, or a later round was proposed from the results without them.
    """
    submission = require_submission(store, name)
    launchpad = store.launchpad()
    parked = [entry for entry in launchpad.failures(name, state="DEFUSED") if phase in {None, entry.phase}]
    for failure in parked:
        if failure.activity_id is not None:
            _reopen(store, failure.activity_id, name=name, phase=failure.phase)
    document = store.campaigns.require(name)
    if parked or document.state is CampaignState.FAILED:
        # Before any job runs: this change is what makes the end of a reopened phase another one.
        store.campaigns.set_state(name, CampaignState.RUNNING)
    for failure in parked:
        launchpad.forgive(failure.fw_id)
    if document.state is CampaignState.FAILED and not parked:
        # Refused by its first job, which may find the missing file now.
        cause = f"again-{document.updated_at.isoformat()}"
        insert_step(launchpad, name, BEGIN, cause=cause, priority=submission.priority)
        return 1
    return len(parked)


def _reopen(store: Store, activity_id: str, *, name: str, phase: str) -> None:
    activities = _chunk_activities(store, activity_id)
    document = store.campaigns.require(name)
    state = document.rounds[-1]
    if state.round != activities[0].round:
        msg = (
            f"campaign {name!r}: round {activities[0].round + 1} is closed and round {state.round + 1} was proposed "
            "from its results; retrying a job of it would change what the campaign was told"
        )
        raise CampaignError(msg)
    for activity in activities:
        _let_candidates_go_on(store, activity)
        store.provenance.set_fields({activity.id: {"state": ActivityState.PENDING, "counts": {}}})
    if _PHASE_ORDER.index(state.phase) > _PHASE_ORDER.index(phase) if phase in _PHASE_ORDER else False:
        store.campaigns.set_round(name, state.model_copy(update={"phase": phase}), expected_phase=state.phase)


def _let_candidates_go_on(store: Store, activity: ActivityDocument) -> None:
    if activity.stage in COUNTED[PROPERTIES]:
        criteria = {"campaign": activity.campaign, "round": activity.round, "stage": Funnel.PROPERTIES.value}
        candidates, reason = store.candidates.find(criteria), Reason.PROPERTY_FAILED
    elif activity.stage in COUNTED[VALIDATE]:
        # A phase that could not be computed leaves every candidate that competes with it without a distance.
        criteria = {"campaign": activity.campaign, "round": activity.round, "stage": Funnel.VALIDATE.value}
        candidates, reason = store.candidates.find(criteria), Reason.VALIDATION_FAILED
    else:
        candidates, reason = list(store.candidates.get_many(activity.used).values()), Reason.JOB_FAILED
    changes: dict[str, dict[str, Any]] = {}
    for candidate in candidates:
        kept = [verdict for verdict in candidate.verdicts if verdict.reason != reason]
        if len(kept) < len(candidate.verdicts):
            changes[candidate.id] = _as_of(candidate, kept)
    store.candidates.set_fields(changes)


def _as_of(candidate: CandidateDocument, verdicts: Sequence[VerdictRecord]) -> dict[str, Any]:
    last = verdicts[-1] if verdicts else None
    is_ranked = last is not None and Funnel(last.stage).order >= Funnel.RANK.order
    return {
        "verdicts": list(verdicts),
        "status": CandidateStatus.ACCEPTED if is_ranked else CandidateStatus.ACTIVE,
        "stage": last.stage if last else candidate.stage,
        "reason": last.reason if last else Reason.OK,
    }
