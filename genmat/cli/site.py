"""``genmat init --queue``: the files of a cluster."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from genmat.cli.terminal import print_json, print_line
from genmat.errors import InputError

QUEUES = ("slurm", "pbs")


@dataclass(frozen=True, slots=True)
class SiteAnswers:
    """The options as they were given."""

    queue: str
    gpu_partition: str | None
    cpu_partition: str | None
    account: str | None
    walltime: str
    gpus: int
    cores: int
    environment: Path | None


def write_site(answers: SiteAnswers, *, folder: Path | None, as_json: bool) -> None:
    """Write the files of a site beside the configuration file, or into a folder.

    Raises
    ------
    InputError
        If an option is missing or could mean something else to a shell.
    """
    from genmat.cli.starting import write_new
    from genmat.settings import Settings
    from workflows.dispatch.site import site_folder
    from workflows.dispatch.site_files import SiteOptions, site_files

    if answers.queue not in QUEUES:
        msg = f"--queue {answers.queue!r}: expected {' or '.join(QUEUES)}"
        raise InputError(msg)
    missing = [name for name in ("gpu_partition", "cpu_partition") if getattr(answers, name) is None]
    if missing or answers.gpu_partition is None or answers.cpu_partition is None:
        options = " and ".join(f"--{name.replace('_', '-')}" for name in missing)
        msg = f"--queue {answers.queue} needs {options}: the names that sinfo or qstat -Q shows"
        raise InputError(msg)
    place = folder or site_folder(Settings.load())
    files = site_files(
        SiteOptions(
            queue=answers.queue,
            gpu_partition=answers.gpu_partition,
            cpu_partition=answers.cpu_partition,
            account=answers.account,
            walltime=answers.walltime,
            gpus=answers.gpus,
            cores=answers.cores,
            environment=None if answers.environment is None else answers.environment.absolute(),
            command=_command(),
            folder=place.absolute(),
        )
    )
    paths = write_new(place, files)
    if as_json:
        print_json([str(path) for path in paths])
        return
    hint = "" if folder is None else f"; let workers find it: export GENMAT_SITE={place.absolute()}"
    print_line(f"wrote {len(paths)} files to {place}{hint}; then: genmat doctor, genmat dispatch")


def _command() -> str:
    """Return how a node starts genmat: by the path of this environment, which it must see."""
    beside = Path(sys.executable).with_name("genmat")
    found = str(beside) if beside.exists() else shutil.which("genmat")
    return found or f"{sys.executable} -m genmat.cli"
