"""``genmat list`` and ``genmat top``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from genmat.cli.session import campaign_names, session_of
from genmat.cli.terminal import note, print_json, print_line, print_table
from genmat.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from genmat.database.candidates import CandidateQuery

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="Campaign.", metavar="NAME", autocompletion=campaign_names)]
Reverse = "-"


def list_candidates(  # noqa: PLR0913 - one filter, one option
    context: typer.Context,
    name: Name,
    *,
    stage: Annotated[str | None, typer.Option(help="Last stage that judged, such as stability.")] = None,
    reason: Annotated[str | None, typer.Option(help="Reason of the last verdict, such as above_hull.")] = None,
    status: Annotated[str | None, typer.Option(help="active, rejected or accepted.")] = None,
    round_number: Annotated[int | None, typer.Option("--round", min=1, help="Round, from 1.")] = None,
    formula: Annotated[str | None, typer.Option(help="Formula, such as Li2FeSiO4.")] = None,
    elements: Annotated[str | None, typer.Option(help="Elements that must be present, such as Li,O.")] = None,
    space_group: Annotated[str | None, typer.Option(help="Number or symbol, such as Fm-3m.")] = None,
    sort: Annotated[str, typer.Option(help="rank, energy_above_hull, score, …; -score for descending order.")] = "rank",
    limit: Annotated[int, typer.Option(min=0, help="Rows at most; 0 for all.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the candidates of a campaign with the stage where they stand and why.

    Example: genmat list quickstart --reason above_hull --elements Li,O --sort energy_above_hull
    """
    with session_of(context).reader_of(name) as store:
        from genmat.cli.summary import CANDIDATE_COLUMNS, candidate_row
        from genmat.database.candidates import CandidateQuery
        from genmat.database.documents import CandidateStatus
        from genmat.screening.verdict import Reason, Stage

        query = CandidateQuery(
            campaign=name,
            round=None if round_number is None else round_number - 1,
            stage=_choice(stage, [item.value for item in Stage], "--stage"),
            reason=_choice(reason, [item.value for item in Reason], "--reason"),
            status=_choice(status, [item.value for item in CandidateStatus], "--status"),
            formula_pretty=None if formula is None else _checked(_formula, formula, "--formula"),
            elements=() if elements is None else _elements(elements),
            space_group_number=None if space_group is None else _checked(_space_group, space_group, "--space-group"),
        )
        _check_sort(sort)
        store.campaigns.require(name)
        found = store.candidates.query(
            query, sort=sort.removeprefix(Reverse), descending=sort.startswith(Reverse), limit=limit
        )
        total = store.candidates.count(query.criteria)
    if as_json:
        print_json([candidate.model_dump(mode="json") for candidate in found])
    elif not found:
        print_line(f"no candidate of {name} is like that{_filters(query)}")
    else:
        print_table(CANDIDATE_COLUMNS, [candidate_row(candidate) for candidate in found])
        if total > len(found):
            note(f"{len(found)} of {total}; all of them with --limit 0")


def top(
    context: typer.Context,
    name: Name,
    *,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show the best accepted candidates with their properties.

    Example: genmat top quickstart -n 5
    """
    with session_of(context).reader_of(name) as store:
        from genmat.cli.summary import best_rows
        from genmat.database.candidates import CandidateQuery

        store.campaigns.require(name)
        found = store.candidates.query(CandidateQuery(campaign=name, status="accepted"), sort="rank", limit=number)
    if as_json:
        print_json([candidate.model_dump(mode="json") for candidate in found])
    elif not found:
        print_line(f"no candidate of {name} is accepted; where they fell: genmat status {name}")
    else:
        columns, rows = best_rows(found)
        print_table(columns, rows)
        note(f"the story of one: genmat why {found[0].id[:12]}")


def _choice(value: str | None, known: Iterable[str], option: str) -> str | None:
    if value is None:
        return None
    names = list(known)
    plain = value.lower().replace("-", "_").replace(" ", "_")
    if plain not in names:
        msg = f"{option} {value!r} is unknown, expected one of {', '.join(names)}.{did_you_mean(plain, names)}"
        raise InputError(msg)
    return plain


def _check_sort(sort: str) -> None:
    from genmat.database.candidates import SORTABLE

    _choice(sort.removeprefix(Reverse), SORTABLE, "--sort")


def _checked[T](check: Callable[[str], T], value: str, option: str) -> T:
    try:
        return check(value)
    except ValueError as err:
        msg = f"{option}: {err}"
        raise InputError(msg) from err


def _elements(text: str) -> tuple[str, ...]:
    from genmat.campaign.elements import check_element

    symbols = text.replace("-", ",").replace(" ", ",").split(",")
    return tuple(_checked(check_element, symbol, "--elements") for symbol in symbols if symbol)


def _formula(text: str) -> str:
    from genmat.campaign.chemistry import check_formula

    return check_formula(text)


def _space_group(text: str) -> int:
    from genmat.campaign.symmetry import check_space_group

    return check_space_group(text)


def _filters(query: CandidateQuery) -> str:
    asked = {key: value for key, value in query.criteria.items() if key != "campaign"}
    words = [f"{key} {value['$all'] if isinstance(value, dict) else value}" for key, value in asked.items()]
    return f" ({', '.join(words)})" if words else ""
