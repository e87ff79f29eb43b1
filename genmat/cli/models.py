"""``genmat models``: trained models, those that come with genmat and those that were registered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genmat.cli import potentials
from genmat.cli.session import session_of
from genmat.cli.terminal import print_json, print_line, print_table
from genmat.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from genmat.cli.session import Session
    from genmat.database.documents import ModelDocument

app = typer.Typer(
    help="Trained models and potentials: what they were trained on, which may be used.", no_args_is_help=True
)
app.command("potentials")(potentials.list_potentials)
app.command("add")(potentials.add)
app.command("fetch")(potentials.fetch)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_models(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List the models that come with genmat and those of the database.

    Example: genmat models list
    """
    found = _models(session_of(context))
    if as_json:
        print_json([document.model_dump() for document in found])
        return
    rows = [[item.id, item.kind, item.sha256[:12], item.training_data, item.location] for item in found]
    print_table(["model", "kind", "SHA-256", "trained on", "location"], rows)


@app.command("show")
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name, or name and version.", metavar="NAME")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show a model: data, metrics, parent, location.

    Example: genmat models show genmat-foundation
    """
    found = _models(session_of(context))
    chosen = [item for item in found if name in (item.id, item.name)]
    if len(chosen) != 1:
        known = [item.id for item in found]
        what = f"several, {', '.join(item.id for item in chosen)}" if chosen else f"none; there are {', '.join(known)}"
        msg = f"model {name!r}: expected one of that name, found {what}."
        raise InputError(msg + ("" if chosen else did_you_mean(name, [*known, *(item.name for item in found)])))
    _print(chosen[0], as_json=as_json)


@app.command("register")
def register(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Trained model (.safetensors).", metavar="FILE")],
    *,
    name: Annotated[str, typer.Option(help="Name to register it under.")],
    model_version: Annotated[str | None, typer.Option(help="Its version; default: of its SHA-256.")] = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "not stated",
    as_json: AsJson = False,
) -> None:
    """Register a trained model in the database, with its SHA-256, data and metrics.

    Example: genmat models register foundation.safetensors --name mine
    """
    from genmat.database.models import model_document, register_model

    document = model_document(file, name=name, version=model_version, licence=licence)
    with session_of(context).store() as store:
        is_new = register_model(store, document)
    _print(document, as_json=as_json)
    if not (is_new or as_json):
        print_line("it was registered before")


def _models(session: Session) -> list[ModelDocument]:
    from genmat.database.models import packaged_models

    with session.reader() as store:
        registered = [] if store is None else store.models.find({}, sort=(("_id", 1),))
    return [*packaged_models(), *registered]


def _print(document: ModelDocument, *, as_json: bool) -> None:
    if as_json:
        print_json(document.model_dump())
        return
    print_line(f"model {document.id}", style="bold")
    rows: list[list[str | None]] = [
        ["kind", document.kind],
        ["SHA-256", document.sha256],
        ["trained on", document.training_data],
        ["parent", document.parent],
        ["location", document.location],
        ["licence", document.license],
    ]
    rows += [[name.replace("_", " "), f"{value:.4g}"] for name, value in document.metrics.items()]
    print_table(["", ""], rows)
