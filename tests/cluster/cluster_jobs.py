"""Jobs of no science for the tests of dispatch: each leaves its effect in the database, through the store."""

from __future__ import annotations

import os
import time
from pathlib import Path

from jobflow.core.flow import Flow
from jobflow.core.job import Response, job

from genmat.database.documents import ModelDocument
from workflows.session import current_store


def leave_effect(key: str) -> None:
    """Write one document for one execution; its id says which process did it."""
    name = f"{key}@{os.getpid()}@{time.time_ns()}"
    document = ModelDocument(
        id=name, name=key, version="1", kind="effect", sha256="0" * 64, license="none", location="test"
    )
    current_store().models.insert_if_absent([document])


@job
def effect_job(key: str, seconds: float = 0.0) -> str:
    """Leave the effect of one execution after some time."""
    time.sleep(seconds)
    leave_effect(key)
    return key


@job
def failing_job(key: str, cure: str) -> str:
    """Fail until a file exists."""
    if not Path(cure).exists():
        msg = f"no cure for {key}"
        raise RuntimeError(msg)
    leave_effect(key)
    return key


@job
def large_job(size: int) -> dict[str, list[str]]:
    """Return some bytes of text."""
    return {"pieces": ["x" * 100_000] * (size // 100_000)}


@job
def growing_job(key: str) -> Response[str]:
    """Replace itself by two jobs and one that waits for them."""
    first, second = effect_job(f"{key}-1"), effect_job(f"{key}-2")
    last = gathering_job([first.output, second.output])
    return Response(replace=Flow([first, second, last], output=last.output))


@job
def gathering_job(keys: list[str]) -> str:
    """Return what others returned."""
    return "+".join(keys)
