"""Stage 2 from tables to a file: heads for several properties on one frozen encoder, one after the other."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

import genmat
from genmat.errors import InputError, ModelError, StructureError, did_you_mean
from genmat.models.foundation import checkpoint as foundation_checkpoint
from genmat.models.foundation.sample import encode
from genmat.models.foundation.tokens import MAX_ORBITS, TokenTable
from genmat.models.property.checkpoint import CHECKPOINT_VERSION, KIND, read_heads, write_heads
from genmat.models.property.config import (
    PROPERTIES,
    FeatureSet,
    HeadConfig,
    PropertyDefinition,
    Transform,
    shipped_config,
)
from genmat.models.property.finetune import finetune
from genmat.models.property.io import read_property_table
from genmat.models.runs import (
    CONTINUE,
    StopRequest,
    TrainingRun,
    check_device,
    one_thread,
    source_commit,
    stopping_on_signals,
)
from genmat.models.tensors import read_checkpoint
from genmat.models.training import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from genmat.models.foundation.model import FoundationModel
    from genmat.models.property.sample import PropertyHead
    from genmat.models.property.train import Progress as HeadProgress

    type Report = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class PropertySource:
    """Where the values of a property are.

    Parameters
    ----------
    name
        The property.
    path
        Table.
    column
        Column of the values.
    split_column
        Column of the split; ``None`` draws one by chemical system.
    """

    name: str
    path: Path
    column: str
    split_column: str | None

    @classmethod
    def find(cls, name: str, column: str | None, tables: Sequence[Path], *, split_column: str | None) -> PropertySource:
        """Return the only table that has a property.

        Its column is the given one, else the one of the property's name, else the only one that begins with it, such as
        ``bulk_modulus_vrh_gpa``. Its split is ``split_NAME``, else ``split``, unless given.

        Raises
        ------
        StructureError
            If a table cannot be read.
        InputError
            If no table has the property, or several have.
        """
        found = [(path, names, match) for path in tables if (match := _match(name, column, names := _names(path)))]
        if len(found) != 1:
            every = [item for path in tables for item in _names(path)]
            what = f"{len(found)} of the {len(tables)} tables have" if found else "no table has"
            wanted = column or name
            msg = f"{what} a column {wanted!r}, expected one: name it with --property {name}=COLUMN."
            raise InputError(msg + did_you_mean(wanted, every))
        path, names, match = found[0]
        splits = [split_column] if split_column else [f"split_{name}", "split"]
        return cls(name, path, match, next((item for item in splits if item in names or item == split_column), None))


def _match(name: str, column: str | None, names: Sequence[str]) -> str | None:
    if column is not None:
        return column if column in names else None
    alike = [item for item in names if item.startswith(f"{name}_")]
    return name if name in names else alike[0] if len(alike) == 1 else None


def _names(path: Path) -> list[str]:
    if not path.is_file():
        msg = f"{path} does not exist, expected a .parquet table of structures and a property"
        raise StructureError(msg)
    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as err:
        msg = f"{path} cannot be read, it is truncated or no parquet file ({str(err).splitlines()[0]})"
        raise StructureError(msg) from err


def head_configs(name: str, *, unit: str | None, transform: str | None, **sizes: Any) -> list[HeadConfig]:
    """Return the configurations of heads that are tried for a property: one for each set of features.

    Parameters
    ----------
    name
        The property.
    unit, transform
        Of a property that genmat does not know; ``linear``, ``log`` or ``arcsinh``.
    sizes
        What differs from the default.

    Raises
    ------
    InputError
        If genmat does not know the property and no unit is given, or a value is wrong.
    """
    if name in PROPERTIES:
        base = shipped_config(name)
    elif unit is None:
        hint = did_you_mean(name, PROPERTIES)
        msg = f"unknown property {name!r}, known are {', '.join(PROPERTIES)}: give its --unit.{hint}"
        raise InputError(msg)
    else:
        try:
            scale = Transform(transform or "linear")
        except ValueError as err:
            msg = f"transform is {transform!r}, expected {', '.join(Transform)}"
            raise InputError(msg) from err
        base = HeadConfig(PropertyDefinition(name, unit, scale))
    return [replace(base, features=features, **sizes) for features in FeatureSet]


def run_finetuning(
    sources: Sequence[PropertySource],
    configs: Mapping[str, Sequence[HeadConfig]],
    *,
    foundation: Path,
    output: Path,
    folder: Path,
    seed: int,
    device: str = "cpu",
    report: Report | None = None,
) -> dict[str, Any]:
    """Train a head for each source, add them to a file, and return what it says about them.

    Heads that an interrupted run finished are not trained again. An existing file of the same encoder keeps its others.

    Parameters
    ----------
    sources
        Where the values are.
    configs
        Configurations by property; the one with the lowest validation error is kept.
    foundation
        Model whose encoder makes the features.
    output
        File of the heads.
    folder
        Work folder.
    seed
        Of weights, order and dropout.
    device
        Where crystals are encoded; heads train on the CPU.
    report
        Called with a property and where its training stands.

    Raises
    ------
    KeyboardInterrupt
        If a signal ended the run.
    ModelError
        If the foundation model cannot be used, or the existing file cannot be added to.
    """
    check_device(device)
    model = foundation_checkpoint.load_model(foundation).to(device)
    known = read_checkpoint(foundation, kind=foundation_checkpoint.KIND, version=1).metadata
    encoder = str(known["sha256"])
    elements = known.get("data", {}).get("elements")
    heads, data = _existing(output, encoder)
    with one_thread(), stopping_on_signals() as stop:
        for source in sources:
            digest = _sha256(source.path)
            values = {"sha256": digest, "column": source.column, "split_column": source.split_column}
            identity = {
                "data": values,
                "configs": [config.to_dict() for config in configs[source.name]],
                "foundation": encoder,
                "seed": seed,
            }
            with TrainingRun(folder, f"finetune-{source.name}", identity) as run:
                if run.state.exists():
                    head = read_heads(run.state, encoder_sha256=encoder)[source.name]
                    rows = _stored_rows(run.state)
                else:
                    head, rows = _fit(
                        source, configs[source.name], model, elements, run=run, seed=seed, report=report, stop=stop
                    )
                    write_heads({source.name: head}, run.state, encoder_sha256=encoder, metadata={"rows": rows})
            heads[source.name] = head
            data[source.name] = {"file": source.path.name, **values, **rows}
    metadata = {
        "data_id": data[sources[0].name]["sha256"],
        "data": data,
        "parent": encoder,
        "seed": seed,
        "code": {"version": genmat.__version__, "commit": source_commit()},
    }
    sha256 = write_heads(heads, output, encoder_sha256=encoder, metadata=metadata)
    metrics = read_checkpoint(output, kind=KIND, version=CHECKPOINT_VERSION).metadata["metrics"]
    return metadata | {"metrics": metrics, "sha256": sha256}


def _fit(
    source: PropertySource,
    configs: Sequence[HeadConfig],
    model: FoundationModel,
    elements: Sequence[str] | None,
    *,
    run: TrainingRun,
    seed: int,
    report: Report | None,
    stop: StopRequest,
) -> tuple[PropertyHead, dict[str, Any]]:
    def check_stop() -> None:
        if stop():
            msg = f"interrupted at {source.name}; finished heads are kept, {CONTINUE}"
            raise KeyboardInterrupt(msg)

    def show_reading(done: int, total: int) -> None:
        check_stop()
        if report is not None and (done % 500 == 0 or done == total):
            report(f"{source.name}: symmetry", {"step": done, "n_steps": total, "losses": {}})

    def show_training(progress: HeadProgress) -> None:
        check_stop()
        losses = {"loss": progress.loss, "validation_mae": progress.validation_mae}
        run.report(Progress(progress.epoch, progress.n_epochs, losses, 0.0), crystals_per_step=0, n_done=0)
        if report is not None:
            report(source.name, {"step": progress.epoch, "n_steps": progress.n_epochs, "losses": losses})

    table = read_property_table(
        source.path,
        column=source.column,
        split_column=source.split_column,
        known_elements=elements,
        max_orbits=MAX_ORBITS,
        progress=show_reading,
    )
    tokens = TokenTable.from_crystals(table.crystals)
    check_stop()
    head = finetune(
        table,
        tokens,
        encode(model, tokens),
        gene_latent=encode(model, tokens, has_geometry=False),
        configs=configs,
        seed=seed,
        progress=show_training,
    )
    splits = {name: int(table.rows(name).sum()) for name in ("train", "val", "test")}
    return head, {"splits": splits, "left_out": table.dropped}


def _existing(output: Path, encoder: str) -> tuple[dict[str, PropertyHead], dict[str, Any]]:
    """Return heads and data of a file that is to be added to; nothing if there is none."""
    if not output.exists():
        return {}, {}
    try:
        heads = read_heads(output, encoder_sha256=encoder)
    except ModelError as err:
        msg = f"{output} exists and cannot be added to ({err}): choose another --output, or remove it"
        raise ModelError(msg) from err
    return heads, dict(read_checkpoint(output, kind=KIND, version=CHECKPOINT_VERSION).metadata.get("data", {}))


def _stored_rows(path: Path) -> dict[str, Any]:
    return dict(read_checkpoint(path, kind=KIND, version=CHECKPOINT_VERSION).metadata["rows"])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
