"""What pages and JSON answers are made of: one object that asks the database, the reference and the cache."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from genmat.campaign import Campaign
from genmat.dashboard.cache import Cache
from genmat.database.candidates import CandidateQuery
from genmat.database.models import packaged_models
from genmat.database.statistics import funnel_of
from genmat.database.summary import owner_of, rounds_planned, state_of
from genmat.errors import GenmatError
from genmat.report.content import ReportedCandidate
from genmat.report.hull_data import hull_system
from genmat.report.outcome import Rate, RoundSummary
from genmat.screening.verdict import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from genmat.database.documents import ActivityDocument, CampaignDocument, CandidateDocument, ModelDocument
    from genmat.database.statistics import End, RelaxedCandidate, Work
    from genmat.database.store import Store
    from genmat.database.summary import StageCounts
    from genmat.reference.hull import Hull
    from genmat.reference.known import KnownCrystals
    from genmat.report.content import HullSystem

CAMPAIGNS = 200
"""Campaigns of the overview, the latest first."""
FAILURES = 50
"""Failures that a page shows."""
MODELS = 500
"""Registered models that a page shows."""
OLDEST_COUNT = 60.0
"""Age up to which counts are shown, s; asked for again and again they are younger (``genmat.dashboard.cache``)."""
HULL_CANDIDATES = 100
"""Accepted candidates in one hull diagram, the nearest to the hull."""


@dataclass(frozen=True, slots=True)
class CampaignLine:
    """A campaign as the overview shows it.

    Parameters
    ----------
    document
        The campaign.
    state
        State for people: a running campaign that nobody runs is interrupted.
    owner
        Who runs it.
    n_rounds
        Rounds that are planned.
    stages
        Funnel over all rounds.
    counts
        Candidates by status.
    work
        What each kind of work cost.
    budget_used
        Largest share of a budget that is used up; ``None`` without budgets.
    """

    document: CampaignDocument
    state: str
    owner: str | None
    n_rounds: int
    stages: tuple[StageCounts, ...]
    counts: dict[str, int]
    work: tuple[Work, ...]
    budget_used: float | None

    @property
    def total(self) -> int:
        """Candidates drawn."""
        return sum(self.counts.values())

    @property
    def hours(self) -> float:
        """Hours of all attempts, one after another."""
        return sum(work.hours for work in self.work)

    @property
    def relaxed(self) -> int:
        """Candidates whose relaxation was tried."""
        return next((stage.judged for stage in self.stages if stage.stage == Stage.RELAX), 0)

    @property
    def per_hour(self) -> float | None:
        """Relaxations an hour, over the last hour of work."""
        return next((work.per_hour for work in self.work if work.stage == "relax"), None)

    @property
    def is_live(self) -> bool:
        """Whether it may change by itself."""
        return self.state in {"running", "created"}

    @property
    def eta_hours(self) -> float | None:
        """Hours until the planned relaxations are done at the present rate; ``None`` if that cannot be told."""
        limit = _number(self.document.config, "screen", "max_relaxed")
        budget = _number(self.document.config, "budget", "max_relaxed_total")
        planned = None if limit is None else limit * self.n_rounds
        ends = [value for value in (planned, budget) if value is not None]
        if not self.is_live or not ends or not self.per_hour:
            return None
        return max(0.0, min(ends) - self.relaxed) / self.per_hour


class Board:
    """Answers the dashboard's questions.

    Parameters
    ----------
    store
        Database, opened for reading.
    reference
        File of the reference; ``None`` for the one that comes with genmat.
    """

    def __init__(self, store: Store, *, reference: Path | None = None) -> None:
        self.store = store
        self.cache = Cache()
        self._reference = reference
        self._known: tuple[KnownCrystals, Hull] | None = None
        self._loading = threading.Lock()

    def campaigns(self) -> list[CampaignDocument]:
        """Return the latest campaigns."""
        return self.store.campaigns.find(sort=(("updated_at", -1), ("_id", 1)), limit=CAMPAIGNS)

    def lines(self) -> list[CampaignLine]:
        """Return every campaign with its numbers."""
        return [self.line(document) for document in self.campaigns()]

    def line(self, document: CampaignDocument) -> CampaignLine:
        """Return a campaign with its numbers."""
        ends, work = self.ends(document.id), self.work(document.id)
        counts: dict[str, int] = {}
        for end in ends:
            counts[end.status] = counts.get(end.status, 0) + end.count
        stages = tuple(funnel_of(ends))
        relaxed = next((stage.judged for stage in stages if stage.stage == Stage.RELAX), 0)
        used = [
            done / limit
            for done, limit in (
                (relaxed, _number(document.config, "budget", "max_relaxed_total")),
                (sum(entry.hours for entry in work), _number(document.config, "budget", "max_hours")),
            )
            if limit
        ]
        return CampaignLine(
            document=document,
            state=state_of(document),
            owner=owner_of(document),
            n_rounds=rounds_planned(document),
            stages=stages,
            counts=counts,
            work=tuple(work),
            budget_used=max(used, default=None),
        )

    def ends(self, campaign: str) -> list[End]:
        """Return where the candidates of a campaign ended."""
        return self._counted("ends", self.store.statistics.ends, campaign)

    def work(self, campaign: str) -> list[Work]:
        """Return what a campaign cost."""
        return self._counted("work", self.store.statistics.work, campaign)

    def relaxed(self, campaign: str) -> list[RelaxedCandidate]:
        """Return the relaxed candidates that histograms are made of."""
        return self._counted("relaxed", self.store.statistics.relaxed, campaign)

    def energies(self, campaign: str) -> dict[int, dict[int, int]]:
        """Return the counts of distances to the hull."""
        return self._counted("energies", self.store.statistics.energies, campaign)

    def jobs(self, campaign: str | None = None) -> dict[str, dict[str, int]]:
        """Return the states of FireWorks' jobs by category."""
        return self._counted("jobs", self.store.statistics.jobs, campaign)

    def _counted[C, T](self, name: str, count: Callable[[C], T], campaign: C) -> T:
        return self.cache.get((name, campaign), lambda: count(campaign), oldest=OLDEST_COUNT)

    def config(self, document: CampaignDocument) -> Campaign | None:
        """Return the configuration; ``None`` if this genmat does not understand it."""
        try:
            return Campaign.from_dict(document.config, source=f"campaign {document.id!r}")
        except GenmatError:
            return None

    def rounds(self, document: CampaignDocument) -> list[RoundSummary]:
        """Return each round in numbers."""
        ends, relaxed = self.ends(document.id), self.relaxed(document.id)
        found = []
        for state in document.rounds:
            stages = {counts.stage: counts for counts in funnel_of(ends, round_number=state.round)}
            mine = [end for end in ends if end.round == state.round]
            accepted = sum(end.count for end in mine if end.status == "accepted")
            tried = stages[Stage.RELAX].judged if Stage.RELAX in stages else 0
            stable = stages[Stage.STABILITY].passed if Stage.STABILITY in stages else 0
            energies = [entry.energy_above_hull for entry in relaxed if entry.round == state.round]
            proportions: Any = state.ssun.get("proportions") or {}
            part = proportions.get("ssun_after") or {}
            found.append(
                RoundSummary(
                    number=state.round,
                    ssun=Rate(int(part["successes"]), int(part["total"])) if part else None,
                    accepted_of_draws=Rate(accepted, sum(end.count for end in mine)),
                    accepted_of_relaxed=Rate(accepted, tried),
                    stable_of_relaxed=Rate(stable, tried),
                    median_energy_above_hull=median(energies) if energies else None,
                )
            )
        return found

    def best(self, campaign: str, *, limit: int) -> list[CandidateDocument]:
        """Return the best accepted candidates."""
        query = CandidateQuery(campaign=campaign, status="accepted")
        having = {**query.criteria, "rank": {"$gt": 0}}
        return self.store.candidates.find(having, sort=(("rank", 1), ("_id", 1)), limit=limit)

    def models(self) -> list[ModelDocument]:
        """Return the models that come with genmat and those of the database."""
        packaged = self.cache.keep("packaged models", packaged_models)
        return [*self.store.models.find(sort=(("_id", 1),), limit=MODELS), *packaged]

    def failures(self, campaign: str | None = None) -> list[ActivityDocument]:
        """Return activities that failed, the latest rounds first."""
        criteria: dict[str, Any] = {"state": "failed"}
        if campaign is not None:
            criteria["campaign"] = campaign
        return self.store.provenance.find(criteria, sort=(("round", -1), ("_id", 1)), limit=FAILURES)

    def warm_up(self) -> None:
        """Load the reference in the background, so that the first hull diagram need not wait for it."""

        def load() -> None:
            with suppress(GenmatError):  # told where it is asked for
                self.known()

        threading.Thread(target=load, name="reference", daemon=True).start()

    def known(self) -> tuple[KnownCrystals, Hull]:
        """Return the known crystals and their hull, loaded at first use.

        Raises
        ------
        ReferenceDataError
            If the reference cannot be read.
        """
        with self._loading:
            if self._known is None:
                from genmat.reference.io import load_known

                known = load_known(self._reference)
                self._known = known, known.hull()
            return self._known

    def hull_system(self, document: CampaignDocument, elements: Sequence[str]) -> HullSystem | None:
        """Return a chemical system with a campaign's accepted candidates; ``None`` if its reference is another one."""
        known, hull = self.known()
        if document.snapshots and document.snapshots[0].reference_id != known.id:
            return None
        system = tuple(sorted(elements))
        criteria = CandidateQuery(document.id, chemsys="-".join(system), max_energy_above_hull=1.0).criteria
        found = self.store.candidates.find(
            criteria, sort=(("energy_above_hull", 1), ("_id", 1)), limit=10 * HULL_CANDIDATES
        )
        accepted = [ReportedCandidate.from_document(candidate) for candidate in found if candidate.rank is not None][
            :HULL_CANDIDATES
        ]
        return hull_system(hull, system, accepted)


def _number(config: dict[str, Any], part: str, name: str) -> float | None:
    """Return a number of a configuration, whatever else stands there."""
    section = config.get(part)
    value = section.get(name) if isinstance(section, dict) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
