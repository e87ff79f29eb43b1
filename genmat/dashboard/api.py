"""``/api/v1``: what the pages show, as JSON, from the same queries."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from genmat.dashboard import candidate as one
from genmat.dashboard import crystal, exports
from genmat.dashboard.access import FigureName, Id, Name, TheBoard, campaign_of, candidate_of, document_of
from genmat.dashboard.answers import (
    CampaignAnswer,
    CampaignDetail,
    CandidatePage,
    CandidateRow,
    FailuresAnswer,
    ModelsAnswer,
    Problem,
)
from genmat.dashboard.board import Board
from genmat.dashboard.figures import campaign_figure
from genmat.dashboard.filters import TableQuery
from genmat.dashboard.tables import to_csv
from genmat.database.documents import ActivityDocument, PropertyDocument, StructureDocument
from genmat.database.paging import Cursor, page
from genmat.interop.export import ExportFormat, collect_crystals, to_cif, to_extxyz, to_json
from genmat.report.figures import Figure
from genmat.report.words import plotly_formula

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The request is wrong"},
    401: {"description": "No token"},
    404: {"model": Problem, "description": "There is no such thing"},
    503: {"model": Problem, "description": "The database is away, or the query took too long"},
}
router = APIRouter(prefix="/api/v1", responses=_PROBLEMS)


EMPTY: Figure = {"data": [], "layout": {}}
"""Figure of what has no data yet; a page says so instead of drawing it."""


class ExportQuery(TableQuery):
    """A table and the format of its file."""

    format: ExportFormat = Field(default=ExportFormat.CSV, description="csv, json, extxyz or cif (a zip).")


class View(BaseModel):
    """How a crystal is drawn."""

    model_config = ConfigDict(extra="forbid")

    repeat: int = Field(default=1, ge=1, le=crystal.MAX_REPEAT, description="Cells along each axis.")
    polyhedra: bool = Field(default=False, description="Whether coordination polyhedra are drawn.")


@router.get("/campaigns")
def campaigns(board: TheBoard) -> list[CampaignAnswer]:
    """List the campaigns, the latest first."""
    return [CampaignAnswer.of(line) for line in board.lines()]


@router.get("/campaigns/{name}")
def campaign(board: TheBoard, name: Name) -> CampaignDetail:
    """Return a campaign with its rounds, funnel and cost."""
    document = campaign_of(board, name)
    summary = CampaignAnswer.of(board.line(document))
    return CampaignDetail(
        **summary.model_dump(), config=document.config, rounds=document.rounds, jobs=board.jobs(document.id)
    )


@router.get("/campaigns/{name}/candidates")
def candidates(board: TheBoard, name: Name, query: Annotated[TableQuery, Query()]) -> CandidatePage:
    """Return a page of the candidates of a campaign."""
    campaign_of(board, name)
    found = page(
        board.store.candidates,
        query.criteria(name),
        order=query.order,
        descending=query.descending,
        after=None if query.after is None else Cursor.parse(query.after),
        limit=query.limit,
    )
    return CandidatePage(
        candidates=[CandidateRow.of(entry) for entry in found.candidates],
        next=None if found.following is None else str(found.following),
        index=list(found.index),
    )


@router.get("/campaigns/{name}/export", response_class=Response)
def export(board: TheBoard, name: Name, query: Annotated[ExportQuery, Query()]) -> Response:
    """Return the candidates of a table as a file: CSV, JSON, extended XYZ, or a zip of CIFs."""
    campaign_of(board, name)
    return exports.download(board, name, query, query.format)


@router.get("/campaigns/{name}/figures/{figure}")
def figure_data(board: TheBoard, name: Name, figure: FigureName) -> dict[str, Any]:
    """Return a figure of a campaign as plotly reads it."""
    return _campaign_figure(board, name, figure)


@router.get("/campaigns/{name}/figures/{figure}/csv", response_class=PlainTextResponse)
def figure_csv(board: TheBoard, name: Name, figure: FigureName) -> Response:
    """Return the data of a figure as CSV."""
    text = to_csv(_campaign_figure(board, name, figure))
    return exports.attachment(text, name=f"{name}-{figure}.csv", kind="text/csv; charset=utf-8")


@router.get("/candidates/{identifier}")
def candidate(board: TheBoard, identifier: Id) -> dict[str, Any]:
    """Tell a candidate's story: where it came from, each verdict, each number with its source."""
    from genmat.database.story import tell

    return tell(board.store, candidate_of(board, identifier).id)


@router.get("/candidates/{identifier}/figures/{figure}")
def crystal_data(
    board: TheBoard,
    identifier: Id,
    figure: Literal["structure", "diffraction", "relaxation"],
    view: Annotated[View, Query()],
) -> dict[str, Any]:
    """Return a figure of a candidate as plotly reads it."""
    return _crystal_figure(board, identifier, figure, repeat=view.repeat, polyhedra=view.polyhedra)


@router.get("/candidates/{identifier}/figures/{figure}/csv", response_class=PlainTextResponse)
def crystal_csv(board: TheBoard, identifier: Id, figure: Literal["diffraction", "relaxation"]) -> Response:
    """Return the data of a candidate's figure as CSV."""
    text = to_csv(_crystal_figure(board, identifier, figure))
    return exports.attachment(text, name=f"{identifier[:12]}-{figure}.csv", kind="text/csv; charset=utf-8")


@router.get("/candidates/{identifier}/download", response_class=PlainTextResponse)
def crystal_file(
    board: TheBoard,
    identifier: Id,
    format: Literal["cif", "extxyz", "json"] = "cif",  # noqa: A002 - an address
) -> Response:
    """Return the crystal of a candidate: relaxed, or as drawn where it was not relaxed."""
    crystals = collect_crystals(board.store, [candidate_of(board, identifier)])
    if not crystals:
        raise HTTPException(404, f"candidate {identifier!r} has no structure")
    if format == "cif":
        return exports.attachment(to_cif(crystals[0]), name=f"{crystals[0].stem}.cif", kind="chemical/x-cif")
    text = to_extxyz(crystals) if format == "extxyz" else to_json(crystals)
    return exports.attachment(text, name=f"{crystals[0].stem}.{format}", kind="text/plain; charset=utf-8")


@router.get("/structures/{identifier}")
def structure(board: TheBoard, identifier: Id) -> StructureDocument:
    """Return a structure."""
    found: StructureDocument = document_of(board.store.structures, identifier)
    return found


@router.get("/properties/{identifier}")
def property_(board: TheBoard, identifier: Id) -> PropertyDocument:
    """Return one value with its method, uncertainty and the activity that computed it."""
    found: PropertyDocument = document_of(board.store.properties, identifier)
    return found


@router.get("/activities/{identifier}")
def activity(board: TheBoard, identifier: Id) -> ActivityDocument:
    """Return an activity: what it used, what it made, with which model, every attempt."""
    found: ActivityDocument = document_of(board.store.provenance, identifier)
    return found


@router.get("/models")
def models(board: TheBoard) -> ModelsAnswer:
    """List the models that come with genmat and those of the database, with their metrics."""
    return ModelsAnswer(models=board.models())


@router.get("/failures")
def failures(
    board: TheBoard, campaign: Annotated[str | None, Query(max_length=200, description="Only of this campaign.")] = None
) -> FailuresAnswer:
    """List activities that failed."""
    return FailuresAnswer(activities=board.failures(campaign))


def _campaign_figure(board: Board, name: str, figure: str) -> Figure:
    document = campaign_of(board, name)
    return board.cache.get(("figure", name, figure), lambda: campaign_figure(board, document, figure)) or EMPTY


def _crystal_figure(board: Board, identifier: str, figure: str, *, repeat: int = 1, polyhedra: bool = False) -> Figure:
    candidate = candidate_of(board, identifier)
    if figure == "relaxation":
        key = candidate.relaxed_structure_id
        trajectory = None if key is None else board.store.trajectories.get(key)
        made = None if trajectory is None else crystal.relaxation_figure(trajectory)
    else:
        crystal_ = one.structure_of(board, candidate)
        title = plotly_formula(str(candidate.formula_pretty))
        if crystal_ is None:
            made = None
        elif figure == "structure":
            made = crystal.structure_figure(crystal_, title=title, repeat=repeat, polyhedra=polyhedra)
        else:
            made = board.cache.keep(
                ("xrd", candidate.relaxed_structure_id or candidate.structure_id),
                lambda: crystal.diffraction_figure(crystal_, title=f"Powder pattern of {title}, simulated"),
            )
    return made or EMPTY
