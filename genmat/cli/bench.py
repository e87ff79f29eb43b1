"""``genmat bench``: metrics of generated structures."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genmat.cli.entry import InterruptedRunError
from genmat.cli.session import session_of
from genmat.cli.stages import Stages
from genmat.cli.terminal import caught_output, note, print_json, print_line, print_table
from genmat.models.protocol import MOST_RATTLE, USUAL_RATTLE, RelaxProtocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genmat.evaluation import Evaluation, Options, Sample
    from genmat.settings import Settings

app = typer.Typer(help="Metrics of generated structures.", no_args_is_help=True)

_ALL = {
    "scorable": "readable",
    "composition_valid": "SMACT-valid",
    "structure_valid": "structurally valid",
    "unique": "unique",
    "novel": "novel",
    "p1_of_novel": "P1 of novel",
}
_RELAXED = {
    "converged": "converged",
    "lost_symmetry": "P1 only after relaxation",
    "stable": "stable",
    "far_below_hull": "stable, but > 0.2 eV/atom below the hull",
    "missing_reference": "no competitor in the reference",
    "sun": "S.U.N.",
    "ssun_before": "S.S.U.N., symmetry as drawn",
    "ssun_after": "S.S.U.N., symmetry after relaxation",
}


@app.callback()
def bench() -> None:
    """Metrics of generated structures."""


@app.command("ssun")
def ssun(  # noqa: PLR0913 - one option each
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(help="Folders of .cif, or .cif, .extxyz, .parquet, .json(.gz) files.", metavar="FILES…"),
    ],
    *,
    relax: Annotated[
        int | None, typer.Option(min=0, help="Relax this many random samples of each set; default: all.", metavar="N")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random subset.")] = 0,
    tolerance: Annotated[float, typer.Option(help="Largest stable distance to the hull, eV/atom.")] = 0.08,
    symprec: Annotated[float, typer.Option(help="Tolerance of space groups, Å.")] = 0.1,
    rattle: Annotated[
        float, typer.Option(min=0.0, max=MOST_RATTLE, help="Displacement that shows saddle points, Å; 0: none.")
    ] = USUAL_RATTLE,
    max_steps: Annotated[int, typer.Option(min=1, help="Steps of one relaxation.")] = 300,
    potential: Annotated[str, typer.Option(help="Potential that relaxes.")] = "chgnet-0.3.0",
    workers: Annotated[int | None, typer.Option(min=1, max=1024, help="Processes; default: one a core.")] = None,
    work_folder: Annotated[
        Path, typer.Option(help="Folder of what is done already; resumes.", metavar="FOLDER")
    ] = Path("genmat-output/bench"),
    output: Annotated[
        Path | None, typer.Option(help="Result (.json), rows beside it; default: ssun.json there.", metavar="FILE")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure validity, uniqueness, novelty, symmetry, stability and S.S.U.N. of structures, several sets side by side.

    Example: genmat bench ssun mine.extxyz theirs.parquet --relax 200
    """
    from genmat.evaluation import Options
    from genmat.evaluation.io import write_rows
    from genmat.interop.io import check_writable, write_text

    session = session_of(context)
    options = Options(
        relax=relax,
        seed=seed,
        hull_tolerance=tolerance,
        symprec=symprec,
        protocol=RelaxProtocol(max_steps=max_steps, rattle=rattle),
    )
    place = output or work_folder / "ssun.json"
    check_writable(work_folder)
    check_writable(place.parent)
    sets = read_sets(files)
    try:
        with caught_output(work_folder / "bench.log"):
            evaluations = _evaluate(
                sets,
                options,
                settings=session.settings,
                work_folder=work_folder,
                potential=potential,
                workers=workers,
            )
    except KeyboardInterrupt:
        msg = "interrupted; nothing is lost, give the same command again to continue"
        raise InterruptedRunError(msg) from None
    result = {"sets": {name: evaluation.to_dict() for name, evaluation in evaluations.items()}}
    rows = place.with_name(f"{place.name.removesuffix('.json')}.samples.parquet")
    write_text(place, json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    write_rows(evaluations, rows)
    if as_json:
        print_json(result | {"path": str(place), "rows": str(rows)})
        return
    _print(evaluations)
    print_line(f"result {place}, one row a sample in {rows}")


def read_sets(files: list[Path]) -> dict[str, list[Sample]]:
    """Return the samples of each set by its name: a file or folder each, loose CIF files of one folder together.

    Raises
    ------
    StructureError
        If a file or folder cannot be used.
    """
    from genmat.errors import StructureError
    from genmat.evaluation.io import read_cifs, read_samples

    loose: dict[Path, list[Path]] = {}
    sets: dict[str, list[Sample]] = {}
    for path in files:
        if path.is_file() and path.suffix.lower() == ".cif":
            loose.setdefault(path.parent, []).append(path)
            continue
        sets[_distinct(path.name.split(".")[0] or path.name, path, sets)] = read_samples(path)
    for folder, paths in loose.items():
        twice = next((path for path in paths if paths.count(path) > 1), None)
        if twice is not None:
            msg = f"{twice} is given twice, expected each file once"
            raise StructureError(msg)
        sets[_distinct(folder.absolute().name, folder, sets)] = read_cifs(paths)
    return sets


def _distinct(name: str, path: Path, taken: Mapping[str, Any]) -> str:
    return name if name not in taken else str(path)


def _evaluate(
    sets: Mapping[str, list[Sample]],
    options: Options,
    *,
    settings: Settings,
    work_folder: Path,
    potential: str,
    workers: int | None,
) -> dict[str, Evaluation]:
    from contextlib import ExitStack

    from genmat.evaluation import evaluate
    from genmat.reference.cache import FILE
    from genmat.reference.io import load_reference
    from genmat.reference.journal import Journal

    known, journal = load_reference(settings.reference), Journal(work_folder / "relaxed.jsonl")
    result = {}
    with ExitStack() as stack:
        pool = None
        if options.relax != 0:
            from genmat.models.pool import PotentialPool
            from genmat.models.potentials import get_potential

            get_potential(potential).check_weights()
            cores = workers or len(os.sched_getaffinity(0))
            pool = stack.enter_context(PotentialPool(potential, workers=cores))
        for name, samples in sets.items():
            note(f"{name}: {len(samples)} samples")
            with Stages() as stages:
                result[name] = evaluate(
                    samples,
                    reference=known,
                    options=options,
                    pool=pool,
                    journal=journal,
                    facets=settings.data_folder / FILE,
                    progress=stages.progress,
                )
    return result


def _print(evaluations: Mapping[str, Evaluation]) -> None:
    names = list(evaluations)
    print_table(["all samples, %", *names], _rows(_ALL, [item.all_samples() for item in evaluations.values()]))
    relaxed = [item.relaxed_samples() for item in evaluations.values()]
    if all(relaxed):
        print_line()
        rows = _rows(_RELAXED, relaxed)
        for label, key in (("mean steps", "mean_steps"), ("median E_hull, eV/atom", "median_energy_above_hull")):
            rows.append([label, *(item.relaxation()[key] for item in evaluations.values())])
        print_table(["relaxed samples, % (95 % interval)", *names], rows)
    _print_published(evaluations)
    definition = next(iter(evaluations.values())).definition
    words = definition.ssun
    print_line()
    print_line(
        f"stable: within {words.hull_tolerance:g} eV/atom of the hull ({words.hull}); potential {words.potential}"
    )
    print_line(f"novel: not in reference {words.reference_id[:12]}; same: {words.matcher}")
    print_line(f"symmetric: not P1 at {words.symprec:g} Å; valid: {definition.composition_test}")


def _rows(labels: Mapping[str, str], found: list[dict[str, Any]]) -> list[list[Any]]:
    rows: list[list[Any]] = [["samples", *(f"{next(iter(item.values())).total:,}" for item in found)]]
    for key, label in labels.items():
        cells = [_cell(item[key]) for item in found]
        rows.append([label, *cells])
    return rows


def _cell(proportion: Any) -> str:
    return f"{100 * proportion.fraction:.1f} ({100 * proportion.low:.1f} to {100 * proportion.high:.1f})"


def _print_published(evaluations: Mapping[str, Evaluation]) -> None:
    for name, evaluation in evaluations.items():
        comparison = evaluation.comparison()
        if comparison is None:
            continue
        print_line()
        print_line(f"{name}: computed against published distances to the hull", style="bold")
        rows: list[list[Any]] = [
            ["compared", comparison.n_compared],
            ["Spearman", comparison.spearman],
            ["mean absolute difference, eV/atom", comparison.mean_absolute_difference],
            ["median absolute difference, eV/atom", comparison.median_absolute_difference],
            ["same verdict, stable or not", f"{comparison.agreement:.1%}"],
            ["differ by more than 0.1 eV/atom", len(comparison.outliers)],
        ]
        print_table(["", ""], rows)
        columns = ["id", "formula", "published", "computed", "reason"]
        found = [[o.id, o.formula, o.published, o.computed, o.reason] for o in comparison.outliers[:10]]
        if found:
            print_table(columns, found)
