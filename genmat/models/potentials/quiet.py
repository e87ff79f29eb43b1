"""Silence while a library makes a model."""

from __future__ import annotations

import contextlib
import io
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ONE_AT_A_TIME = threading.RLock()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what is printed meanwhile.

    Standard output belongs to all threads: of two that redirect it side by side, the one that ends last would put the
    other one's redirection back, and nothing would be printed any more. So the second one waits.
    """
    with _ONE_AT_A_TIME, contextlib.redirect_stdout(io.StringIO()):
        yield
