"""CIF text to structures, in a process with a time limit."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from genmat.errors import StructureError
from genmat.reference.sources.structure import crystal_from_arrays

if TYPE_CHECKING:
    from types import TracebackType

    from pymatgen.core.structure import Structure

MAX_BYTES = 4_000_000
"""Largest CIF text that is looked at."""

MAX_SECONDS = 20.0
"""Longest time for one CIF text."""

START_SECONDS = 300.0
"""Longest time for the process to import what it needs; part of the first request only."""

_CHUNK = 1 << 16


class CifReader:
    """Reads CIF texts one after another; use it as a context manager.

    Parameters
    ----------
    max_seconds
        Time limit of one text, s.
    """

    __slots__ = ("_process", "max_seconds")

    def __init__(self, *, max_seconds: float = MAX_SECONDS) -> None:
        self.max_seconds = max_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, text: str, *, name: str) -> Structure:
        """Return the structure of a CIF text.

        Parameters
        ----------
        text
            Content of the file.
        name
            What to call it in messages.

        Raises
        ------
        StructureError
            If it is too long, no CIF, truncated, disordered, has no volume, too many atoms, or takes too long.
        """
        if len(text) > MAX_BYTES:
            msg = f"{name} has {len(text):,} characters, expected at most {MAX_BYTES:,} in the CIF file of one crystal"
            raise StructureError(msg)
        answer = self._ask(json.dumps({"name": name, "text": text}).encode() + b"\n", name=name)
        if "error" in answer:
            raise StructureError(answer["error"])
        found = answer["structure"]
        return crystal_from_arrays(name, **found, name=name).structure()

    def close(self) -> None:
        """Stop the process."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def _ask(self, request: bytes, *, name: str) -> dict[str, Any]:
        limit = self.max_seconds
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = _start()
            limit += START_SECONDS
        answer = _exchange(self._process, request, deadline=time.monotonic() + limit)
        if answer is None:
            self.close()
            msg = (
                f"{name} could not be read within {self.max_seconds:g} s, or crashed the CIF parser: leave the file out"
            )
            raise StructureError(msg)
        result: dict[str, Any] = json.loads(answer)
        return result


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "genmat.reference.sources.cif_process"]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=quiet
    )


def _exchange(process: subprocess.Popen[bytes], request: bytes, *, deadline: float) -> bytes | None:
    """Write a line and return the line that answers it; ``None`` if time runs out or the process ends."""
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        return None
    os.set_blocking(stdin.fileno(), False)
    answer = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        selector.register(stdin, selectors.EVENT_WRITE)
        while not answer.endswith(b"\n"):
            ready = selector.select(timeout=max(0.0, deadline - time.monotonic()))
            if not ready:
                return None
            for key, _ in ready:
                try:
                    if key.fileobj is stdin:
                        request = request[os.write(stdin.fileno(), request[:_CHUNK]) :]
                        if not request:
                            selector.unregister(stdin)
                    else:
                        part = os.read(stdout.fileno(), _CHUNK)
                        if not part:
                            return None
                        answer += part
                except BrokenPipeError:
                    return None
    return answer
