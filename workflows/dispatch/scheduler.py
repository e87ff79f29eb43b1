"""Schedulers: what is asked of SLURM and PBS, and what their answers mean.

A job's *name* is ours and is known before the scheduler is asked; its number may never reach us. An error, a timeout
and an answer that cannot be read all mean the same: nobody knows whether the job was taken, so the queue is asked.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genmat.errors import GenmatError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TIMEOUT = 60.0
"""How long a command of the scheduler may take, s."""
_SECRETS = ("GENMAT_DATABASE_URI", "GENMAT_NOTIFY_WEBHOOK")
"""Settings that may hold passwords: schedulers keep the environment of a submission on disk."""


class SchedulerError(GenmatError):
    """The scheduler did not answer, or not in a way that can be understood."""


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """A job that waits or runs.

    Parameters
    ----------
    queue_id
        Number of the scheduler.
    name
        Our name.
    is_running
        Whether it has begun.
    """

    queue_id: str
    name: str
    is_running: bool


class Scheduler(ABC):
    """A batch system.

    Parameters
    ----------
    timeout
        How long each command may take, s.
    """

    kind: str

    def __init__(self, *, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout

    @abstractmethod
    def submit(self, script: Path) -> str:
        """Hand a script over and return the job's number.

        Raises
        ------
        SchedulerError
            If nobody knows whether it was taken.
        """

    @abstractmethod
    def jobs(self) -> dict[str, QueueEntry]:
        """Return this user's jobs that wait or run, by name.

        Raises
        ------
        SchedulerError
            If the scheduler does not say.
        """

    @abstractmethod
    def partitions(self) -> set[str]:
        """Return the partitions or queues that there are.

        Raises
        ------
        SchedulerError
            If the scheduler does not say.
        """

    @abstractmethod
    def cancel(self, queue_id: str) -> None:
        """End a job."""

    def _run(self, *command: str, folder: Path | None = None) -> str:
        environment = {name: value for name, value in os.environ.items() if name not in _SECRETS}
        try:
            finished = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self._timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            msg = f"{command[0]} gave no answer within {self._timeout:g} s"
            raise SchedulerError(msg) from None
        except OSError as err:
            msg = f"{command[0]} cannot be run: {err.strerror}"
            raise SchedulerError(msg) from err
        if finished.returncode:
            said = " ".join((finished.stderr or finished.stdout).split())[:300]
            msg = f"{command[0]} ended with {finished.returncode}: {said or 'it said nothing'}"
            raise SchedulerError(msg)
        return finished.stdout


class Slurm(Scheduler):
    """SLURM."""

    kind = "slurm"

    def submit(self, script: Path) -> str:
        """Hand a script over with sbatch."""
        said = self._run("sbatch", "--parsable", script.name, folder=script.parent).strip()
        # --parsable prints the number, and the cluster's name where there are several.
        if not re.fullmatch(r"\d+(;\w+)?", said):
            msg = f"sbatch printed {said[:80]!r}, expected the number of a job"
            raise SchedulerError(msg)
        return said.partition(";")[0]

    def jobs(self) -> dict[str, QueueEntry]:
        """Ask squeue."""
        lines = self._run("squeue", "--noheader", "--user", getpass.getuser(), "--format", "%i|%T|%j").splitlines()
        entries = {}
        for line in lines:
            parts = line.strip().split("|", maxsplit=2)
            if len(parts) != 3 or not parts[0]:
                msg = f"squeue printed {line[:80]!r}, expected number|state|name"
                raise SchedulerError(msg)
            entries[parts[2]] = QueueEntry(parts[0], parts[2], is_running=parts[1] == "RUNNING")
        return entries

    def partitions(self) -> set[str]:
        """Ask sinfo."""
        return set(self._run("sinfo", "--noheader", "--format", "%R").split())

    def cancel(self, queue_id: str) -> None:
        """Ask scancel."""
        self._run("scancel", queue_id)


class Pbs(Scheduler):
    """PBS Professional and OpenPBS, from version 14 on: earlier ones print no JSON."""

    kind = "pbs"

    def submit(self, script: Path) -> str:
        """Hand a script over with qsub."""
        said = self._run("qsub", script.name, folder=script.parent).strip()
        if not re.fullmatch(r"\d+(\[\])?(\.[\w.-]+)?", said):
            msg = f"qsub printed {said[:80]!r}, expected the number of a job"
            raise SchedulerError(msg)
        return said

    def jobs(self) -> dict[str, QueueEntry]:
        """Ask qstat."""
        said = self._run("qstat", "-f", "-F", "json")
        try:
            found = json.loads(said).get("Jobs", {}) if said.strip() else {}
            mine = {key: job for key, job in found.items() if job["Job_Owner"].partition("@")[0] == getpass.getuser()}
            return {
                job["Job_Name"]: QueueEntry(key, job["Job_Name"], is_running=job["job_state"] == "R")
                for key, job in mine.items()
                if job["job_state"] not in {"F", "X"}
            }
        except (ValueError, KeyError, AttributeError, TypeError) as err:
            msg = f"qstat printed {said[:80]!r}, expected JSON with Jobs"
            raise SchedulerError(msg) from err

    def partitions(self) -> set[str]:
        """Ask qstat -Q."""
        said = self._run("qstat", "-Q", "-f", "-F", "json")
        try:
            return set(json.loads(said)["Queue"])
        except (ValueError, KeyError, TypeError) as err:
            msg = f"qstat printed {said[:80]!r}, expected JSON with Queue"
            raise SchedulerError(msg) from err

    def cancel(self, queue_id: str) -> None:
        """Ask qdel."""
        self._run("qdel", queue_id)


_KINDS: Sequence[type[Scheduler]] = (Slurm, Pbs)


def get_scheduler(kind: str) -> Scheduler:
    """Return the scheduler of a kind: ``slurm`` or ``pbs``."""
    return next(found for found in _KINDS if found.kind == kind)()
