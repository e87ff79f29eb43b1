"""``genmat backup`` and ``genmat restore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genmat.cli.session import session_of
from genmat.cli.terminal import print_json, print_line

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def backup(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Campaign.", metavar="NAME")],
    file: Annotated[Path, typer.Argument(help="File to write.", metavar="FILE")],
    *,
    as_json: AsJson = False,
) -> None:
    """Write a campaign with everything that belongs to it into one file.

    Example: genmat backup quickstart quickstart.genmat
    """
    from genmat.database.backup import backup_campaign

    with session_of(context).reader_of(name) as store:
        counts = backup_campaign(store, name, file)
    _say(counts, f"wrote campaign {name} to {file}", as_json=as_json)


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="File that genmat backup wrote.", metavar="FILE")],
    *,
    as_json: AsJson = False,
) -> None:
    """Write what a backup holds and the database does not.

    Example: genmat restore quickstart.genmat
    """
    from genmat.database.backup import restore_campaign

    with session_of(context).store() as store:
        name, counts = restore_campaign(store, file)
    _say(counts, f"restored campaign {name} from {file}", as_json=as_json)


def _say(counts: dict[str, int], text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(counts)
    else:
        shown = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()) if number) or "nothing new"
        print_line(f"{text}: {shown}")
