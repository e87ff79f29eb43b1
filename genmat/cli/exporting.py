"""``genmat export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genmat.cli.session import campaign_names, session_of
from genmat.cli.terminal import print_json, print_line
from genmat.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genmat.interop.export import ExportedCrystal

FORMATS = ("cif", "extxyz", "csv", "json")
_FILE_NAMES = {"extxyz": "structures.extxyz", "csv": "candidates.csv", "json": "candidates.json"}
STDOUT = Path("-")


def export(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Campaign.", metavar="NAME", autocompletion=campaign_names)],
    *,
    file_format: Annotated[str, typer.Option("--format", "-f", help="cif, extxyz, csv or json.")] = "cif",
    output: Annotated[
        Path | None,
        typer.Option(help="Folder (cif) or file (others), - for standard output; default: in genmat-output/NAME."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every draw, not only accepted candidates.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the paths as JSON.")] = False,
) -> None:
    """Write candidates to files for other programs.

    Example: genmat export quickstart --format extxyz --output best.extxyz
    """
    if file_format not in FORMATS:
        msg = f"--format {file_format!r} is unknown, expected one of {', '.join(FORMATS)}."
        raise InputError(msg + did_you_mean(file_format, FORMATS))
    if output == STDOUT and file_format == "cif":
        msg = "--output - takes one text, and cif writes a file for each candidate: give a folder, or --format extxyz"
        raise InputError(msg)
    place = output or Path("genmat-output") / name / _FILE_NAMES.get(file_format, "cif")
    with session_of(context).reader_of(name) as store:
        from genmat.interop.export import collect_crystals, select_candidates, to_csv, to_extxyz, to_json
        from genmat.interop.io import write_text

        store.campaigns.require(name)
        candidates = select_candidates(store, name, everything=everything)
        crystals = [] if file_format == "csv" else collect_crystals(store, candidates)
    if not candidates:
        what = "candidate" if everything else "accepted candidate (--all exports every draw)"
        msg = f"campaign {name!r} has no {what}: nothing was written; genmat status {name} shows why"
        raise InputError(msg)
    if file_format == "cif":
        paths = _write_cifs(crystals, place)
    else:
        text = (
            to_csv(candidates)
            if file_format == "csv"
            else {"extxyz": to_extxyz, "json": to_json}[file_format](crystals)
        )
        if output == STDOUT:
            typer.echo(text, nl=False)
            return
        paths = [write_text(place, text)]
    if as_json:
        print_json([str(path) for path in paths])
    else:
        count = len(candidates) if file_format == "csv" else len(crystals)
        print_line(f"{count} candidates written to {place}")


def _write_cifs(crystals: Sequence[ExportedCrystal], folder: Path) -> list[Path]:
    from genmat.interop.export import to_cif
    from genmat.interop.io import check_writable, write_text

    check_writable(folder)
    return [write_text(folder / f"{crystal.stem}.cif", to_cif(crystal)) for crystal in crystals]
