"""``genmat data``: the reference that campaigns are judged against."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genmat.cli.entry import InterruptedRunError
from genmat.cli.session import session_of
from genmat.cli.stages import Stages
from genmat.cli.terminal import caught_output, note, print_json, print_line, print_table
from genmat.errors import MissingReferenceError, StructureError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from genmat.reference.sources import SourceCrystal
    from genmat.reference.table import Reference

app = typer.Typer(help="The reference: known crystals, their energies, the hull.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Source = Annotated[
    Path, typer.Argument(help="Table (.parquet, .csv, .json, .jsonl) or folder of .cif files.", metavar="SOURCE")
]
WorkFolder = Annotated[Path, typer.Option(help="Folder of what is done already; resumes.", metavar="FOLDER")]
Output = Annotated[Path, typer.Option(help="Reference to write (.parquet).", metavar="FILE")]
Title = Annotated[str | None, typer.Option(help="What the source is; default: its file name.")]
Attribution = Annotated[str, typer.Option(help="Whom the crystals are owed to, and their licence.")]


@app.command("show")
def show(context: typer.Context, *, as_json: AsJson = False) -> None:
    """Show what the reference of the settings holds and whom it is owed to.

    Example: genmat data show
    """
    from genmat.reference.io import load_reference, packaged_reference

    path = session_of(context).settings.reference
    _print_reference(load_reference(path), path or packaged_reference(), as_json=as_json)


@app.command("build-reference")
def build_reference(  # noqa: PLR0913 - one option each
    context: typer.Context,
    source: Source,
    *,
    work_folder: WorkFolder,
    output: Output,
    potential: Annotated[str, typer.Option(help="Potential that relaxes and gives energies.")] = "chgnet-0.3.0",
    workers: Annotated[int | None, typer.Option(min=1, max=1024, help="Processes; default: one a core.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out crystals that cannot be used.")] = False,
    title: Title = None,
    attribution: Attribution = "not stated",
    as_json: AsJson = False,
) -> None:
    """Build a reference from your own crystals; takes hours for tens of thousands, and resumes.

    Example: genmat data build-reference crystals.parquet --work-folder build --output reference.parquet
    """
    from genmat.interop.io import check_writable
    from genmat.models.potentials import get_potential

    session_of(context)
    get_potential(potential).check_weights()
    check_writable(work_folder)
    check_writable(output.parent)
    crystals = complete(_read(source, skip_bad=skip_bad)[0])
    try:
        with caught_output(work_folder / "build.log"):
            reference = _build(
                crystals,
                work_folder=work_folder,
                output=output,
                potential=potential,
                workers=workers,
                texts=(title or source.name, attribution),
            )
    except KeyboardInterrupt:
        msg = "interrupted; nothing is lost, give the same command again to continue"
        raise InterruptedRunError(msg) from None
    _print_reference(reference, output, as_json=as_json)


@app.command("build-labels")
def build_labels(  # noqa: PLR0913 - one option each
    context: typer.Context,
    source: Source,
    *,
    scale: Annotated[str, typer.Option(help="Energy scale of the labels, such as vasp/PBE+U:MP/PBE/MP2020.")],
    work_folder: WorkFolder,
    output: Output,
    elements: Annotated[
        Path | None,
        typer.Option(help="JSON: energy per atom, or pymatgen entry, of each element; completes formation energies."),
    ] = None,
    title: Title = None,
    attribution: Attribution = "not stated",
    as_json: AsJson = False,
) -> None:
    """Build a reference from energies that a source states: the DFT hull, and phases that validation need not compute.

    Example: genmat data build-labels mp.json --scale vasp/PBE+U:MP/PBE/MP2020 --work-folder w --output dft.parquet
    """
    from genmat.energy import EnergyScale
    from genmat.interop.io import check_writable
    from genmat.reference.build import BuildPaths, describe_known
    from genmat.reference.io import write_reference
    from genmat.reference.labels import assemble_labelled, label_energies, read_elements, sha256_of_files

    session_of(context)
    asked = EnergyScale.from_name(scale)
    corners = None if elements is None else read_elements(elements)
    crystals, unusable = _read(source, skip_bad=True)
    labels = label_energies(crystals, scale=asked, elements=corners, unusable=len(unusable))
    check_writable(work_folder)
    check_writable(output.parent)
    kept = [crystal for crystal in crystals if crystal.material_id in labels.energies]
    journal = BuildPaths(work_folder).known
    try:
        with Stages() as stages:
            describe_known(kept, journal, progress=stages.progress, keep_x=True)
    except KeyboardInterrupt:
        msg = "interrupted; nothing is lost, give the same command again to continue"
        raise InterruptedRunError(msg) from None
    reference = assemble_labelled(
        labels,
        journal,
        source=title or source.name,
        source_sha256=sha256_of_files([source, *([] if elements is None else [elements])]),
        attribution=attribution,
    )
    write_reference(reference, output)
    for reason, number in labels.refused.most_common():
        note(
            f"left out {number}: {reason.value}"
            + (f", such as {example}" if (example := labels.examples.get(reason)) else "")
        )
    _print_reference(reference, output, as_json=as_json)


def complete(crystals: list[SourceCrystal]) -> list[SourceCrystal]:
    """Return crystals with an elemental one for each of their elements: a hull needs all its corners.

    Raises
    ------
    MissingReferenceError
        If an element has none and none is known to genmat.
    StructureError
        If there are no crystals.
    """
    from genmat.reference.elements import elemental_crystals

    if not crystals:
        msg = "the source holds no crystal that can be used: nothing was built"
        raise StructureError(msg)
    elements = {symbol for crystal in crystals for symbol in crystal.species}
    missing = elements - {crystal.species[0] for crystal in crystals if len(set(crystal.species)) == 1}
    added = elemental_crystals(missing)
    if lacking := sorted(missing - {crystal.species[0] for crystal in added}):
        msg = (
            f"the source holds no elemental crystal of {', '.join(lacking)}, and the hull needs one of each element: "
            "add them to the source (energies do not matter, they are computed)"
        )
        raise MissingReferenceError(msg)
    return [*crystals, *added]


def _read(source: Path, *, skip_bad: bool) -> tuple[list[SourceCrystal], list[StructureError]]:
    from genmat.reference.sources.io import read_source

    refused: list[StructureError] = []
    crystals = read_source(source, refuse=refused.append if skip_bad else None)
    if refused:
        note(f"left out {len(refused)} crystals that cannot be used; the first: {refused[0]}")
    note(f"{len(crystals)} crystals read from {source}")
    return crystals, refused


def _build(
    crystals: Sequence[SourceCrystal],
    *,
    work_folder: Path,
    output: Path,
    potential: str,
    workers: int | None,
    texts: tuple[str, str],
) -> Reference:
    from genmat.models.pool import PotentialPool
    from genmat.models.protocol import RelaxProtocol
    from genmat.reference import build
    from genmat.reference.io import write_reference

    paths, protocol = build.BuildPaths(work_folder), RelaxProtocol()
    cores = workers or len(os.sched_getaffinity(0))
    with Stages() as stages, PotentialPool(potential, workers=cores) as pool:
        build.describe_known(crystals, paths.known, progress=stages.progress)
        build.compute_static(crystals, paths.static, pool=pool, progress=stages.progress)
        chosen = build.select_for_relaxation(crystals, paths.static.read(), pool=pool)
        build.compute_relaxed(chosen, paths.relaxed, pool=pool, protocol=protocol, progress=stages.progress)
        reference = build.assemble(paths, pool=pool, protocol=protocol, source=texts[0], attribution=texts[1])
    _check_corners(reference, crystals)
    write_reference(reference, output)
    return reference


def _check_corners(reference: Reference, crystals: Iterable[SourceCrystal]) -> None:
    """Raise unless the hull has a corner for every element of the source."""
    reference.hull().check_elements(sorted({symbol for crystal in crystals for symbol in crystal.species}))


def _print_reference(reference: Reference, path: Path, *, as_json: bool) -> None:
    metadata = reference.metadata
    elements = reference.hull().elements
    if as_json:
        print_json(
            {
                "path": str(path),
                "id": reference.id,
                "bytes": path.stat().st_size,
                "counts": reference.summary(),
                "elements": list(elements),
                "metadata": metadata.to_dict(),
            }
        )
        return
    print_line(f"reference {path}", style="bold")
    rows = [
        ["id", reference.id],
        ["size", f"{path.stat().st_size / 1e6:.1f} MB"],
        *([name.replace("_", " "), str(number)] for name, number in reference.summary().items()),
        ["elements with a corner", f"{len(elements)}: {' '.join(elements)}"],
        ["energies by", f"{metadata.potential} ({metadata.potential_sha256[:12]})"],
        ["energy scale", str(metadata.scale)],
        ["source", metadata.source],
        ["attribution", metadata.attribution],
        ["made with", ", ".join(f"{name} {number}" for name, number in metadata.versions.items())],
    ]
    print_table(["", ""], rows)
