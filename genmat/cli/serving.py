"""``genmat serve``: the dashboard."""

from __future__ import annotations

import getpass
import logging
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genmat.cli.session import session_of
from genmat.cli.terminal import note, print_line
from genmat.errors import StorageError

if TYPE_CHECKING:
    from genmat.cli.session import Session
    from genmat.dashboard.security import Access
    from genmat.database.store import Store
    from genmat.settings import Settings

logger = logging.getLogger(__name__)

TIME_LIMIT = 5.0
"""How long the database may work on one question, s."""
_RETRY_TIME = 2.0  # s; a page rather says that the database is away


def serve(
    context: typer.Context,
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 for a free one.")] = 8000,
    unix_socket: Annotated[
        Path | None, typer.Option("--socket", help="Unix socket instead of a port.", metavar="FILE")
    ] = None,
) -> None:
    """Serve the dashboard on this machine: campaigns, candidates, where every number came from. Ctrl-C ends it.

    Example: genmat serve --port 8000
    """
    import uvicorn

    from genmat.dashboard.app import create_app
    from genmat.dashboard.security import Access

    session = session_of(context)
    settings = session.settings
    listener = _listen(port, unix_socket)
    try:
        with _open(session) as store:
            password = settings.dashboard_password
            access = Access(password=None if password is None else password.get_secret_value())
            app = create_app(store, access=access, reference=settings.reference)
            app.state.board.warm_up()
            _greet(store, settings, access, listener, unix_socket)
            config = uvicorn.Config(app, log_level="warning", access_log=False, proxy_headers=False, ws="none")
            uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()
        if unix_socket is not None:
            unix_socket.unlink(missing_ok=True)


def _open(session: Session) -> Store:
    """Open the database for reading; a private one gets its indexes first."""
    from genmat.database.connection import has_database
    from genmat.database.store import connect

    settings = session.settings
    if settings.dashboard_uri is not None:
        settings = settings.model_copy(update={"database_uri": settings.dashboard_uri})
    elif settings.database_uri is None or not has_database(settings):
        with connect(settings) as store:
            logger.debug("indexes of %s are there", store.label)
    settings = settings.model_copy(update={"retry_time": min(settings.retry_time, _RETRY_TIME)})
    return connect(settings, read_only=True, time_limit=TIME_LIMIT)


def _listen(port: int, place: Path | None) -> socket.socket:
    """Return a listening socket: of 127.0.0.1, or one of the file system that only its owner may use.

    Raises
    ------
    StorageError
        If the port or the file is taken.
    """
    if place is None:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        address: tuple[str, int] | str = ("127.0.0.1", port)
    else:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        address = str(place)
    mask = os.umask(0o177)
    try:
        listener.bind(address)
        listener.listen(128)
    except OSError as err:
        listener.close()
        where, remedy = (
            (f"port {port}", "choose another one with --port, or --port 0 for a free one")
            if place is None
            else (f"socket {place}", "remove the file if no server uses it, or choose another one with --socket")
        )
        msg = f"{where} cannot be used: {err.strerror or err}; {remedy}"
        raise StorageError(msg) from err
    finally:
        os.umask(mask)
    return listener


def _greet(store: Store, settings: Settings, access: Access, listener: socket.socket, place: Path | None) -> None:
    """Say where the dashboard is, and how to reach it from elsewhere."""
    end = "/" if access.has_password else f"/?token={access.token}"
    port = 8000 if place is not None else listener.getsockname()[1]
    far_end = str(place.absolute()) if place is not None else f"localhost:{port}"
    print_line(f"dashboard of {store.label}", style="bold")
    print_line(f"open       http://localhost:{port}{end}")
    print_line(f"from afar  ssh -L {port}:{far_end} {getpass.getuser()}@{socket.getfqdn()}")
    if access.has_password:
        print_line("it asks for the password of the setting dashboard_password")
    sys.stdout.flush()
    if settings.dashboard_uri is None and settings.database_uri is not None and store.may_write:
        note(
            "its database user may write, and the dashboard needs none who may: "
            "give it one of its own with GENMAT_DASHBOARD_URI"
        )
