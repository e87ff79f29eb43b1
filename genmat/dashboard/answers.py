"""Shapes of the JSON answers."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, Field

from genmat.database.documents import (
    ActivityDocument,
    CandidateDocument,
    CandidateStatus,
    ModelDocument,
    RoundState,
)

if TYPE_CHECKING:
    from genmat.dashboard.board import CampaignLine


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str = Field(description="What is wrong, and what is expected")


class StageAnswer(BaseModel):
    """What one stage decided."""

    stage: str = Field(description="Stage of the funnel")
    judged: int = Field(description="Candidates that reached it")
    passed: int = Field(description="Candidates that it let pass")
    fallen: dict[str, int] = Field(description="Candidates that fell, by reason")


class WorkAnswer(BaseModel):
    """What one kind of work cost."""

    stage: str = Field(description="Kind of work")
    hours: float = Field(description="Time of all attempts, one after another, h")
    attempts: int = Field(description="Attempts")
    failed_attempts: int = Field(description="Attempts that failed")
    candidates: int = Field(description="Candidates that were worked on")
    per_hour: float | None = Field(description="Candidates an hour, over the last hour of work")
    states: dict[str, int] = Field(description="Activities by state")


class CampaignAnswer(BaseModel):
    """A campaign in numbers."""

    name: str = Field(description="Name")
    state: str = Field(description="created, running, interrupted, paused, finished or failed")
    owner: str | None = Field(description="Who runs it")
    error: str | None = Field(description="Why it failed")
    rounds_begun: int = Field(description="Rounds that have begun")
    rounds_planned: int = Field(description="Rounds that are planned")
    candidates: dict[str, int] = Field(description="Candidates by status")
    funnel: list[StageAnswer] = Field(description="Outcomes of every stage, all rounds")
    work: list[WorkAnswer] = Field(description="Cost by kind of work")
    relaxations_per_hour: float | None = Field(description="Over the last hour of work")
    eta_hours: float | None = Field(description="Until the planned relaxations are done, h")
    budget_used: float | None = Field(description="Largest share of a budget that is used up")
    created_at: datetime = Field(description="When it was created, UTC")
    updated_at: datetime = Field(description="Last change of state, UTC")

    @classmethod
    def of(cls, line: CampaignLine) -> Self:
        """Return the answer for a campaign."""
        document = line.document
        return cls(
            name=document.id,
            state=line.state,
            owner=line.owner,
            error=document.error,
            rounds_begun=len(document.rounds),
            rounds_planned=line.n_rounds,
            candidates=line.counts,
            funnel=[StageAnswer(**stage.to_dict()) for stage in line.stages],
            work=[
                WorkAnswer(
                    stage=work.stage,
                    hours=work.hours,
                    attempts=work.attempts,
                    failed_attempts=work.failed_attempts,
                    candidates=work.candidates,
                    per_hour=work.per_hour,
                    states=dict(work.states),
                )
                for work in line.work
            ],
            relaxations_per_hour=line.per_hour,
            eta_hours=line.eta_hours,
            budget_used=line.budget_used,
            created_at=document.created_at,
            updated_at=document.updated_at,
        )


class CampaignDetail(CampaignAnswer):
    """A campaign with its configuration and its rounds."""

    config: dict[str, Any] = Field(description="Configuration, defaults filled in")
    rounds: list[RoundState] = Field(description="Rounds as the database holds them")
    jobs: dict[str, dict[str, int]] = Field(description="Jobs of FireWorks by category and state")


class CandidateRow(BaseModel):
    """A candidate in a table."""

    id: str = Field(description="Id")
    round: int = Field(description="Round, from 1")
    draw: int = Field(description="Draw in the round, from 0")
    status: CandidateStatus = Field(description="active, rejected or accepted")
    stage: str = Field(description="Stage that decided last")
    reason: str = Field(description="Reason of the last verdict")
    rank: int | None = Field(description="Rank in the campaign, 1 is best")
    formula: str | None = Field(description="Reduced formula")
    space_group_number: int | None = Field(description="Space group")
    n_atoms: int | None = Field(description="Atoms in the primitive cell")
    energy_above_hull: float | None = Field(description="eV/atom")
    score: float | None = Field(description="Generator's score")
    properties: dict[str, float] = Field(description="Target properties, units of the campaign")

    @classmethod
    def of(cls, candidate: CandidateDocument) -> Self:
        """Return the row of a candidate."""
        return cls(
            id=candidate.id,
            round=candidate.round + 1,
            draw=candidate.index,
            status=candidate.status,
            stage=candidate.stage,
            reason=candidate.reason,
            rank=candidate.rank,
            formula=candidate.formula_pretty,
            space_group_number=candidate.space_group_number,
            n_atoms=candidate.nsites,
            energy_above_hull=candidate.energy_above_hull,
            score=candidate.score,
            properties=candidate.properties,
        )


class CandidatePage(BaseModel):
    """A page of a table of candidates."""

    candidates: list[CandidateRow] = Field(description="Rows")
    next: str | None = Field(description="The after of the next page")
    index: list[str] = Field(description="Fields of the index that answered; empty if there is none")


class FailuresAnswer(BaseModel):
    """What failed."""

    activities: list[ActivityDocument] = Field(description="Activities that failed, the latest rounds first")


class ModelsAnswer(BaseModel):
    """Registered models."""

    models: list[ModelDocument] = Field(description="By id")


class HealthAnswer(BaseModel):
    """Whether the dashboard can answer."""

    status: str = Field(description="ok, or what is wrong")
    version: str = Field(description="Version of genmat")
