"""Candidates as other programs read them: CIF, extxyz, CSV, JSON. Texts only; :mod:`genmat.interop.io` writes files."""

from __future__ import annotations

import csv
import io
import json
import warnings
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from genmat.campaign import PROPERTY_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pymatgen.core.structure import Structure

    from genmat.database.documents import CandidateDocument
    from genmat.database.store import Store

SYMPREC = 0.01
"""Distance tolerance of the symmetry that a CIF states, Å."""


class ExportFormat(StrEnum):
    """What candidates can be exported to."""

    CIF = "cif"
    EXTXYZ = "extxyz"
    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class ExportedCrystal:
    """A candidate with its crystal.

    Parameters
    ----------
    candidate
        The candidate.
    structure
        Its relaxed structure, or the drawn one if it was not relaxed.
    relaxed
        Whether it is the relaxed one.
    energy_per_atom
        Energy of the relaxed structure, eV/atom.
    energy_source
        What computed the energy, such as ``mlip:chgnet-0.3.0``.
    """

    candidate: CandidateDocument
    structure: Structure
    relaxed: bool
    energy_per_atom: float | None = None
    energy_source: str | None = None

    @property
    def stem(self) -> str:
        """Name of its file without suffix, such as ``001-NaCl-3f2a81c0``; unranked candidates begin with ``x``."""
        rank = "x" if self.candidate.rank is None else f"{self.candidate.rank:03d}"
        return f"{rank}-{self.candidate.formula_pretty}-{self.candidate.id[:8]}"


def select_candidates(store: Store, campaign: str, *, everything: bool = False) -> list[CandidateDocument]:
    """Return the accepted candidates of a campaign, best first, or every draw, ranked ones first."""
    criteria: dict[str, Any] = {"campaign": campaign}
    if not everything:
        criteria["status"] = "accepted"
    return sorted(
        store.candidates.iterate(criteria), key=lambda c: (c.rank is None, c.rank or 0, c.round, c.index, c.id)
    )


def collect_crystals(store: Store, candidates: Iterable[CandidateDocument]) -> list[ExportedCrystal]:
    """Return the candidates that have a structure with it, in the order given; relaxed ones where there are such."""
    chosen = [
        (candidate, identifier)
        for candidate in candidates
        if (identifier := candidate.relaxed_structure_id or candidate.structure_id) is not None
    ]
    documents = store.structures.get_many(identifier for _, identifier in chosen)
    relaxed = [candidate.relaxed_structure_id for candidate, _ in chosen if candidate.relaxed_structure_id]
    energies = {
        value.structure_id: value
        for value in store.properties.find({"structure_id": {"$in": relaxed}, "name": "energy_per_atom"})
    }
    crystals = []
    for candidate, identifier in chosen:
        if identifier not in documents:
            continue
        energy = energies.get(identifier)
        crystals.append(
            ExportedCrystal(
                candidate=candidate,
                structure=documents[identifier].to_structure(),
                relaxed=identifier == candidate.relaxed_structure_id,
                energy_per_atom=None if energy is None else energy.value,
                energy_source=None if energy is None else energy.fidelity,
            )
        )
    return crystals


def to_cif(crystal: ExportedCrystal) -> str:
    """Return a crystal as CIF with its symmetry, in the conventional cell; comments say which candidate it is."""
    from pymatgen.io.cif import CifWriter

    candidate = crystal.candidate
    energy = candidate.energy_above_hull
    facts = [
        f"genmat candidate {candidate.id}, campaign {candidate.campaign}, round {candidate.round + 1}",
        f"{'relaxed' if crystal.relaxed else 'as drawn, not relaxed'}; {candidate.status.value}: {candidate.reason}",
    ]
    if energy is not None:
        facts.append(f"energy above hull {energy:.6f} eV/atom ({crystal.energy_source or 'unknown source'})")
    head = "".join(f"# {fact}\n" for fact in facts)
    return head + str(CifWriter(crystal.structure, symprec=SYMPREC))


def to_extxyz(crystals: Iterable[ExportedCrystal]) -> str:
    """Return crystals as extended XYZ, one frame each.

    Each frame has ``id``, ``campaign``, ``relaxed``, ``rank``, ``energy`` (eV per cell) and ``e_hull`` (eV/atom); what
    is unknown is left out.
    """
    from ase import Atoms
    from ase.io.extxyz import write_extxyz

    frames = []
    for crystal in crystals:
        candidate, structure = crystal.candidate, crystal.structure
        energy = None if crystal.energy_per_atom is None else crystal.energy_per_atom * len(structure)
        known: dict[str, Any] = {
            "id": candidate.id,
            "campaign": candidate.campaign,
            "formula": candidate.formula_pretty,
            "relaxed": crystal.relaxed,
            "rank": candidate.rank,
            "energy": energy,
            "e_hull": candidate.energy_above_hull,
            "method": crystal.energy_source,
        }
        frames.append(
            Atoms(
                symbols=[site.specie.symbol for site in structure],
                cell=structure.lattice.matrix,
                scaled_positions=structure.frac_coords,
                pbc=True,
                info={key: value for key, value in known.items() if value is not None},
            )
        )
    text = io.StringIO()
    with warnings.catch_warnings():
        # ASE sets the shape of arrays, which NumPy 2.5 deprecates.
        warnings.simplefilter("ignore", DeprecationWarning)
        if frames:
            write_extxyz(text, frames)
    return text.getvalue()


_COLUMNS: tuple[tuple[str, Callable[[CandidateDocument], Any]], ...] = (
    ("id", lambda c: c.id),
    ("rank", lambda c: c.rank),
    ("round", lambda c: c.round + 1),
    ("draw", lambda c: c.index),
    ("status", lambda c: c.status.value),
    ("stage", lambda c: c.stage),
    ("reason", lambda c: c.reason),
    ("detail", lambda c: c.verdicts[-1].detail if c.verdicts else ""),
    ("formula", lambda c: c.formula_pretty),
    ("chemical_system", lambda c: c.chemsys),
    ("n_atoms", lambda c: c.nsites),
    ("space_group_number", lambda c: c.space_group_number),
    ("gene", lambda c: c.gene),
    ("template", lambda c: c.origin.get("template")),
    ("score", lambda c: c.score),
    ("on_target", lambda c: c.on_target),
)
_ENERGY_ABOVE_HULL = "energy_above_hull"


def to_csv(candidates: Sequence[CandidateDocument]) -> str:
    """Return one row a candidate, its stage, reason and numbers; a column with a unit names it in brackets."""
    units = {kind.value: details.unit for kind, details in PROPERTY_KINDS.items()}
    found = {name for candidate in candidates for name in candidate.properties}
    names = sorted({*units, *found} - {_ENERGY_ABOVE_HULL})
    header = [name for name, _ in _COLUMNS]
    header += [f"{name} [{units[name]}]" if name in units else name for name in [_ENERGY_ABOVE_HULL, *names]]
    header += ["structure_id", "relaxed_structure_id"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for candidate in candidates:
        row = [value(candidate) for _, value in _COLUMNS]
        row += [candidate.energy_above_hull, *(candidate.properties.get(name) for name in names)]
        row += [candidate.structure_id, candidate.relaxed_structure_id]
        writer.writerow(["" if value is None else value for value in row])
    return text.getvalue()


def to_json(crystals: Iterable[ExportedCrystal]) -> str:
    """Return a list of candidates, each with every field of its document and its crystal."""
    items = [
        {
            **crystal.candidate.model_dump(mode="json"),
            "structure": {
                "relaxed": crystal.relaxed,
                "lattice": crystal.structure.lattice.matrix.tolist(),
                "species": [site.specie.symbol for site in crystal.structure],
                "frac_coords": crystal.structure.frac_coords.tolist(),
            },
            "energy_per_atom": crystal.energy_per_atom,
        }
        for crystal in crystals
    ]
    return json.dumps(items, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
