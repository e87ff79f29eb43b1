"""Downloads: a selection of candidates, or one crystal, in the formats of :mod:`genmat.interop`."""

from __future__ import annotations

import io
import re
import zipfile
from typing import TYPE_CHECKING

from starlette.responses import Response

from genmat.database.paging import page
from genmat.errors import InputError
from genmat.interop.export import ExportFormat, collect_crystals, to_cif, to_csv, to_extxyz, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genmat.dashboard.board import Board
    from genmat.dashboard.filters import TableQuery
    from genmat.database.documents import CandidateDocument

MOST = {ExportFormat.CSV: 20_000, ExportFormat.JSON: 2000, ExportFormat.EXTXYZ: 2000, ExportFormat.CIF: 500}
"""Candidates of one download, the first of the table."""
_TYPES = {
    ExportFormat.CSV: ("text/csv; charset=utf-8", "csv"),
    ExportFormat.JSON: ("application/json", "json"),
    ExportFormat.EXTXYZ: ("chemical/x-xyz", "extxyz"),
    ExportFormat.CIF: ("application/zip", "zip"),
}
_PAGE = 500
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def selection(board: Board, campaign: str, query: TableQuery, *, most: int) -> list[CandidateDocument]:
    """Return the first candidates of a table."""
    found: list[CandidateDocument] = []
    after = None
    while len(found) < most:
        limit = min(_PAGE, most - len(found))
        part = page(
            board.store.candidates,
            query.criteria(campaign),
            order=query.order,
            descending=query.descending,
            after=after,
            limit=limit,
        )
        found += part.candidates
        after = part.following
        if after is None:
            break
    return found


def download(board: Board, campaign: str, query: TableQuery, file_format: ExportFormat) -> Response:
    """Return the file of a selection.

    Raises
    ------
    InputError
        If nothing is selected, or nothing of it has a structure.
    """
    chosen = selection(board, campaign, query, most=MOST[file_format])
    if not chosen:
        msg = "no candidate is like that, so there is nothing to download: take a filter away"
        raise InputError(msg)
    kind, suffix = _TYPES[file_format]
    return attachment(_content(board, chosen, file_format), name=f"{campaign}-candidates.{suffix}", kind=kind)


def _content(board: Board, chosen: Sequence[CandidateDocument], file_format: ExportFormat) -> str | bytes:
    if file_format is ExportFormat.CSV:
        return to_csv(chosen)
    crystals = collect_crystals(board.store, chosen)
    if file_format is ExportFormat.JSON:
        return to_json(crystals)
    if not crystals:
        msg = "none of these candidates has a structure, so there is nothing to download: take CSV, or accepted ones"
        raise InputError(msg)
    if file_format is ExportFormat.EXTXYZ:
        return to_extxyz(crystals)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for crystal in crystals:
            # Nothing of a name is a folder, wherever the formula came from.
            archive.writestr(f"{safe_name(crystal.stem)}.cif", to_cif(crystal))
    return content.getvalue()


def attachment(content: str | bytes, *, name: str, kind: str) -> Response:
    """Return a file to save."""
    headers = {"Content-Disposition": f'attachment; filename="{safe_name(name)}"'}
    return Response(content, media_type=kind, headers=headers)


def safe_name(text: str) -> str:
    """Return text as the name of a file: letters, digits, dots and hyphens, no leading dot."""
    return _UNSAFE.sub("-", text).lstrip(".-")[:120] or "file"
