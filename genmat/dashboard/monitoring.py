"""Health for a supervisor, numbers for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

from genmat import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from genmat.dashboard.board import Board

type Sample = tuple[Mapping[str, str], float]


def metrics(board: Board) -> str:
    """Return the numbers of all campaigns in Prometheus' text format."""
    lines: list[str] = []

    def add(name: str, meaning: str, samples: Iterable[Sample], *, kind: str = "gauge") -> None:
        lines.extend((f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"))
        for labels, value in samples:
            inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
            lines.append(f"{name}{{{inside}}} {value:g}" if inside else f"{name} {value:g}")

    campaigns = board.lines()
    add("genmat_info", "Version of genmat.", [({"version": __version__}, 1)])
    add("genmat_memory_bytes", "Memory of the dashboard.", [({}, psutil.Process().memory_info().rss)])
    add(
        "genmat_campaign_state",
        "1 for the state of a campaign.",
        [({"campaign": line.document.id, "state": line.state}, 1) for line in campaigns],
    )
    add(
        "genmat_candidates",
        "Candidates by where they ended.",
        [
            ({"campaign": name, "stage": stage, "reason": reason, "status": status}, number)
            for name, stage, reason, status, number in _ends(board)
        ],
    )
    add(
        "genmat_work_hours",
        "Hours of all attempts.",
        [({"campaign": line.document.id, "stage": w.stage}, w.hours) for line in campaigns for w in line.work],
    )
    add(
        "genmat_failed_attempts",
        "Attempts that failed.",
        [
            ({"campaign": line.document.id, "stage": w.stage}, w.failed_attempts)
            for line in campaigns
            for w in line.work
        ],
    )
    add(
        "genmat_relaxations_per_hour",
        "Relaxations an hour, over the last hour of work.",
        [({"campaign": line.document.id}, line.per_hour) for line in campaigns if line.per_hour is not None],
    )
    add(
        "genmat_firework_jobs",
        "Jobs of FireWorks.",
        [
            ({"category": category, "state": state}, number)
            for category, states in board.jobs().items()
            for state, number in states.items()
        ],
    )
    return "\n".join(lines) + "\n"


def _ends(board: Board) -> Iterator[tuple[str, str, str, str, int]]:
    for document in board.campaigns():
        totals: dict[tuple[str, str, str], int] = {}
        for end in board.ends(document.id):
            key = (end.stage, end.reason, end.status)
            totals[key] = totals.get(key, 0) + end.count
        for key, number in sorted(totals.items()):
            yield document.id, *key, number


def _escaped(text: str) -> str:
    """Return the value of a label as Prometheus reads it."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
