"""Crystals with energies from JSON: entries of pymatgen, downloads of the Materials Project's API, rows of a table.

A record is an object with an id (``material_id``, or ``entry_id``), a geometry and an energy:

- geometry: ``structure`` as pymatgen writes it, or ``species``, ``lattice`` and ``frac_coords`` as in a table;
- energy: ``energy`` (eV/cell, uncorrected) with ``correction`` or ``energy_adjustments`` as pymatgen's entries have
  them, or any of the labels of a table (eV/atom).

Nothing is decoded but numbers and texts: no class that a file names is ever imported.
"""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

from genmat.errors import StructureError
from genmat.reference.sources.structure import LABELS, SourceCrystal, crystal_from_arrays, label_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

UNNAMED = "unnamed correction"
"""Stands for a correction whose entry does not say which one it is."""


def read_records(path: Path, *, numbers: bool = False) -> Iterator[dict[str, Any] | StructureError]:
    """Iterate over the records of a JSON file: a list, a mapping from ids, or one object a line; gzip as well.

    Parameters
    ----------
    path
        The file.
    numbers
        Whether a number that an id is mapped to stands for a record with this ``energy_per_atom``.

    Raises
    ------
    StructureError
        If the file is no such JSON; a bad line of a file with one object a line is handed over instead.
    """
    is_packed = path.suffix == ".gz"
    is_lines = (path.with_suffix("") if is_packed else path).suffix == ".jsonl"
    try:
        with gzip.open(path, "rt", encoding="utf-8") if is_packed else path.open(encoding="utf-8") as file:
            if is_lines:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        yield _line(line, name=f"line {number} of {path.name}")
                return
            content = json.load(file)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, ValueError, RecursionError) as err:
        msg = f"{path} cannot be read, it is truncated or no JSON ({str(err).partition(chr(10))[0][:120]})"
        raise StructureError(msg) from err
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        content = content["data"]
    if isinstance(content, dict):
        content = [
            {"material_id": key, **value}
            if isinstance(value, dict)
            else {"material_id": key, "energy_per_atom": value}
            if numbers and isinstance(value, int | float)
            else value
            for key, value in content.items()
        ]
    if not isinstance(content, list):
        msg = f"{path} holds a {type(content).__name__}, expected a list of records or a mapping from ids to records"
        raise StructureError(msg)
    for number, record in enumerate(content, start=1):
        if isinstance(record, dict):
            yield record
        else:
            yield StructureError(f"record {number} of {path.name} is a {type(record).__name__}, expected an object")


def _line(line: str, *, name: str) -> dict[str, Any] | StructureError:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return StructureError(f"{name} is no JSON, it is torn or of another format")
    return record if isinstance(record, dict) else StructureError(f"{name} is no JSON object")


def record_id(record: Mapping[str, Any]) -> str:
    """Return the id of a record, that of the material before that of the calculation; empty if it has none."""
    data = record.get("data")
    inner = data.get("material_id") if isinstance(data, dict) else None
    return str(record.get("material_id") or inner or record.get("entry_id") or "")


def run_type(record: Mapping[str, Any]) -> str:
    """Return the functional of a record as pymatgen names it; empty if it does not say."""
    parameters = record.get("parameters")
    found = parameters.get("run_type") if isinstance(parameters, dict) else record.get("run_type")
    return str(found or "")


def crystal_of(record: Mapping[str, Any], *, name: str) -> SourceCrystal:
    """Return the crystal of a record with its labels, run type and corrections.

    Raises
    ------
    StructureError
        If the record has no geometry that can be used, or an energy that is no number.
    """
    species, lattice, frac_coords = _geometry(record, name=name)
    labels = {
        label: value for label in LABELS if (value := label_value(record.get(label), label, name=name)) is not None
    }
    corrections: tuple[str, ...] = ()
    energy = label_value(record.get("energy"), "energy", name=name)
    if energy is not None:
        names, correction = _correction(record, name=name)
        n_atoms = _n_atoms(record, species)
        labels["uncorrected_energy_per_atom"] = energy / n_atoms
        labels["energy_per_atom"] = (energy + correction) / n_atoms
        corrections = names
    return crystal_from_arrays(
        record_id(record),
        species=species,
        lattice=lattice,
        frac_coords=frac_coords,
        labels=labels,
        run_type=run_type(record),
        corrections=corrections,
        name=name,
    )


def entry_energy(record: Mapping[str, Any], *, name: str) -> tuple[dict[str, float], float]:
    """Return composition and energy (eV/atom, corrections included) of an entry without geometry.

    Raises
    ------
    StructureError
        If it lacks one of both.
    """
    composition = _composition(record)
    energy = label_value(record.get("energy"), "energy", name=name)
    if not composition or energy is None:
        msg = f"{name} has no composition or energy, expected an entry as pymatgen writes it"
        raise StructureError(msg)
    return composition, (energy + _correction(record, name=name)[1]) / sum(composition.values())


def _geometry(record: Mapping[str, Any], *, name: str) -> tuple[list[str], Any, Any]:
    structure = record.get("structure")
    if structure is None and "species" in record:
        return list(record["species"] or ()), record.get("lattice"), record.get("frac_coords")
    try:
        species, coordinates = [], []
        for site in structure["sites"]:  # type: ignore[index]
            (only,) = site["species"]
            if only.get("occu", 1) != 1:
                msg = f"{name} has partial occupancies: give an ordered model of the crystal"
                raise StructureError(msg)
            species.append(str(only["element"]))
            coordinates.append(site["abc"])
        return species, structure["lattice"]["matrix"], coordinates  # type: ignore[index]
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        msg = f"{name} has no structure as pymatgen writes it, nor species, lattice and frac_coords"
        raise StructureError(msg) from err


def _correction(record: Mapping[str, Any], *, name: str) -> tuple[tuple[str, ...], float]:
    """Return the names of an entry's corrections and their sum, eV/cell."""
    total = label_value(record.get("correction"), "correction", name=name) or 0.0
    adjustments = record.get("energy_adjustments")
    named = [str(item.get("name") or UNNAMED) for item in adjustments or () if isinstance(item, dict)]
    return tuple(named) if named or not total else (UNNAMED,), total


def _composition(record: Mapping[str, Any]) -> dict[str, float]:
    composition = record.get("composition")
    if not isinstance(composition, dict):
        return {}
    return {str(key): value for key, value in composition.items() if isinstance(value, int | float) and value > 0}


def _n_atoms(record: Mapping[str, Any], species: list[str]) -> float:
    """Return the atoms of the cell whose energy a record states: that of its composition."""
    return sum(_composition(record).values()) or max(len(species), 1)
