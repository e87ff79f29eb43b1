"""What the routes of pages and of the API share: the board, and documents that must exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, HTTPException, Path, Request

from genmat.dashboard.board import Board
from genmat.errors import did_you_mean

if TYPE_CHECKING:
    from genmat.database.collection import Collection
    from genmat.database.documents import CampaignDocument, CandidateDocument


def _board(request: Request) -> Board:
    board: Board = request.app.state.board
    return board


TheBoard = Annotated[Board, Depends(_board)]
Name = Annotated[str, Path(max_length=200, description="Campaign.")]
Id = Annotated[str, Path(max_length=200, description="Id, in full.")]
FigureName = Annotated[str, Path(max_length=80, pattern=r"^[A-Za-z0-9_-]+$", description="Name of a figure.")]


def campaign_of(board: Board, name: str) -> CampaignDocument:
    """Return a campaign, or answer 404."""
    document = board.store.campaigns.get(name)
    if document is None:
        names = [stored["id"] for stored in board.store.campaigns.project({}, ())]
        raise HTTPException(404, f"no campaign {name!r}.{did_you_mean(name, names)}")
    return document


def candidate_of(board: Board, identifier: str) -> CandidateDocument:
    """Return a candidate, or answer 404."""
    candidate: CandidateDocument = document_of(board.store.candidates, identifier)
    return candidate


def document_of(collection: Collection[Any], identifier: str) -> Any:
    """Return a document, or answer 404."""
    document = collection.get(identifier)
    if document is None:
        raise HTTPException(404, f"{collection.name} has no document {identifier!r}")
    return document
