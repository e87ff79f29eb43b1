"""Build a reference from energies that its source states, on a scale that the user names.

1. *labels*: the total energy of every crystal, from the source's total or formation energy;
2. *known*: formula, gene, fingerprint and x of every crystal that has one (resumes from a journal);
3. *assembled*: one :class:`genmat.reference.table.Reference` whose hull is that of the labels.

A formation energy is relative to elemental references, so these are needed on the same scale:

    E = E_f + Σ_k x_k e_k                                                                                        (1)

with the atomic fractions x_k and the energies e_k of the elements (all eV/atom).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core.composition import Composition

from genmat import __version__
from genmat.errors import ReferenceDataError, StructureError
from genmat.reference.build import known_row
from genmat.reference.entries import ATOMIC_NUMBERS, SYMBOLS, fractions_of
from genmat.reference.fingerprint import SIZE
from genmat.reference.formula import parse_formula, reduced_formula
from genmat.reference.sources.entries import entry_energy, read_records
from genmat.reference.table import LABELS, Reference, ReferenceMetadata, ReferenceRow
from genmat.representation import Crystal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from genmat.energy import EnergyScale
    from genmat.reference.journal import Journal
    from genmat.reference.sources import SourceCrystal

LARGEST_FORMATION_ENERGY = 6.0
"""No crystal's energy of formation is farther from zero, eV/atom: the label is of a cell, or of another scale."""

AGREEMENT = 0.05
"""Largest difference of a stated total energy and equation (1), eV/atom; more, and one of both is on another scale."""

RUN_TYPES = {
    "PBE": frozenset({"GGA", "GGA+U", "GGA_U", "PBE", "PBE+U"}),
    "r2SCAN": frozenset({"r2SCAN", "R2SCAN"}),
}
"""What pymatgen calls calculations with a functional."""


class Refusal(StrEnum):
    """Why a crystal of the source is not in the reference."""

    UNUSABLE = "unusable crystal"
    NO_ENERGY = "no energy"
    OTHER_FUNCTIONAL = "other functional"
    OTHER_CORRECTION = "other correction"
    NO_ELEMENT = "no energy of an element"
    IMPLAUSIBLE = "implausible energy"
    CONTRADICTION = "total and formation energy contradict each other"


@dataclass(slots=True)
class Labels:
    """Energies of crystals on one scale.

    Parameters
    ----------
    scale
        Of all energies.
    elements
        Energy of each element by symbol, eV/atom.
    energies
        By material id, eV/atom.
    refused
        Number of crystals for each reason.
    examples
        The first crystal of each.
    """

    scale: EnergyScale
    elements: Mapping[str, float]
    energies: dict[str, float] = field(default_factory=dict)
    refused: Counter[Refusal] = field(default_factory=Counter)
    examples: dict[Refusal, str] = field(default_factory=dict)

    def refuse(self, reason: Refusal, example: str) -> None:
        """Count a crystal that is left out."""
        self.refused[reason] += 1
        self.examples.setdefault(reason, example)


def read_elements(path: Path) -> dict[str, float]:
    """Return the energy of each element (eV/atom, corrections included) of a file.

    Parameters
    ----------
    path
        JSON, also packed by gzip: symbols with energies per atom or with entries of pymatgen, or a list of entries, of
        which the lowest of each element counts.

    Raises
    ------
    StructureError
        If it is neither, or names something that is no element.
    """
    found: dict[str, float] = {}
    for record in read_records(path, numbers=True):
        if isinstance(record, StructureError):
            raise record
        name = f"{record.get('material_id') or record.get('entry_id') or 'an entry'} of {path.name}"
        if "energy_per_atom" in record and "composition" not in record:
            composition, energy = {str(record["material_id"]): 1.0}, float(record["energy_per_atom"])
        else:
            composition, energy = entry_energy(record, name=name)
        if len(composition) != 1:
            continue
        (symbol,) = composition
        if symbol not in ATOMIC_NUMBERS:
            msg = f"{path} names {symbol!r}, which is no element: expected symbols with energies per atom"
            raise StructureError(msg)
        found[symbol] = min(energy, found.get(symbol, np.inf))
    if not found:
        msg = f"{path} holds no energy of an element, expected symbols with energies per atom or with entries"
        raise StructureError(msg)
    return found


def label_energies(
    crystals: Sequence[SourceCrystal],
    *,
    scale: EnergyScale,
    elements: Mapping[str, float] | None = None,
    unusable: int = 0,
) -> Labels:
    """Return the total energies of crystals on a scale; those that have none are counted by reason.

    Parameters
    ----------
    crystals
        With their labels.
    scale
        On which the source states energies: its correction says which of two total energies of an entry is taken.
    elements
        Energy of each element, eV/atom; those that the source lacks, or all if it states formation energies alone.
    unusable
        Crystals of the source that could not be read, for the count.

    Raises
    ------
    ReferenceDataError
        If no crystal is left; the message tells why.
    """
    totals = [_total(crystal, scale) for crystal in crystals]
    corners = dict(elements or {})
    for crystal, total in zip(crystals, totals, strict=True):
        if len(set(crystal.species)) == 1 and isinstance(total, float):
            symbol = SYMBOLS[ATOMIC_NUMBERS[crystal.species[0]]]
            corners[symbol] = min(total, corners.get(symbol, np.inf))
    labels = Labels(scale, corners, refused=Counter({Refusal.UNUSABLE: unusable} if unusable else {}))
    for crystal, total in zip(crystals, totals, strict=True):
        energy = total if isinstance(total, Refusal) else _checked(crystal, total, corners)
        if isinstance(energy, Refusal):
            labels.refuse(energy, crystal.material_id)
        else:
            labels.energies[crystal.material_id] = energy
    if not labels.energies:
        why = "; ".join(f"{reason.value}: {number}" for reason, number in labels.refused.most_common())
        msg = f"no crystal of the source has an energy on the scale {scale} ({why or 'it is empty'})"
        if Refusal.NO_ELEMENT in labels.refused:
            msg += "; formation energies need those of the elements: --elements"
        raise ReferenceDataError(msg)
    return labels


def _total(crystal: SourceCrystal, scale: EnergyScale) -> float | Refusal | None:
    """Return the total energy that a source states, ``None`` for none, or why it is on another scale."""
    known = RUN_TYPES.get(scale.functional)
    if crystal.run_type and known is not None and crystal.run_type not in known:
        return Refusal.OTHER_FUNCTIONAL
    if crystal.run_type and scale.hubbard == "none" and "U" in crystal.run_type:
        return Refusal.OTHER_FUNCTIONAL
    if scale.correction == "none":
        return crystal.labels.get("uncorrected_energy_per_atom", crystal.labels.get("energy_per_atom"))
    if any(not name.startswith(scale.correction) for name in crystal.corrections):
        return Refusal.OTHER_CORRECTION
    return crystal.labels.get("energy_per_atom")


def _checked(crystal: SourceCrystal, total: float | None, elements: Mapping[str, float]) -> float | Refusal:
    """Return the total energy of a crystal, by equation (1) where only its formation energy is stated."""
    formation = crystal.labels.get("formation_energy_per_atom")
    if total is None and formation is None:
        return Refusal.NO_ENERGY
    fractions = fractions_of(crystal.counts)
    symbols = [SYMBOLS[z] for z in fractions.numbers]
    if any(symbol not in elements for symbol in symbols):
        return Refusal.NO_ELEMENT
    corners = sum(x * elements[symbol] for symbol, x in zip(symbols, fractions.values, strict=True))
    if total is None:
        total = float(formation or 0.0) + corners
    elif formation is not None and abs(total - corners - formation) > AGREEMENT:
        return Refusal.CONTRADICTION
    return total if abs(total - corners) <= LARGEST_FORMATION_ENERGY else Refusal.IMPLAUSIBLE


def assemble_labelled(
    labels: Labels, journal: Journal, *, source: str, source_sha256: str, attribution: str
) -> Reference:
    """Return the reference of labelled crystals that a journal describes.

    An element whose lowest energy is no crystal's of the source gets a row without geometry, ``element-Na``: a corner
    of the hull that no crystal is compared with.

    Parameters
    ----------
    labels
        From :func:`label_energies`.
    journal
        From :func:`genmat.reference.build.describe_known`, with x.
    source, attribution
        What the crystals come from, whom they are owed to.
    source_sha256
        From :func:`sha256_of_files`.
    """
    known = journal.read()
    rows = [
        known_row(record := known[name], energy=energy, is_relaxed=True, crystal=_kept(record))
        for name, energy in labels.energies.items()
    ]
    lowest: dict[str, float] = {}
    for row, energy in zip(rows, labels.energies.values(), strict=True):
        symbols = tuple(parse_formula(row.formula))
        for symbol in symbols:
            held = lowest.get(symbol, np.inf)
            lowest[symbol] = min(held, energy) if len(symbols) == 1 else held
    rows += [_corner(symbol, labels.elements[symbol]) for symbol in lowest if lowest[symbol] > labels.elements[symbol]]
    metadata = ReferenceMetadata(
        potential=LABELS,
        potential_sha256=source_sha256,
        scale=labels.scale,
        protocol={"refused": {reason.value: number for reason, number in sorted(labels.refused.items())}},
        versions={"genmat": __version__, "pymatgen": version("pymatgen"), "spglib": version("spglib")},
        source=source,
        attribution=attribution,
    )
    return Reference.from_rows(rows, metadata=metadata)


def _kept(record: Mapping[str, Any]) -> Crystal | None:
    x = record.get("x")
    return None if x is None else Crystal.from_dict(x)


def _corner(symbol: str, energy: float) -> ReferenceRow:
    return ReferenceRow(
        material_id=f"element-{symbol}",
        formula=reduced_formula(Composition(symbol)),
        gene="",
        fingerprint=np.zeros(SIZE, dtype=np.uint16),
        n_sites=1,
        energy_per_atom=energy,
    )


def sha256_of_files(paths: Iterable[Path]) -> str:
    """Return the SHA-256 of the content of some files, one after another, folders by the names of their files."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
