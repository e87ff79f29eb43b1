"""Standard output and error: tables, JSON, log lines, and keeping libraries away from both."""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import contextmanager
from functools import cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from genmat.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console
    from rich.table import Table

PIPE_WIDTH = 1000
"""Columns of a line that no terminal limits: a pipe gets every cell whole."""

_ROOTS = ("genmat", "workflows")
_DATE = "%Y-%m-%d %H:%M:%S"


@cache
def console(*, error: bool = False) -> Console:
    """Return the console of standard output or error; plain text where that is no terminal."""
    from rich.console import Console

    return Console(stderr=error, highlight=False, soft_wrap=False)


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str, allow_nan=False))  # noqa: T201


def print_line(text: str = "", *, style: str | None = None) -> None:
    """Print one line on standard output, never wrapped and without markup."""
    screen = console()
    if screen.is_terminal:
        screen.print(text, style=style, markup=False, soft_wrap=True)
    else:
        print(text)  # noqa: T201


def note(text: str) -> None:
    """Say something beside the results: on standard error."""
    screen = console(error=True)
    screen.print(text, style="dim", markup=False, soft_wrap=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None) -> None:
    """Print a table; numbers to the right, in a pipe without rules and never cut."""
    screen = console()
    if title:
        print_line(title, style="bold")
    if screen.is_terminal:
        screen.print(_table(columns, rows, pretty=True))
        return
    from rich.console import Console

    text = StringIO()
    Console(width=PIPE_WIDTH, no_color=True, highlight=False, file=text).print(_table(columns, rows, pretty=False))
    for line in text.getvalue().splitlines():
        print(line.rstrip())  # noqa: T201


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, pretty: bool) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD if pretty else None, pad_edge=False, header_style="bold")
    for position, name in enumerate(columns):
        values = [row[position] for row in rows if row[position] is not None]
        is_number = bool(values) and all(isinstance(value, int | float) for value in values)
        table.add_column(Text(name), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(value)) for value in row))
    return table


def shown(value: Any) -> str:
    """Return a value as a cell shows it: nothing as a dash, numbers with what matters of them."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) >= 10 or value == 0 else f"{value:.3f}"
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}: {shown(item)}" for key, item in value.items())
    return str(value)


class _LineHandler(logging.Handler):
    """Log records as lines ``genmat: warning: …`` on standard error, above a progress bar that may run there."""

    def emit(self, record: logging.LogRecord) -> None:
        line = f"genmat: {record.levelname.lower()}: {' '.join(record.getMessage().split())}"
        if record.exc_info and self.level <= logging.DEBUG:
            line += "\n" + logging.Formatter().formatException(record.exc_info)
        if console.cache_info().currsize:
            console(error=True).print(line, markup=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr)  # noqa: T201 - rich takes longer to import than the command to run


_handlers: list[logging.Handler] = []


def configure_logging(*, level: str, log_file: Path | None) -> None:
    """Send genmat's log to standard error from ``level`` on, and all of it from info on to a file.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    end_logging()
    handler = _LineHandler(level)
    _attach(handler)
    if log_file is not None:
        try:
            _attach(_file_handler(log_file, level="DEBUG" if level == "DEBUG" else "INFO"))
        except OSError as err:
            msg = f"log file {log_file} cannot be written: {err.strerror or err}; choose another one with --log-file"
            raise StorageError(msg) from err
    if level == "DEBUG":
        logging.captureWarnings(capture=True)


def set_level(level: str) -> None:
    """Set from which level on standard error gets the log."""
    for handler in _handlers:
        if isinstance(handler, _LineHandler):
            handler.setLevel(level.upper())
    _set_root_levels()


def end_logging() -> None:
    """Take back :func:`configure_logging`."""
    while _handlers:
        handler = _handlers.pop()
        for name in _ROOTS:
            logging.getLogger(name).removeHandler(handler)
        handler.close()
    logging.captureWarnings(capture=False)


def _attach(handler: logging.Handler) -> None:
    _handlers.append(handler)
    for name in _ROOTS:
        logging.getLogger(name).addHandler(handler)
    _set_root_levels()


def _set_root_levels() -> None:
    lowest = min((handler.level for handler in _handlers), default=logging.WARNING)
    for name in _ROOTS:
        logging.getLogger(name).setLevel(lowest)


def _file_handler(path: Path, *, level: str) -> logging.Handler:
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setLevel(level)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", datefmt=_DATE))
    return handler


@contextmanager
def caught_output(log: Path) -> Iterator[None]:
    """Keep what libraries and worker processes write to standard output and error in a file, not on the terminal.

    Libraries print past Python (Warp's ``Warp CUDA warning``, banners of potentials), workers print tracebacks when
    they are interrupted. Both file descriptors point to the file meanwhile, which child processes inherit; our own
    console and log lines go to a copy of standard error. With ``--log-level debug`` nothing is caught.

    Parameters
    ----------
    log
        File that is appended to; if it cannot be written, what is caught is lost.
    """
    if any(handler.level <= logging.DEBUG for handler in _handlers if isinstance(handler, _LineHandler)):
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    sink, handler = _open_sink(log)
    with os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace", buffering=1) as ours:
        screen = console(error=True)
        before: TextIO | None = getattr(screen, "_file", None)
        screen.file = ours if sys.stderr is sys.__stderr__ else sys.stderr
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(saved[0], 1)
            os.dup2(saved[1], 2)
            for descriptor in (*saved, sink):
                os.close(descriptor)
            screen._file = before  # noqa: SLF001 - rich's own way back to the stream of the moment
            if handler is not None:
                _handlers.remove(handler)
                for name in _ROOTS:
                    logging.getLogger(name).removeHandler(handler)
                handler.close()


def _open_sink(log: Path) -> tuple[int, logging.Handler | None]:
    try:
        handler = _file_handler(log, level="INFO")
        sink = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY), None
    _attach(handler)
    return sink, handler
