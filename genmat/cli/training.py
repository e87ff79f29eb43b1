"""``genmat train``: the three stages of the foundation model."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from genmat.cli.entry import InterruptedRunError
from genmat.cli.session import session_of
from genmat.cli.stages import Stages
from genmat.cli.terminal import caught_output, console, note, print_json, print_line, print_table
from genmat.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
    start_from: Annotated[
        Path | None, typer.Option(help="Model whose weights training begins from.", metavar="FILE")
    ] = None,
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
        with TrainingProgress() as bar:
            metadata = run_pretraining(
                found.data,
                provenance=found.provenance,
                config=config,
                training=training,
                output=output,
                folder=work_folder,
                resources=resources,
                start=start_from,
                report=partial(bar.report, "pretrain"),
            )
    _print(metadata, output, as_json=as_json)


@app.command("finetune")
def finetune(  # noqa: PLR0913 - one option each
    context: typer.Context,
    tables: Annotated[list[Path], typer.Argument(help="Structures with properties (.parquet).", metavar="TABLE…")],
    *,
    properties: Annotated[
        list[str],
        typer.Option(
            "--property", help="Property, and its column if named otherwise; repeatable.", metavar="NAME[=COLUMN]"
        ),
    ],
    model: Annotated[Path, typer.Option(help="Foundation model whose encoder is used, frozen.", metavar="FILE")],
    output: Output,
    work_folder: WorkFolder,
    split_column: Annotated[
        str | None, typer.Option(help="Column of the split; default: split_NAME, split, or drawn.", metavar="COLUMN")
    ] = None,
    unit: Annotated[str | None, typer.Option(help="Unit of a property that genmat does not know.")] = None,
    transform: Annotated[
        str | None, typer.Option(help="Scale such a property is learnt on: linear, log or arcsinh.")
    ] = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    seed: Seed = 0,
    device: Device = "cpu",
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Train Stage 2: heads for properties on the frozen encoder, into one file; minutes, and resumes head by head.

    Example: genmat train finetune moduli.parquet --property bulk_modulus --model foundation.safetensors
    --output heads.safetensors --work-folder training
    """
    from genmat.interop.io import check_writable

    session_of(context)
    given = _given(settings, epochs=epochs, batch_size=batch_size)
    check_writable(work_folder)
    check_writable(output.parent)
    with _resumable(work_folder):
        from genmat.models.finetuning import PropertySource, head_configs, run_finetuning

        sources, configs = [], {}
        for item in properties:
            name, _, column = item.partition("=")
            sources.append(PropertySource.find(name, column or None, tables, split_column=split_column))
            configs[name] = [
                configured((config,), given)[0] for config in head_configs(name, unit=unit, transform=transform)
            ]
        with TrainingProgress() as bar:
            metadata = run_finetuning(
                sources,
                configs,
                foundation=model,
                output=output,
                folder=work_folder,
                seed=seed,
                device=device,
                report=bar.report,
            )
    if as_json:
        print_json({"path": str(output), **metadata})
        return
    print_line(f"heads {output} ({metadata['sha256'][:12]})", style="bold")
    rows = [
        [name, found["n_train"], found["validation_mae"], found["test"].get("mae"), found["test"].get("coverage")]
        for name, found in metadata["metrics"].items()
    ]
    print_table(["property", "trained on", "validation MAE", "test MAE", "test rows in the 90 % interval"], rows)


@app.command("generator")
def generator(  # noqa: PLR0913 - one option each
    context: typer.Context,
    table: Table,
    *,
    model: Annotated[Path, typer.Option(help="Foundation model whose latents are generated.", metavar="FILE")],
    heads: Annotated[
        Path | None, typer.Option(help="Heads of that model: their properties can be asked for.", metavar="FILE")
    ] = None,
    output: Output,
    work_folder: WorkFolder,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    width: Annotated[int | None, typer.Option(min=1, help="Channels of the flow.")] = None,
    seed: Seed = 0,
    device: Device = "cpu",
    workers: Workers = None,
    settings: Settings = None,
    save_seconds: SaveSeconds = 120.0,
    as_json: AsJson = False,
) -> None:
    """Train Stage 3: the flow from what is asked for to latents, on the table of Stage 1; an hour, and resumes.

    Example: genmat train generator crystals.parquet --model foundation.safetensors --heads heads.safetensors
    --output generator.safetensors --work-folder training
    """
    from genmat.interop.io import check_writable
    from genmat.models.generator.config import GeneratorConfig, GeneratorTraining

    session = session_of(context)
    given = _given(settings, width=width, epochs=epochs, batch_size=batch_size, seed=seed)
    if fixed := sorted({"latent_size", "properties"} & set(given)):
        msg = f"{fixed[0]} of the generator follows from --model and --heads, it cannot be set"
        raise InputError(msg)
    sizes, training = configured((GeneratorConfig(1, ()), GeneratorTraining()), given)
    check_writable(work_folder)
    check_writable(output.parent)
    with _resumable(work_folder):
        from genmat.models.generator.training import run_flow_training

        found = _read_table(table, reference=session.settings.reference, work_folder=work_folder, workers=workers)
        with TrainingProgress() as bar:
            metadata = run_flow_training(
                found.data,
                provenance=found.provenance,
                foundation=model,
                heads=heads,
                sizes={name: getattr(sizes, name) for name in ("width", "n_blocks", "condition_size")},
                training=training,
                output=output,
                folder=work_folder,
                device=device,
                save_seconds=save_seconds,
                report=partial(bar.report, "generator"),
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
    """A bar for each thing that is trained, with rate and losses; lines where standard error is no terminal."""

    def __init__(self) -> None:
        from rich import progress

        screen = console(error=True)
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
        self._tasks: dict[str, Any] = {}
        self._said: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bars.stop()

    def report(self, title: str, record: Mapping[str, Any]) -> None:
        """Show where a training stands.

        Parameters
        ----------
        title
            What is trained.
        record
            A line of its log: step, n_steps, losses, perhaps crystals_per_second.
        """
        step, n_steps = record["step"], record["n_steps"]
        text = " ".join(f"{name} {value:.3g}" for name, value in record["losses"].items())
        if "crystals_per_second" in record:
            text += f" ({record['crystals_per_second']:g}/s)"
        if not self._live:
            hundredth = 100 * step // max(n_steps, 1)
            if step == n_steps or hundredth > self._said.get(title, -1):
                self._said[title] = hundredth if step < n_steps else -1
                note(f"{title}: {step} of {n_steps} {text}".rstrip())
            return
        if title not in self._tasks:
            self._tasks[title] = self._bars.add_task(title, total=n_steps, losses=text)
        self._bars.update(self._tasks[title], completed=step, total=n_steps, losses=text)


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
