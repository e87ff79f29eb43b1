"""``genmat train``: the three stages of the foundation model."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from genmat.cli.entry import InterruptedRunError
from genmat.cli.session import session_of
from genmat.cli.stages import Stages
from genmat.cli.terminal import caught_output, console, note, print_json, print_line, print_table
from genmat.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from genmat.reference.training.io import TrainingTable

app = typer.Typer(help="Train the foundation model, its property heads, its generator.", no_args_is_help=True)

Table = Annotated[Path, typer.Argument(help="Crystals (.parquet) with splits.", metavar="TABLE")]
Output = Annotated[Path, typer.Option(help="Model to write (.safetensors).", metavar="FILE")]
WorkFolder = Annotated[Path, typer.Option(help="Folder of state, log and prepared data; resumes.", metavar="FOLDER")]
Seed = Annotated[int, typer.Option(help="Seed of weights, order and noise.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, or cuda:1 and such.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Passes over the training crystals.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Crystals in a step.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any other parameter of network or training; repeatable.", metavar="NAME=VALUE"),
]
Workers = Annotated[
    int | None, typer.Option(min=1, max=1024, help="Processes that prepare the data; default: one a core.")
]
SaveSeconds = Annotated[float, typer.Option(min=0.0, help="Longest time between two saved states, s.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("pretrain")
def pretrain(  # noqa: PLR0913 - one option each
    context: typer.Context,
    table: Table,
    *,
    output: Output,
    work_folder: WorkFolder,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    width: Annotated[int | None, typer.Option(min=2, help="Channels of the transformers.")] = None,
    seed: Seed = 0,
    device: Device = "cpu",
    processes: Annotated[
        int, typer.Option(min=1, max=1024, help="Processes on the CPU, one thread each, that share each batch.")
    ] = 1,
    workers: Workers = None,
    settings: Settings = None,
    save_seconds: SaveSeconds = 120.0,
    as_json: AsJson = False,
) -> None:
    """Train Stage 1: encoder, decoder and heads of formation energy, volume and hull distance; hours, and resumes.

    Example: genmat train pretrain crystals.parquet --output foundation.safetensors --work-folder training
    """
    from genmat.interop.io import check_writable
    from genmat.models.foundation.config import FoundationConfig, PretrainConfig

    session = session_of(context)
    given = _given(settings, width=width, epochs=epochs, batch_size=batch_size, seed=seed)
    config, training = configured((FoundationConfig(), PretrainConfig()), given)
    check_writable(work_folder)
    check_writable(output.parent)
    with _resumable(work_folder):
        from genmat.models.foundation.pretraining import Resources, run_pretraining

        resources = Resources(device=device, processes=processes, save_seconds=save_seconds)
        found = _read_table(table, reference=session.settings.reference, work_folder=work_folder, workers=workers)
        with TrainingProgress("pretrain") as bar:
            metadata = run_pretraining(
                found.data,
                provenance=found.provenance,
                config=config,
                training=training,
                output=output,
                folder=work_folder,
                resources=resources,
                report=bar.report,
            )
    _print(metadata, output, as_json=as_json)


def _given(settings: Sequence[str] | None, **options: Any) -> dict[str, Any]:
    """Return options that were given, those of ``--set`` as text.

    Raises
    ------
    InputError
        If one of ``--set`` is not NAME=VALUE.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for item in settings or ():
        name, equals, value = item.partition("=")
        if not equals or not name:
            msg = f"--set {item!r}: expected NAME=VALUE, such as --set encoder_layers=2"
            raise InputError(msg)
        given[name.strip().replace("-", "_")] = value.strip()
    return given


def configured(defaults: Sequence[Any], given: Mapping[str, Any]) -> list[Any]:
    """Return configurations with the given values, each in the one that has a field of its name.

    Raises
    ------
    InputError
        If none has it, or a text is no value of its kind.
    """
    changes: list[dict[str, Any]] = [{} for _ in defaults]
    known = [field.name for config in defaults for field in fields(config)]
    for name, value in given.items():
        if name not in known:
            msg = f"no parameter {name!r} to set, there are {', '.join(known)}.{did_you_mean(name, known)}"
            raise InputError(msg)
        for config, change in zip(defaults, changes, strict=True):
            if name in (field.name for field in fields(config)):
                change[name] = _value(name, value, like=getattr(config, name))
    return [
        type(config)(**{field.name: getattr(config, field.name) for field in fields(config)} | change)
        for config, change in zip(defaults, changes, strict=True)
    ]


def _value(name: str, value: Any, *, like: Any) -> Any:
    """Return a text as a value of the kind of the default."""
    if not isinstance(value, str) or isinstance(like, str):
        return value
    try:
        if isinstance(like, bool):
            return {"true": True, "false": False}[value.lower()]
        return int(value) if isinstance(like, int) else float(value)
    except (ValueError, KeyError) as err:
        kind = "true or false" if isinstance(like, bool) else "a whole number" if isinstance(like, int) else "a number"
        msg = f"{name} is {value!r}, expected {kind}"
        raise InputError(msg) from err


def _read_table(table: Path, *, reference: Path | None, work_folder: Path, workers: int | None) -> TrainingTable:
    from genmat.reference.io import load_reference
    from genmat.reference.training.io import read_training_table

    with Stages() as stages:
        found = read_training_table(
            table,
            reference=load_reference(reference),
            work_folder=work_folder,
            workers=workers or len(os.sched_getaffinity(0)),
            progress=stages.progress,
        )
    splits = ", ".join(f"{count} {name}" for name, count in found.provenance["splits"].items())
    left_out = "; ".join(f"{count} {reason}" for reason, count in found.provenance["left_out"].items())
    note(f"{table}: {splits}" + (f"; left out {left_out}" if left_out else ""))
    return found


@contextmanager
def _resumable(work_folder: Path) -> Iterator[None]:
    """Keep libraries off the terminal, and turn an interruption into the line that says how to go on.

    SIGTERM counts as Ctrl-C, also before the first step.
    """
    import signal

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        with caught_output(work_folder / "train.log"):
            yield
    except KeyboardInterrupt as err:
        msg = str(err) or "interrupted; nothing is lost, give the same command again to continue"
        raise InterruptedRunError(msg) from None
    finally:
        signal.signal(signal.SIGTERM, before)


class TrainingProgress:
    """A bar of steps with rate and losses; a line each report where standard error is no terminal.

    Parameters
    ----------
    title
        What is trained.
    """

    def __init__(self, title: str) -> None:
        from rich import progress

        screen = console(error=True)
        self._title = title
        self._live = screen.is_terminal
        self._bars = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[losses]}"),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
            console=screen,
            disable=not self._live,
        )
        self._task: Any = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bars.stop()

    @property
    def report(self) -> Callable[[Mapping[str, Any]], None]:
        """The callback of a run: takes each line of its log."""
        return self._report

    def _report(self, record: Mapping[str, Any]) -> None:
        losses = " ".join(f"{name} {value:.3g}" for name, value in record["losses"].items())
        text = f"{losses} ({record['crystals_per_second']:g}/s)"
        if not self._live:
            note(f"{self._title}: step {record['step']} of {record['n_steps']}, {record['seconds']:.0f} s, {text}")
            return
        if self._task is None:
            self._task = self._bars.add_task(self._title, total=record["n_steps"], losses=text)
        self._bars.update(self._task, completed=record["step"], losses=text)


def _print(metadata: Mapping[str, Any], output: Path, *, as_json: bool) -> None:
    if as_json:
        print_json({"path": str(output), **metadata})
        return
    print_line(f"model {output}", style="bold")
    rows = [
        ["SHA-256", metadata["sha256"]],
        ["size", f"{output.stat().st_size / 1e6:.1f} MB"],
        ["data", f"{metadata['data'].get('file')} ({metadata['data_id'][:12]})"],
        ["trained for", f"{metadata['seconds'] or 0:.0f} s"],
        *([name.replace("_", " "), f"{value:.4g}"] for name, value in metadata["metrics"].items()),
    ]
    print_table(["", ""], rows)
