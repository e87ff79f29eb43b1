"""Campaigns on a cluster: submit, dispatch, work, retry, pause, cancel, reconcile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genmat.cli.entry import InterruptedRunError
from genmat.cli.session import Session, session_of
from genmat.cli.terminal import note, print_json, print_line, print_table
from genmat.errors import CampaignError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genmat.database.documents import CampaignState
    from genmat.database.store import Store
    from workflows.dispatch.dispatcher import Cycle

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="Campaign.", metavar="NAME")]


def submit(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Campaign file (YAML).", metavar="FILE")],
    *,
    priority: Annotated[int, typer.Option(help="The larger, the earlier its jobs run.", min=-1000, max=1000)] = 0,
    max_running: Annotated[
        int | None, typer.Option(min=1, help="Jobs of this campaign that run at once; default: no limit.")
    ] = None,
    max_core_hours: Annotated[
        float | None, typer.Option(min=0.001, help="Core hours after which no job of it begins; default: no limit.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hand a campaign over to workers; submitted twice, it exists once.

    Loads no torch, so it is fit for a login node. Example: genmat submit campaign.yaml --priority 10
    """
    from genmat.campaign.io import load_campaign

    session = session_of(context)
    campaign = load_campaign(file)
    with session.store() as store:
        from workflows.submission import submit_campaign

        document = submit_campaign(
            store, campaign, priority=priority, max_running=max_running, max_core_hours=max_core_hours
        )
        label = store.label
    if as_json:
        print_json({"name": document.id, "state": document.state, "database": label})
    elif document.state == "finished":
        print_line(f"campaign {document.id} is finished already: genmat top {document.id}")
    else:
        print_line(
            f"campaign {document.id} is in {label}; start workers with: genmat dispatch, "
            f"look with: genmat status {document.id}"
        )


def dispatch(
    context: typer.Context,
    *,
    local: Annotated[bool, typer.Option("--local", help="Work in this process instead of asking a scheduler.")] = False,
    once: Annotated[bool, typer.Option("--once", help="One round, then end: for cron and systemd timers.")] = False,
    daemon: Annotated[
        bool, typer.Option("--daemon", help="Never end; by default it ends when no submitted campaign runs.")
    ] = False,
    interval: Annotated[float, typer.Option(min=0.2, max=3600, help="Pause between two rounds, s.")] = 15.0,
    cores: Annotated[int | None, typer.Option(min=1, help="Processes that relax, with --local.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the scheduler for workers where there is work, mend what broke, run failed jobs again.

    Example: genmat dispatch --daemon
    """
    if once and daemon:
        msg = "--once ends after one round and --daemon never: give one of them"
        raise InputError(msg)
    session = session_of(context)
    _check_secrets(session, local=local)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with session.store() as store:
            from workflows.dispatch.dispatcher import Dispatcher

            dispatcher = Dispatcher(store, session.settings, **({} if local else _site(session)))
            if local:
                _work_here(dispatcher, cores=cores, once=once, daemon=daemon, interval=interval)
                return
            if once:
                _report(dispatcher.cycle(), as_json=as_json)
                return
            dispatcher.run(
                until_done=not daemon, interval=interval, report=lambda cycle: _report(cycle, as_json=as_json)
            )
    except KeyboardInterrupt:
        msg = "interrupted; workers go on, continue with: genmat dispatch"
        raise InterruptedRunError(msg) from None


def _interrupt(*_arguments: object) -> None:
    raise KeyboardInterrupt


def _site(session: Session) -> dict[str, Any]:
    from workflows.dispatch.scheduler import get_scheduler
    from workflows.dispatch.site import load_site, site_folder

    site = load_site(site_folder(session.settings))
    return {"site": site, "scheduler": get_scheduler(site.scheduler)}


def _check_secrets(session: Session, *, local: bool) -> None:
    """Refuse a password that others may read, or that workers could only get through the scheduler's own files."""
    from genmat.settings import config_file

    source = session.settings.sources(**session.flags)["database_uri"]
    uri = session.settings.database_uri
    # A key file may have a password of its own, also where the user is known by a certificate.
    if uri is None or not ("@" in uri.get_secret_value() or "password=" in uri.get_secret_value().lower()):
        return
    if source == str(config_file()) and config_file().stat().st_mode & 0o077:
        msg = f"{config_file()} holds a password and can be read by others: chmod 600 {config_file()}"
        raise InputError(msg)
    if not local and source.startswith("GENMAT_"):
        msg = (
            "GENMAT_DATABASE_URI holds a password, and schedulers write the environment of jobs to disk: put "
            f"database_uri into {config_file()} (chmod 600), where workers find it too"
        )
        raise InputError(msg)


def _work_here(dispatcher: Any, *, cores: int | None, once: bool, daemon: bool, interval: float) -> None:
    """Take turns of mending and working until nothing is left to do."""
    import time

    from workflows.dispatch.worker import WorkerOptions, work

    while True:
        cycle = dispatcher.cycle()
        _report(cycle, as_json=False)
        done = work(dispatcher.store, WorkerOptions(cores=cores, idle=0.5))
        if done:
            note(f"{done} jobs done")
        if once or (not daemon and not done and not dispatcher.cycle().unfinished):
            return
        if not done:
            time.sleep(interval)


def _report(cycle: Cycle, *, as_json: bool) -> None:
    if as_json:
        from dataclasses import asdict

        print_json(asdict(cycle))
        return
    for finding in cycle.findings:
        note(f"{finding.kind}: {finding.subject}: {finding.action}")
    parts = [f"{number} jobs {what}" for what, number in cycle.failures.items() if number and what != "waiting"]
    parts += [f"{number} queue jobs asked for {stage}" for stage, number in cycle.asked.items() if number]
    if parts:
        note(", ".join(parts))


def work(
    context: typer.Context,
    *,
    stage: Annotated[
        list[str] | None, typer.Option(help="Stage whose jobs are done: gpu, cpu or control; default: all.")
    ] = None,
    queue_job: Annotated[str | None, typer.Option(help="Name of the queue job it runs in.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="Time after which no further job is taken, s.")] = None,
    idle: Annotated[float, typer.Option(min=0, help="How long to wait for work before ending, s.")] = 60.0,
    processes: Annotated[int, typer.Option(min=1, max=1024, help="Workers side by side, one a GPU.")] = 1,
    cores: Annotated[int | None, typer.Option(min=1, help="Processes that relax, in each worker.")] = None,
) -> None:
    """Do jobs of submitted campaigns until there are none: what queue jobs run.

    Example: genmat work --stage gpu --processes 4
    """
    from workflows.dispatch.stages import Stage

    known = [entry.value for entry in Stage]
    for name in stage or []:
        if name not in known:
            msg = f"--stage {name!r}: expected {', '.join(known)}"
            raise InputError(msg)
    if processes > 1:
        raise typer.Exit(_work_side_by_side(processes))
    with session_of(context).store() as store:
        from workflows.dispatch.worker import WorkerOptions
        from workflows.dispatch.worker import work as do_work

        stages = tuple(Stage(name) for name in stage or known)
        options = WorkerOptions(stages=stages, cores=cores, idle=idle, seconds=seconds, queue_job=queue_job)
        done = do_work(store, options)
    note(f"{done} jobs done")


def _work_side_by_side(processes: int) -> int:
    """Start this command once a GPU, and return the first exit code that is not 0."""
    arguments = list(sys.argv[1:])
    place = arguments.index("--processes") if "--processes" in arguments else None
    if place is not None:
        arguments[place + 1] = "1"
    arguments = [argument for argument in arguments if not argument.startswith("--processes=")]
    visible = [part for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if part]
    started = []
    for number in range(processes):
        mine = {"CUDA_VISIBLE_DEVICES": visible[number % len(visible)]} if visible else {}
        command = [sys.executable, "-m", "genmat.cli", *arguments]
        started.append(subprocess.Popen(command, env={**os.environ, **mine}))
    codes = [process.wait() for process in started]
    return next((code for code in codes if code), 0)


def retry(
    context: typer.Context,
    name: Name,
    *,
    stage: Annotated[
        str | None, typer.Option(help="Only jobs of this phase: generate, prescreen, …; default: all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give the parked jobs of a campaign another chance.

    Example: genmat retry quickstart --stage prescreen
    """
    from workflows.dispatch.retries import retry_campaign

    with session_of(context).store() as store:
        count = retry_campaign(store, name, phase=stage)
    if as_json:
        print_json({"name": name, "retried": count})
    else:
        print_line(f"{count} parked jobs of campaign {name} will run again" if count else f"{name}: no parked job")


def pause(context: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """Let no further job of a submitted campaign begin; what runs is finished.

    Example: genmat pause quickstart
    """
    from genmat.database.documents import CampaignState

    with session_of(context).store() as store:
        _change(store, name, CampaignState.PAUSED, allowed=("created", "running", "paused"))
    _say(name, "paused", f"paused; continue with: genmat resume {name}", as_json=as_json)


def cancel(context: typer.Context, name: Name, *, as_json: AsJson = False) -> None:
    """End a submitted campaign for good, with what it has; no further job of it begins.

    Example: genmat cancel quickstart
    """
    from genmat.database.documents import CampaignState

    with session_of(context).store() as store:
        _change(store, name, CampaignState.CANCELLED, allowed=("created", "running", "paused", "failed", "cancelled"))
    _say(name, "cancelled", "cancelled; its candidates stay", as_json=as_json)


def resume_submitted(store: Store, name: str) -> bool:
    """Let a submitted campaign go on, and return whether it is one."""
    from genmat.database.documents import CampaignState

    submission = store.cluster.submission(name)
    if submission is None:
        return False
    document = store.campaigns.require(name)
    if document.state is CampaignState.PAUSED:
        from workflows.steps import ADVANCE
        from workflows.submission import insert_step

        store.campaigns.set_state(name, CampaignState.RUNNING)
        cause = f"resumed-{document.updated_at.isoformat()}"
        insert_step(store.launchpad(), name, ADVANCE, cause=cause, priority=submission.priority)
        print_line(f"campaign {name} goes on; its workers come from: genmat dispatch")
    elif document.state is CampaignState.FAILED:
        print_line(f"campaign {name} failed ({document.error}); try again with: genmat retry {name}")
    else:
        print_line(f"campaign {name} is {document.state}; its workers come from: genmat dispatch")
    return True


def _change(store: Store, name: str, state: CampaignState, *, allowed: Sequence[str]) -> None:
    from workflows.submission import require_submission

    require_submission(store, name)
    document = store.campaigns.require(name)
    if document.state not in allowed:
        msg = f"campaign {name!r} is {document.state}, expected one that is {' or '.join(allowed)}"
        raise CampaignError(msg)
    if document.state is not state:
        store.campaigns.set_state(name, state)


def _say(name: str, state: str, text: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"name": name, "state": state})
    else:
        print_line(f"campaign {name} is {text}")


def reconcile(
    context: typer.Context,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what is broken and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find lost runs, orphaned reservations, expired locks, spooled results, dangling references, and mend them.

    Asks the scheduler whether a worker lives. Example: genmat reconcile --dry-run
    """
    session = session_of(context)
    from workflows.dispatch.site import site_folder

    known = site_folder(session.settings).is_dir()
    with session.store() as store:
        from workflows.reconcile import reconcile as mend

        scheduler = _site(session)["scheduler"] if known else None
        findings = mend(store, scheduler, dry_run=dry_run, references=True)
    if as_json:
        from dataclasses import asdict

        print_json([asdict(finding) for finding in findings])
    elif not findings:
        print_line("nothing is broken")
    else:
        rows = [[finding.kind, finding.subject, finding.action] for finding in findings]
        print_table(["what", "where", "would be done" if dry_run else "done"], rows)
