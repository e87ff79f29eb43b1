"""Stages: which kind of machine does which job. A stage is one category, one fworker and one qadapter."""

from __future__ import annotations

from enum import StrEnum

from workflows.chunk import GENERATE, PRESCREEN


class Stage(StrEnum):
    """Kinds of machines."""

    GPU = "gpu"
    CPU = "cpu"
    CONTROL = "control"


_STAGES = {GENERATE: Stage.GPU, PRESCREEN: Stage.GPU}


def stage_of(phase: str) -> Stage:
    """Return the stage of the jobs of a phase; what no potential computes runs on CPU nodes."""
    return _STAGES.get(phase, Stage.CPU)
