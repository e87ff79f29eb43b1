"""What training runs of all stages report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training run stands.

    Parameters
    ----------
    step, n_steps
        Steps done, and all.
    losses
        Mean of each loss since the last report.
    seconds
        Since the start of this process' part of the run.
    """

    step: int
    n_steps: int
    losses: dict[str, float]
    seconds: float
