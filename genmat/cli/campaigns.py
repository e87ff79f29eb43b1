"""``genmat status``."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genmat.cli.session import Session, campaign_names, session_of
from genmat.cli.terminal import console, print_json, print_line, print_table
from genmat.errors import InputError
from genmat.screening.ssun import engine_ssun_words

if TYPE_CHECKING:
    from genmat.database.documents import CampaignDocument
    from genmat.database.store import Store

WATCH_INTERVAL = 5.0
"""Time between two looks, s."""
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def status(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(help="Campaign; all of them by default.", metavar="[NAME]", autocompletion=campaign_names),
    ] = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every few seconds until it ends.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show where campaigns stand: state, rounds, funnel, who runs them.

    Example: genmat status quickstart --watch
    """
    session = session_of(context)
    if watch:
        _watch(session, name, as_json=as_json)
    elif name is None:
        with session.reader() as store:
            _print_all(store, as_json=as_json)
    else:
        with session.reader_of(name) as opened:
            _print_one(opened, name, as_json=as_json)


def _watch(session: Session, name: str | None, *, as_json: bool) -> None:
    """Print the state of one campaign until it ends or somebody has seen enough."""
    if name is None:
        msg = "--watch needs the name of a campaign: genmat status NAME --watch"
        raise InputError(msg)
    screen = console()
    while True:
        with session.reader_of(name) as store:
            if screen.is_terminal:
                screen.clear()
            _print_one(store, name, as_json=as_json)
            if store.campaigns.require(name).state in {"finished", "failed", "cancelled"}:
                return
        time.sleep(WATCH_INTERVAL)


def _print_all(store: Store | None, *, as_json: bool) -> None:
    from genmat.database.summary import overview

    documents = [] if store is None else store.campaigns.find(sort=(("updated_at", -1), ("_id", 1)))
    lines = [overview(store, document) for document in documents] if store is not None else []
    if as_json:
        print_json(lines)
    elif not lines:
        print_line("no campaign yet; begin with: genmat init && genmat run campaign.yaml")
    else:
        columns = ["name", "state", "rounds", "candidates", "rejected", "accepted", "updated (UTC)"]
        rows = [
            [
                line["name"],
                line["state"],
                f"{line['rounds_begun']}/{line['rounds_planned']}",
                line["candidates"],
                line["rejected"],
                line["accepted"],
                line["updated_at"][:19].replace("T", " "),
            ]
            for line in lines
        ]
        print_table(columns, rows)


def _print_one(store: Store, name: str, *, as_json: bool) -> None:
    from genmat.cli.summary import print_funnel
    from genmat.database.statistics import funnel_of
    from genmat.database.summary import overview, owner_of
    from workflows.accounting import core_hours

    document = store.campaigns.require(name)
    ends = store.statistics.ends(name)
    line = overview(store, document, ends=ends)
    cost = core_hours(store, name)
    if as_json:
        print_json(
            {
                **line,
                "core_hours": None if cost is None else asdict(cost),
                "owner": None if document.owner is None else document.owner.model_dump(mode="json"),
                "error": document.error,
                "rounds": [
                    {
                        "round": state.round + 1,
                        "phase": state.phase,
                        "counts": state.counts,
                        "ssun": state.ssun,
                        "snapshot_id": state.snapshot_id,
                        "funnel": [stage.to_dict() for stage in funnel_of(ends, round_number=state.round)],
                    }
                    for state in document.rounds
                ],
                "funnel": [stage.to_dict() for stage in funnel_of(ends)],
            }
        )
        return
    print_line(
        f"campaign {name}: {line['state']}, round {line['rounds_begun']} of {line['rounds_planned']}", style="bold"
    )
    print_line(
        f"run by {owner_of(document) or 'nobody now'}; last change {line['updated_at'][:19].replace('T', ' ')} UTC"
    )
    if document.error:
        print_line(f"failed: {document.error}")
    if line["state"] in {"interrupted", "failed", "paused", "created"} and owner_of(document) is None:
        print_line(f"continue with: genmat resume {name}")
    for state in document.rounds:
        print_funnel(funnel_of(ends, round_number=state.round), title=f"\nround {state.round + 1}, {state.phase}")
        if text := _ssun(state.ssun):
            print_line(text)
    if cost is not None:
        print_line(f"first principles: {cost}")
    _print_counts(document, line)


def _print_counts(document: CampaignDocument, line: dict[str, Any]) -> None:
    if document.rounds:
        print_line(
            f"\n{line['candidates']} candidates, {line['rejected']} rejected, {line['accepted']} accepted; "
            f"the best: genmat top {document.id}"
        )


def _ssun(report: dict[str, Any]) -> str | None:
    """Return the S.S.U.N. of a round in one line, with what it rests on."""
    proportion = report.get("proportions", {}).get("ssun_after")
    definition = report.get("definition", {})
    if not proportion:
        return None
    text = (
        f"S.S.U.N. after relaxation: {proportion.get('successes')} of {proportion.get('total')} draws "
        f"(τ {definition.get('hull_tolerance')} eV/atom, {definition.get('potential')})"
    )
    return f"{text}; {engine_ssun_words(found)}" if (found := report.get("validation")) else text
