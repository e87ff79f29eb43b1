"""``genmat run`` and ``genmat resume``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genmat.cli.cluster import resume_submitted
from genmat.cli.entry import InterruptedRunError
from genmat.cli.session import Session, session_of
from genmat.cli.terminal import caught_output, note, print_json, print_line, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genmat.campaign import Campaign
    from genmat.database.store import Store

Workers = Annotated[int | None, typer.Option(min=1, max=1024, help="Processes that relax; default: the campaign's.")]
Output = Annotated[
    Path | None, typer.Option(help="Folder of the report; default: genmat-output/NAME.", metavar="FOLDER")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]

BEST = 5


def run(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Campaign file (YAML).", metavar="FILE")],
    *,
    workers: Workers = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Run a campaign to its end and write its report; what is done already is not done again.

    Example: genmat run campaign.yaml --workers 4
    """
    from genmat.campaign.io import load_campaign

    session = session_of(context)
    campaign = load_campaign(file)
    folder = _output_folder(output, campaign.name)
    with session.store() as store:
        _work(session, store, campaign.name, campaign=campaign, workers=workers, folder=folder, as_json=as_json)


def resume(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Campaign.", metavar="NAME")],
    *,
    workers: Workers = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Finish a campaign that was interrupted; let a submitted one that was paused go on.

    Example: genmat resume quickstart
    """
    session = session_of(context)
    folder = _output_folder(output, name)
    with session.reader_of(name) as reader:
        reader.campaigns.require(name)
    with session.store() as store:
        if resume_submitted(store, name):
            return
        _work(session, store, name, campaign=None, workers=workers, folder=folder, as_json=as_json)


def _output_folder(output: Path | None, name: str) -> Path:
    """Return where the results go, after a check that they can be written there."""
    from genmat.interop.io import check_writable

    folder = output if output is not None else Path("genmat-output") / name
    check_writable(folder)
    return folder


def _work(
    session: Session,
    store: Store,
    name: str,
    *,
    campaign: Campaign | None,
    workers: int | None,
    folder: Path,
    as_json: bool,
) -> None:
    """Run what is not done, write the report and say how it went."""
    from genmat.database.campaigns import check_configuration, has_configuration
    from genmat.database.documents import CampaignState

    stored = store.campaigns.get(name)
    finished = stored is not None and stored.state is CampaignState.FINISHED
    is_same = stored is not None and (campaign is None or has_configuration(stored, campaign.config_hash))
    if finished and is_same and _has_files(folder):
        if as_json:
            _print_summary(store, name, folder=folder, written=(), as_json=True)
        else:
            print_line(f"campaign {name} is finished already, nothing to do; its results are in {folder}")
        return
    if stored is not None and campaign is not None:
        check_configuration(stored, campaign.to_dict(), campaign.config_hash)
    log = session.settings.data_folder / "log" / f"{name}.log"
    if not finished:
        note(f"campaign {name} in {store.label}; results will be in {folder}, the log is {log}")
    try:
        with caught_output(log):
            new = campaign if stored is None else None
            written = _run_and_write(store, name, campaign=new, workers=workers, folder=folder)
    except KeyboardInterrupt:
        msg = f"interrupted; nothing is lost, continue with: genmat resume {name}"
        raise InterruptedRunError(msg) from None
    if finished and not as_json:
        print_line(f"campaign {name} is finished already, only its results were written again")
    _print_summary(store, name, folder=folder, written=written, as_json=as_json)


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _run_and_write(
    store: Store, name: str, *, campaign: Campaign | None, workers: int | None, folder: Path
) -> Sequence[Path]:
    from genmat.cli.progress import CampaignProgress
    from workflows.report import write_outputs
    from workflows.run import create_campaign, run_campaign

    if campaign is not None:
        create_campaign(store, campaign)
    with CampaignProgress(store, name) as progress:
        run_campaign(store, name, workers=workers, report=progress.report)
    return write_outputs(store, name, folder)


def _print_summary(store: Store, name: str, *, folder: Path, written: Sequence[Path], as_json: bool) -> None:
    from genmat.cli.summary import best_rows, print_funnel
    from genmat.database.candidates import CandidateQuery
    from genmat.database.summary import funnel, overview

    document = store.campaigns.require(name)
    rows = store.candidates.funnel(name)
    best = store.candidates.query(CandidateQuery(campaign=name, status="accepted"), sort="rank", limit=BEST)
    if as_json:
        print_json(
            {
                **overview(store, document),
                "funnel": [stage.to_dict() for stage in funnel(rows)],
                "rounds": [
                    {"round": state.round + 1, "counts": state.counts, "ssun": state.ssun} for state in document.rounds
                ],
                "best": [candidate.model_dump(mode="json") for candidate in best],
                "output": str(folder),
                "files": [str(path) for path in written],
            }
        )
        return
    print_funnel(funnel(rows), title=f"campaign {name}, all rounds")
    if best:
        columns, lines = best_rows(best)
        print_line()
        print_table(columns, lines, title="the best")
    else:
        print_line("no candidate is accepted")
    pages = [path for path in written if path.suffix == ".html"]
    print_line(f"\nreport: {pages[0]}" if pages else f"\nresults: {folder}")
    if best:
        print_line(f"the story of one: genmat why {best[0].id[:12]}")
