"""The pages."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse

from genmat.dashboard import candidate as one
from genmat.dashboard import figures, graph
from genmat.dashboard.access import Id, Name, TheBoard, campaign_of, candidate_of, document_of
from genmat.dashboard.board import Board
from genmat.dashboard.filters import TableQuery
from genmat.dashboard.rendering import render
from genmat.database.documents import CandidateStatus
from genmat.database.paging import ORDERS, Cursor, page
from genmat.database.statistics import SAMPLE, funnel_of
from genmat.report.words import target_words
from genmat.screening.verdict import Reason, Stage

BEST = 12
"""Candidates on a campaign's own page."""
SYSTEMS = 8
"""Chemical systems that a campaign's page offers hulls of."""
TRACEBACKS = 20
"""Failed jobs of FireWorks that a page shows."""
KEPT_ROWS = 50
"""Rows of the longest table that is kept for those who ask for it too."""
OLDEST_PAGE = 5.0
"""Age up to which a page is shown to others, s; its counts may be older (``board.OLDEST_COUNT``)."""
ORDER_NAMES = {"rank": "rank", "energy_above_hull": "energy above hull", "score": "generator's score"}
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/")
def overview(board: TheBoard) -> str:
    """Return every campaign."""
    return board.cache.get("overview", lambda: _overview(board), oldest=OLDEST_PAGE)


def _overview(board: Board) -> str:
    lines = board.lines()
    return render(
        "overview.html.j2",
        lines=lines,
        jobs=board.jobs(),
        failures=board.failures()[:5],
        database=board.store.label,
        live=any(line.is_live for line in lines),
    )


@router.get("/campaigns/{name}")
def campaign(board: TheBoard, name: Name) -> str:
    """Return one campaign."""
    campaign_of(board, name)
    return board.cache.get(("campaign", name), lambda: _campaign(board, name), oldest=OLDEST_PAGE)


def _campaign(board: Board, name: str) -> str:
    document = campaign_of(board, name)
    line = board.line(document)
    best = board.best(document.id, limit=60)
    systems = list(dict.fromkeys(c.chemsys for c in best if c.chemsys and 2 <= len(c.elements) <= 4))[:SYSTEMS]
    config = board.config(document)
    ends = board.ends(document.id)
    return render(
        "campaign.html.j2",
        line=line,
        document=document,
        best=best[:BEST],
        systems=systems,
        config=config,
        target=[] if config is None else target_words(config),
        figures=list(figures.names(document, board)),
        parities=[name for name in figures.PARITIES if board.store.statistics.pairs(document.id, name)],
        rounds=[
            {"summary": summary, "stages": funnel_of(ends, round_number=summary.number), "state": state}
            for summary, state in zip(board.rounds(document), document.rounds, strict=True)
        ],
        jobs=board.jobs(document.id),
        failures=board.failures(document.id),
        sample=SAMPLE,
        relaxed=len(board.relaxed(document.id)),
        live=line.is_live,
    )


@router.get("/campaigns/{name}/candidates")
def candidates(board: TheBoard, name: Name, query: Annotated[TableQuery, Query()]) -> str:
    """Return the table of candidates; many who look at the same one cost what one does."""
    campaign_of(board, name)
    if query.limit > KEPT_ROWS:
        return _candidates(board, name, query)
    key = ("table", name, query.model_dump_json())
    return board.cache.get(key, lambda: _candidates(board, name, query), oldest=OLDEST_PAGE)


def _candidates(board: Board, name: str, query: TableQuery) -> str:
    document = campaign_of(board, name)
    found = page(
        board.store.candidates,
        query.criteria(name),
        order=query.order,
        descending=query.descending,
        after=None if query.after is None else Cursor.parse(query.after),
        limit=query.limit,
    )
    names = sorted({key for entry in found.candidates for key in entry.properties} - {"energy_above_hull"})
    orders = [order for order in ORDERS if order != "score" or not query.filters]
    return render(
        "candidates.html.j2",
        document=document,
        query=query,
        found=found,
        names=names,
        orders=[(order, ORDER_NAMES[order]) for order in orders],
        choices={
            "stage": [item.value for item in Stage],
            "reason": [item.value for item in Reason if item is not Reason.OK],
            "status": [item.value for item in CandidateStatus],
            "round": [state.round + 1 for state in document.rounds],
        },
        live=False,
    )


@router.get("/candidates/{identifier}")
def candidate(board: TheBoard, identifier: Id) -> str:
    """Return one candidate."""
    found = one.view(board, candidate_of(board, identifier).id)
    nodes, arrows = graph.provenance(found.lineage)
    return render(
        "candidate.html.j2",
        view=found,
        candidate=found.candidate,
        graph=graph.svg(nodes, arrows, title="Provenance, from the generator to the values"),
        has_trajectory=_has_trajectory(board, found.candidate.relaxed_structure_id),
        live=False,
    )


def _has_trajectory(board: Board, identifier: str | None) -> bool:
    return identifier is not None and board.store.trajectories.get(identifier) is not None


@router.get("/models")
def models(board: TheBoard) -> str:
    """Return the registered models."""
    return render("models.html.j2", models=board.models(), live=False)


@router.get("/provenance/{identifier}")
def provenance(board: TheBoard, identifier: Id) -> str:
    """Return one activity: the job behind a number."""
    activity = document_of(board.store.provenance, identifier)
    shown = activity.generated[:200]
    made = {
        "candidates": [c.id for c in board.store.candidates.get_many(shown).values()],
        "structures": [s.id for s in board.store.structures.get_many(shown).values()],
    }
    used = list(board.store.candidates.get_many(activity.used[:200]))
    return render("provenance.html.j2", activity=activity, made=made, used=used, live=False)


@router.get("/failures")
def failures(board: TheBoard, campaign: Annotated[str | None, Query(max_length=200)] = None) -> str:
    """Return what failed, with tracebacks."""
    if campaign is not None:
        campaign_of(board, campaign)
    return render(
        "failures.html.j2",
        campaign=campaign,
        failures=board.failures(campaign),
        jobs=board.store.statistics.failed_jobs(campaign, limit=TRACEBACKS),
        live=True,
    )


@router.get("/login")
def login(request: Request, wrong: bool = False, next: str = "/") -> str:  # noqa: A002, FBT001, FBT002 - an address
    """Return the form that asks for the password."""
    if not request.app.state.access.has_password:
        raise HTTPException(404, "no password is configured: open the address that genmat serve printed")
    return render("login.html.j2", wrong=wrong, next=next, live=False)


@router.get("/api")
def api(request: Request) -> str:
    """Return what the API answers."""
    return render("api.html.j2", document=request.app.openapi(), live=False)
