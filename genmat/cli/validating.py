"""``genmat validate``: crystals of files computed from first principles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genmat.cli.session import session_of
from genmat.cli.stages import Stages
from genmat.cli.terminal import caught_output, note, print_json, print_line, print_table
from genmat.errors import InputError, StructureError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymatgen.core.structure import Structure

    from genmat.campaign.computed import ComputedProperty
    from workflows.validate import Validated

SECONDS_PER_HOUR = 3600.0


def validate(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="CIF files, or folders of them.", metavar="CIF…")],
    *,
    engine: Annotated[str, typer.Option(help="What computes: gpaw, vasp (PBE+U) or vasp-r2scan.")] = "gpaw",
    workers: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Structures side by side; default: one a core.")
    ] = None,
    properties: Annotated[
        str | None,
        typer.Option(help="Also measure, by commas: band_gap, dielectric, band_gap_hse, elastic, phonon (vasp)."),
    ] = None,
    max_hours: Annotated[float, typer.Option(min=0.001, max=1000, help="Wall time of one structure, hours.")] = 24.0,
    estimate: Annotated[bool, typer.Option("--estimate", help="Only tell the expected cost.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Relax crystals from first principles, with energy, gap and the distance to competing phases.

    What they compete with is computed by the same engine, once, and kept in the database. Example: genmat validate
    NaCl.cif --engine gpaw
    """
    from genmat.campaign.computed import parse_computed
    from genmat.validation.registry import get_engine
    from workflows.properties import measure_structures
    from workflows.session import n_cores
    from workflows.validate import expected_core_hours, validate_structures

    session = session_of(context)
    chosen = get_engine(engine)
    measured_too = () if properties is None else parse_computed(properties, engine=chosen.name)
    said = chosen.check()
    structures, names = _read(files)
    log = session.settings.data_folder / "log" / "validate.log"
    with session.store() as store:
        with caught_output(log):
            hours = expected_core_hours(store, chosen, structures)
            for key in [key for key in structures if key in hours]:
                for name in measured_too:
                    hours[f"{key} {name}"] = chosen.properties[name].estimate(structures[key])
                    names[f"{key} {name}"] = f"{names[key]}: {name}"
        if estimate:
            _print_estimate(hours, names, as_json=as_json)
            return
        if not as_json:
            note(f"{said}; about {sum(hours.values()):.2g} core hours expected for {len(hours)} calculations")
        with caught_output(log), Stages() as stages:
            found = validate_structures(
                store,
                chosen,
                structures,
                max_seconds=max_hours * SECONDS_PER_HOUR,
                workers=workers or n_cores(),
                keep=session.settings.dft_folder,
                report=stages.progress,
            )
            measured = measure_structures(
                store,
                chosen,
                measured_too,
                [item.computed.structure_id for item in found.values() if item.computed.failure is None],
                max_seconds=max_hours * SECONDS_PER_HOUR,
                workers=workers or n_cores(),
                keep=session.settings.dft_folder,
                report=stages.progress,
            )
    _print(found, structures, names, measured, as_json=as_json)


def _read(files: list[Path]) -> tuple[dict[str, Structure], dict[str, str]]:
    """Return the structures of files by id, and the name of the file of each; equal files are one structure.

    Raises
    ------
    StructureError
        If a file cannot be read or used.
    """
    from genmat.ids import stable_id
    from genmat.reference.sources.cif import CifReader
    from genmat.reference.sources.io import read_cif

    paths = [path for given in files for path in (sorted(given.glob("*.cif")) if given.is_dir() else [given])]
    if not paths:
        msg = f"no CIF file in {', '.join(map(str, files))}: give files, or folders that hold *.cif"
        raise InputError(msg)
    structures, names = {}, {}
    with CifReader() as reader:
        for path in paths:
            if not path.is_file():
                msg = f"{path}: no such file, expected a CIF file"
                raise StructureError(msg)
            structure = read_cif(path, reader=reader).get_primitive_structure()
            species = [site.specie.symbol for site in structure]
            content = [structure.lattice.matrix.round(6).tolist(), structure.frac_coords.round(6).tolist(), species]
            identifier = stable_id("given", content)
            structures[identifier] = structure
            names[identifier] = str(path)
    return structures, names


def _print_estimate(hours: Mapping[str, float], names: Mapping[str, str], *, as_json: bool) -> None:
    rows = [[names.get(key, f"competing phase {key}"), value] for key, value in hours.items()]
    if as_json:
        print_json({"core_hours": {str(name): value for name, value in rows}, "total": sum(hours.values())})
        return
    print_table(["calculation", "core hours"], rows)
    print_line(f"\nexpected: {sum(hours.values()):.2g} core hours")


def _print(
    found: Mapping[str, Validated],
    structures: Mapping[str, Structure],
    names: Mapping[str, str],
    measured: Mapping[str, Mapping[ComputedProperty, dict[str, float] | str]],
    *,
    as_json: bool,
) -> None:
    if as_json:
        further = {key: measured.get(item.computed.structure_id, {}) for key, item in found.items()}
        print_json([_summary(names[key], structures[key], item, further[key]) for key, item in found.items()])
        return
    rows = []
    for key, item in found.items():
        computed, formula = item.computed, structures[key].composition.reduced_formula
        value = computed.values.get
        outcome = f"{computed.failure}: {computed.detail}" if computed.failure else "converged"
        numbers = (item.energy_above_hull, value("band_gap"), value("volume_change_from_start"))
        rows.append([names[key], formula, outcome, *numbers, item.competing if not computed.failure else None])
    columns = ["file", "formula", "outcome", "E_hull eV/atom", "gap eV", "V/V0 - 1", "competes with"]
    print_table(columns, rows)
    told = [
        [
            names[key],
            name.value,
            values if isinstance(values, str) else ", ".join(f"{k} {v:.4g}" for k, v in values.items()),
        ]
        for key, item in found.items()
        for name, values in measured.get(item.computed.structure_id, {}).items()
    ]
    if told:
        print_table(["file", "property", "values"], told)
    for key, item in found.items():
        for warning in item.warnings:
            note(f"{names[key]}: {warning}")


def _summary(
    name: str, structure: Structure, item: Validated, measured: Mapping[ComputedProperty, dict[str, float] | str]
) -> dict[str, Any]:
    return {
        "file": name,
        "formula": structure.composition.reduced_formula,
        "converged": item.computed.failure is None,
        "failure": item.computed.failure,
        "detail": item.computed.detail,
        "structure_id": item.computed.structure_id,
        "energy_above_hull": item.energy_above_hull,
        "competing": item.competing,
        "warnings": list(item.warnings),
        "values": dict(item.computed.values),
        "properties": {
            key.value: {"failure": told} if isinstance(told, str) else told for key, told in measured.items()
        },
    }
