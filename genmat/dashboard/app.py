"""The application: pages, API, static files, and what becomes of errors."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware

from genmat import __version__
from genmat.dashboard import api, pages
from genmat.dashboard.access import TheBoard
from genmat.dashboard.answers import HealthAnswer
from genmat.dashboard.board import Board
from genmat.dashboard.monitoring import metrics
from genmat.dashboard.rendering import render
from genmat.dashboard.security import Access, Guard
from genmat.errors import GenmatError, InputError
from genmat.report.io import read_plotly_script, read_template

if TYPE_CHECKING:
    from pathlib import Path

    from genmat.database.store import Store

_STATIC = files("genmat.dashboard") / "static"
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_BAD_REQUEST, _NOT_FOUND, _UNAVAILABLE = 400, 404, 503
_SMALLEST_ZIPPED = 1024  # bytes


def create_app(store: Store, *, access: Access, reference: Path | None = None) -> FastAPI:
    """Return the dashboard of a database.

    Parameters
    ----------
    store
        Database, opened for reading with a time limit.
    access
        Token and password.
    reference
        File of the reference; ``None`` for the one that comes with genmat.
    """
    app = FastAPI(
        title="genmat",
        version=__version__,
        description="Campaigns, candidates and where every number came from. Read-only.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.board = Board(store, reference=reference)
    app.state.access = access
    app.include_router(api.router)
    app.include_router(pages.router)
    app.add_exception_handler(GenmatError, _explain)
    app.add_exception_handler(HTTPException, _explain)
    app.add_exception_handler(RequestValidationError, _explain)
    app.add_api_route("/health", health, include_in_schema=False)
    app.add_api_route("/metrics", numbers, response_class=PlainTextResponse, include_in_schema=False)
    app.add_api_route("/static/{name}", static, include_in_schema=False)
    app.add_middleware(GZipMiddleware, minimum_size=_SMALLEST_ZIPPED)
    app.add_middleware(Guard, access=access)
    return app


def health(board: TheBoard) -> JSONResponse:
    """Say whether the database answers."""
    try:
        board.store.campaigns.find(limit=1)
    except GenmatError as err:
        return JSONResponse(HealthAnswer(status=str(err), version=__version__).model_dump(), status_code=_UNAVAILABLE)
    return JSONResponse(HealthAnswer(status="ok", version=__version__).model_dump())


def numbers(board: TheBoard) -> Response:
    """Return the numbers for Prometheus."""
    return PlainTextResponse(metrics(board), media_type="text/plain; version=0.0.4")


def static(request: Request, name: str) -> Response:
    """Return one of our files, or plotly's script as the installed package brings it."""
    content = _static_files().get(name)
    if content is None:
        raise HTTPException(_NOT_FOUND, f"no file {name!r}")
    data, zipped, kind, tag = content
    # A browser that has the file of this version asks no more for a day.
    headers = {"ETag": tag, "Cache-Control": "private, max-age=86400", "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(zipped, media_type=kind, headers={**headers, "Content-Encoding": "gzip"})
    return Response(data, media_type=kind, headers=headers)


@cache
def _static_files() -> dict[str, tuple[bytes, bytes, str, str]]:
    """Return content, zipped content, type and tag of every static file by name: nothing else can be asked for."""
    texts = {
        "plotly.min.js": read_plotly_script(),
        "report.css": read_template("report.css"),
        "theme.js": read_template("theme.js"),
        **{name: (_STATIC / name).read_text(encoding="utf-8") for name in ("app.css", "app.js")},
    }
    found = {}
    for name, text in texts.items():
        data = text.encode()
        tag = f'"{hashlib.sha256(data).hexdigest()[:20]}"'
        found[name] = (data, gzip.compress(data, 6), _TYPES[name.rpartition(".")[2]], tag)
    return found


def _explain(request: Request, err: Exception) -> Response:
    """Return an error as a page or as JSON."""
    match err:
        case HTTPException():
            status, text = err.status_code, str(err.detail)
        case RequestValidationError():
            status, text = _BAD_REQUEST, "; ".join(map(_validation_text, err.errors()[:3]))
        case InputError():
            status, text = _BAD_REQUEST, str(err)
        case _:
            status, text = _UNAVAILABLE, str(err)
    if request.url.path.startswith("/api/"):
        return JSONResponse({"detail": text}, status_code=status)
    return Response(
        render("error.html.j2", status=status, text=text, live=False), status_code=status, media_type="text/html"
    )


def _validation_text(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"][1:])
    text = str(error["msg"]).removeprefix("Value error, ")
    return f"{place}: {text}" if place else text
