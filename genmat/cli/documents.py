"""``genmat show`` and ``genmat why``: one document in full, one candidate's story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from genmat.cli.session import session_of
from genmat.cli.terminal import print_json, print_line, print_table, shown
from genmat.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genmat.database.collection import Collection
    from genmat.database.documents import CandidateDocument, Document
    from genmat.database.store import Store

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_AMBIGUOUS_SHOWN = 4


def show(
    context: typer.Context,
    identifier: Annotated[
        str, typer.Argument(help="Campaign, or id of anything (its first digits).", metavar="ID|NAME")
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Show a campaign, candidate, structure, property, activity or model in full.

    Example: genmat show 3f2a81c0
    """
    with session_of(context).reader_of(identifier) as store:
        kind, document = _resolve(store, identifier, _searched(store))
        value: dict[str, Any] = document.model_dump(mode="json")
        if kind == "structure":
            properties = store.properties.find({"structure_id": document.id}, sort=(("name", 1), ("_id", 1)))
            value["properties"] = [entry.model_dump(mode="json") for entry in properties]
    if as_json:
        print_json({"type": kind, **value})
        return
    print_line(f"{kind} {document.id}", style="bold")
    _print_tree(value, indent=0)


def why(
    context: typer.Context,
    identifier: Annotated[str, typer.Argument(help="Candidate (the first digits of its id).", metavar="ID")],
    *,
    as_json: AsJson = False,
) -> None:
    """Tell one candidate's story: where it came from, each verdict, each number with its source.

    Example: genmat why 3f2a81c0
    """
    with session_of(context).reader_of(identifier) as store:
        from genmat.cli.story import print_story
        from genmat.database.story import tell

        searched = {
            "candidate": (store.candidates, ("_id", "structure_id", "relaxed_structure_id")),
        }
        _, candidate = _resolve(store, identifier, searched)
        story = tell(store, candidate.id)
        if story["reason"] == "job_failed":
            story["traceback"] = _traceback(store, store.candidates.require(candidate.id))
    if as_json:
        print_json(story)
    else:
        print_story(story)
        if story.get("traceback"):
            print_line("\nHow its job failed", style="bold")
            print_line(story["traceback"])


def _traceback(store: Store, candidate: CandidateDocument) -> str | None:
    """Return what the parked job of a candidate said last."""
    activity = candidate.verdicts[-1].activity_id
    used = store.provenance.require(activity).used if activity else []
    # Its chunk has two activities, and the job that failed may be that of either.
    mine = {entry.id for entry in store.provenance.find({"campaign": candidate.campaign, "used": used})}
    parked = store.launchpad().failures(candidate.campaign, state="DEFUSED")
    return next((failure.traceback for failure in parked if failure.activity_id in mine), None)


type _Searched = Mapping[str, tuple[Collection[Any], tuple[str, ...]]]


def _searched(store: Store) -> _Searched:
    return {
        "candidate": (store.candidates, ("_id",)),
        "structure": (store.structures, ("_id",)),
        "activity": (store.provenance, ("_id",)),
        "property": (store.properties, ("_id",)),
        "model": (store.models, ("_id",)),
        "campaign": (store.campaigns, ("_id",)),
    }


def _resolve(store: Store, identifier: str, searched: _Searched) -> tuple[str, Document]:
    """Return the only document whose id begins like ``identifier``; an exact id or name wins.

    Raises
    ------
    InputError
        If there is none, or several are meant.
    """
    if "campaign" in searched and (campaign := store.campaigns.get(identifier)) is not None:
        return "campaign", campaign
    found: list[tuple[str, Document]] = []
    span = {"$gte": identifier, "$lt": identifier + "\U0010ffff"}
    for kind, (collection, fields) in searched.items():
        if kind == "campaign":
            continue
        for field in fields:
            found += [(kind, document) for document in collection.find({field: span}, limit=_AMBIGUOUS_SHOWN)]
    distinct = {(kind, document.id): document for kind, document in found}
    for (kind, key), document in distinct.items():
        if key == identifier:
            return kind, document
    if len(distinct) == 1:
        ((kind, _), document), *_ = distinct.items()
        return kind, document
    if distinct:
        several = ", ".join(f"{kind} {key[:16]}" for kind, key in list(distinct)[:_AMBIGUOUS_SHOWN])
        msg = f"{identifier!r} is the beginning of several ids ({several}, …): give more digits"
        raise InputError(msg)
    names = [entry["id"] for entry in store.campaigns.project({}, ())]
    what = "candidate" if "campaign" not in searched else "campaign or document"
    hint = did_you_mean(identifier, names) if "campaign" in searched else ""
    if identifier in names:
        hint = f" {identifier!r} is a campaign: its candidates are in genmat list {identifier}"
    wanted = "a name or the beginning of an id" if "campaign" in searched else "the beginning of an id"
    msg = f"no {what} {identifier!r}, expected {wanted}.{hint}"
    raise InputError(msg)


def _print_tree(value: Mapping[str, Any], *, indent: int) -> None:
    """Print nested mappings as indented lines; tables of atoms and fingerprints as one line each."""
    space = "  " * indent
    for key, item in value.items():
        if isinstance(item, dict) and item:
            print_line(f"{space}{key}:")
            _print_tree(item, indent=indent + 1)
        elif isinstance(item, list) and item and all(isinstance(entry, dict) for entry in item):
            print_line(f"{space}{key}:")
            for entry in item:
                print_line(f"{space}  -")
                _print_tree(entry, indent=indent + 2)
        elif key == "frac_coords" and isinstance(item, list):
            print_line(f"{space}{key}:")
            rows = [item[start : start + 3] for start in range(0, len(item), 3)]
            species = value.get("species", [""] * len(rows))
            print_table(
                ["", "", "x", "y", "z"],
                [[space, name, *(f"{x:.6f}" for x in row)] for name, row in zip(species, rows, strict=False)],
            )
        else:
            print_line(f"{space}{key}: {shown(item)}")
