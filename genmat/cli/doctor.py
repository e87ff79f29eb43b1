"""``genmat doctor``: every setting with its source, and whether this machine can run campaigns."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genmat.cli.session import session_of
from genmat.cli.terminal import print_json, print_line, print_table
from genmat.errors import GenmatError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from genmat.settings import Settings

LEAST_SPACE = 2.0
"""Free disk space below which a campaign is at risk, GB."""


@dataclass(frozen=True, slots=True)
class Check:
    """What one test found; ``ok`` is None where something is absent that is not needed."""

    name: str
    ok: bool | None
    detail: str


def doctor(
    context: typer.Context, *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Show every setting with where it came from, and test database, queue, weights, engines, permissions and disk.

    Exit code 0 if campaigns can run, 2 if not. Example: genmat doctor
    """
    session = session_of(context)
    settings = session.settings
    values = _settings(settings, session.flags)
    checks = [_checked(name, test, settings) for name, test in _TESTS.items()]
    failed = [check.name for check in checks if check.ok is False]
    if as_json:
        print_json({"settings": values, "checks": [asdict(check) for check in checks], "ok": not failed})
    else:
        print_table(
            ["setting", "value", "from", "meaning"],
            [[value["name"], value["value"], value["source"], value["description"]] for value in values],
            title="Settings",
        )
        words = {True: "ok", False: "FAILED", None: "absent"}
        print_line()
        print_table(
            ["test", "result", "detail"],
            [[check.name, words[check.ok], check.detail] for check in checks],
            title="Tests",
        )
    if failed:
        from genmat.cli.entry import BAD_INPUT

        if not as_json:
            print_line(f"\ncampaigns cannot run: {', '.join(failed)}")
        raise typer.Exit(BAD_INPUT)


def _settings(settings: Settings, flags: dict[str, Any]) -> list[dict[str, Any]]:
    from genmat.database.connection import mask

    sources = settings.sources(**flags)
    rows = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if name == "database_uri" and value is not None:
            value = mask(value.get_secret_value())
        rows.append(
            {
                "name": name,
                "value": None if value is None else str(value),
                "source": sources[name],
                "description": field.description,
            }
        )
    return rows


def _checked(name: str, test: Callable[[Settings], tuple[bool | None, str]], settings: Settings) -> Check:
    try:
        return Check(name, *test(settings))
    except GenmatError as err:
        return Check(name, ok=False, detail=" ".join(str(err).split()))
    except OSError as err:
        return Check(name, ok=False, detail=f"{err.filename or ''}: {err.strerror}")


def _python(_settings: Settings) -> tuple[bool, str]:
    import psutil

    from genmat import __version__

    memory = psutil.virtual_memory()
    cores = len(psutil.Process().cpu_affinity())
    version = ".".join(map(str, sys.version_info[:3]))
    free, total = memory.available / 1e9, memory.total / 1e9
    text = f"genmat {__version__}, Python {version}, {cores} cores, {free:.1f} of {total:.1f} GB memory free"
    return sys.version_info >= (3, 12), text


def _mongod(settings: Settings) -> tuple[bool | None, str]:
    from genmat.database.mongod import find_mongod

    found = find_mongod(settings)
    if found is None:
        return None, "none; the in-process store takes its place (python -m genmat.database.install)"
    version, said = found.version()
    if version is None:
        return None, f"{found.program} does not run: {said} (python -m genmat.database.install)"
    return True, f"{version}, {found.program} (from {found.origin})"


def _database(settings: Settings) -> tuple[bool, str]:
    from genmat.database.store import connect

    started = time.monotonic()
    with connect(settings, read_only=True) as store:
        info = store.describe()
        seconds = time.monotonic() - started
    documents = ", ".join(f"{number} {name}" for name, number in info.documents.items() if number) or "empty"
    version = f", MongoDB {info.server_version}" if info.server_version else ""
    return True, f"{info.label}{version}, {documents}, reached in {seconds:.1f} s"


def _reference(settings: Settings) -> tuple[bool, str]:
    from genmat.models.potentials import get_potential
    from genmat.reference.io import load_reference, packaged_reference

    reference = load_reference(settings.reference)
    metadata = reference.metadata
    place = settings.reference or packaged_reference()
    if not reference.is_labelled and get_potential(metadata.potential).sha256 != metadata.potential_sha256:
        return False, f"{place} holds energies of other weights of {metadata.potential}: rebuild it"
    counts = reference.summary()
    return True, (
        f"{counts['known']} known crystals, {counts['with_energy']} with {metadata.potential} energies, "
        f"{counts['with_crystal']} templates, id {reference.id[:12]}, {metadata.attribution}, {place}"
    )


def _labels(settings: Settings) -> tuple[bool | None, str]:
    from genmat.reference.coverage import label_coverage
    from genmat.reference.io import load_reference

    if settings.labels is None:
        return None, "none; only campaigns with screen.hull: dft need them (genmat data build-labels)"
    labels = load_reference(settings.labels)
    coverage = label_coverage(load_reference(settings.reference), labels)
    number = labels.summary()["with_energy"]
    return True, f"{number} crystals on the scale {labels.scale}, {coverage}, id {labels.id[:12]}, {settings.labels}"


def _weights(_settings: Settings) -> tuple[bool, str]:
    from genmat.models.potentials.registry import known_potentials

    texts = []
    for potential in known_potentials().values():
        potential.check_weights()
        texts.append(f"{potential.name} {potential.sha256[:12]}")
    return True, f"{', '.join(texts)}: files have the known SHA-256"


def _engine(name: str) -> Callable[[Settings], tuple[bool | None, str]]:
    def test(_settings: Settings) -> tuple[bool | None, str]:
        from genmat.errors import EngineError
        from genmat.validation.registry import get_engine

        try:
            return True, get_engine(name).check()
        except EngineError as err:
            return None, f"{err}; campaigns run without validation by it"

    return test


def _data_folder(settings: Settings) -> tuple[bool, str]:
    from genmat.interop.io import check_writable

    try:
        check_writable(settings.data_folder)
    except StorageError as err:
        return False, str(err).replace("choose another one with --output", "set GENMAT_DATA_FOLDER to one of yours")
    present = next(folder for folder in (settings.data_folder, *settings.data_folder.parents) if folder.exists())
    free = shutil.disk_usage(present).free / 1e9
    text = f"{settings.data_folder} can be written, {free:.1f} GB free"
    return free >= LEAST_SPACE, text if free >= LEAST_SPACE else f"{text}, expected at least {LEAST_SPACE:g} GB"


def _current_folder(_settings: Settings) -> tuple[bool, str]:
    from genmat.interop.io import check_writable

    check_writable(Path("genmat-output"))
    return True, f"results can be written to {Path('genmat-output').absolute()}"


def _indexes(settings: Settings) -> tuple[bool | None, str]:
    from genmat.database.connection import has_database
    from genmat.database.store import connect

    if not has_database(settings):
        return None, "no database yet; the first genmat run or genmat submit makes it with its indexes"
    with connect(settings, read_only=True) as store:
        if store.in_process:
            return None, "the in-process store needs none"
        missing = store.missing_indexes()
    if not missing:
        return True, "all are present"
    return False, f"{len(missing)} are missing, the first {missing[0]}: genmat reconcile makes them"


def _permissions(settings: Settings) -> tuple[bool | None, str]:
    from genmat.settings import config_file

    texts = []
    for path, is_open, remedy in (
        (config_file(), 0o077 if settings.database_uri is not None else 0o022, "600"),
        (settings.data_folder, 0o022, "700"),
    ):
        if not path.exists():
            continue
        mode = path.stat().st_mode & 0o777
        if mode & is_open:
            return False, f"{path} is open to others ({mode:o}): chmod {remedy} {path}"
        texts.append(f"{path} {mode:o}")
    return (True, ", ".join(texts)) if texts else (None, "neither configuration nor data folder exist yet")


def _queue(settings: Settings) -> tuple[bool | None, str]:
    from workflows.dispatch.scheduler import SchedulerError, get_scheduler
    from workflows.dispatch.site import check_safe_path, load_site, site_folder

    folder = site_folder(settings)
    if not folder.is_dir():
        return None, f"{folder} does not exist; only a cluster needs it: genmat init --queue slurm"
    site = load_site(folder)
    check_safe_path(settings.data_folder)
    scheduler = get_scheduler(site.scheduler)
    wanted = {config.queue: stage for stage, config in site.stages.items()}
    try:
        known = scheduler.partitions()
        jobs = scheduler.jobs()
    except SchedulerError as err:
        return False, f"{site.scheduler} does not answer: {err}; load its module, or ask where it runs"
    if missing := sorted(wanted.keys() - known):
        there = ", ".join(sorted(known)) or "none"
        file = folder / f"my_qadapter_{wanted[missing[0]]}.yaml"
        return False, f"{site.scheduler} has no {missing[0]}, it has {there}: put one of them into queue in {file}"
    return True, f"{site.scheduler} answers, has {', '.join(sorted(wanted))}, {len(jobs)} jobs of yours, {folder}"


_TESTS: dict[str, Callable[[Settings], tuple[bool | None, str]]] = {
    "machine": _python,
    "data folder": _data_folder,
    "current folder": _current_folder,
    "mongod": _mongod,
    "database": _database,
    "indexes": _indexes,
    "permissions": _permissions,
    "queue": _queue,
    "potential weights": _weights,
    "reference": _reference,
    "labels": _labels,
    "gpaw": _engine("gpaw"),
    "vasp": _engine("vasp"),
}
