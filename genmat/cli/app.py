"""The commands and what they share; every command imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genmat.cli import (
    archiving,
    bench,
    campaigns,
    candidates,
    cluster,
    data,
    doctor,
    documents,
    exporting,
    models,
    running,
    sampling,
    serving,
    starting,
    training,
    validating,
)
from genmat.cli.session import Session

app = typer.Typer(
    name="genmat",
    help="Generative design campaigns for inorganic crystals: from a target property to screened, explained candidates."
    "\n\nExample: genmat init && genmat run campaign.yaml && genmat top my-campaign",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_WORK, _CLUSTER, _LOOK, _MACHINE = "Work", "On a cluster", "Look at results", "Machine and data"


def _show_version(*, wanted: bool) -> None:
    if wanted:
        from genmat import __version__

        typer.echo(f"genmat {__version__}")
        raise typer.Exit


@app.callback()
def common(  # noqa: D103 - the help text of the group stands above
    context: typer.Context,
    *,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error; debug shows tracebacks.", metavar="LEVEL")
    ] = None,
    log_file: Annotated[Path | None, typer.Option(help="Also write the log to this file.", metavar="FILE")] = None,
    data_folder: Annotated[
        Path | None, typer.Option(help="Folder of the private database and caches.", metavar="FOLDER")
    ] = None,
    reference: Annotated[Path | None, typer.Option(help="Reference table (parquet).", metavar="FILE")] = None,
    version: Annotated[  # noqa: ARG001 - the callback does it
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    flags = {"log_level": log_level, "data_folder": data_folder, "reference": reference}
    context.obj = context.with_resource(Session(flags=flags, log_file=log_file))


app.command("run", rich_help_panel=_WORK)(running.run)
app.command("resume", rich_help_panel=_WORK)(running.resume)
app.command("submit", rich_help_panel=_CLUSTER)(cluster.submit)
app.command("dispatch", rich_help_panel=_CLUSTER)(cluster.dispatch)
app.command("work", rich_help_panel=_CLUSTER)(cluster.work)
app.command("retry", rich_help_panel=_CLUSTER)(cluster.retry)
app.command("pause", rich_help_panel=_CLUSTER)(cluster.pause)
app.command("cancel", rich_help_panel=_CLUSTER)(cluster.cancel)
app.command("reconcile", rich_help_panel=_CLUSTER)(cluster.reconcile)
app.command("sample", rich_help_panel=_WORK)(sampling.sample)
app.command("validate", rich_help_panel=_WORK)(validating.validate)
app.command("init", rich_help_panel=_WORK)(starting.init)
app.command("schema", rich_help_panel=_WORK)(starting.schema)
app.command("status", rich_help_panel=_LOOK)(campaigns.status)
app.command("list", rich_help_panel=_LOOK)(candidates.list_candidates)
app.command("top", rich_help_panel=_LOOK)(candidates.top)
app.command("show", rich_help_panel=_LOOK)(documents.show)
app.command("why", rich_help_panel=_LOOK)(documents.why)
app.command("export", rich_help_panel=_LOOK)(exporting.export)
app.command("serve", rich_help_panel=_LOOK)(serving.serve)
app.command("backup", rich_help_panel=_MACHINE)(archiving.backup)
app.command("restore", rich_help_panel=_MACHINE)(archiving.restore)
app.command("doctor", rich_help_panel=_MACHINE)(doctor.doctor)
app.add_typer(data.app, name="data", rich_help_panel=_MACHINE)
app.add_typer(bench.app, name="bench", rich_help_panel=_MACHINE)
app.add_typer(training.app, name="train", rich_help_panel=_MACHINE)
app.add_typer(models.app, name="models", rich_help_panel=_MACHINE)
