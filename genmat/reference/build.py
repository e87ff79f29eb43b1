"""Build a reference from known crystals: a potential's energies near the hull, relaxed where it counts.

Stages, each resumable from its journal:

1. *known*: formula, gene and fingerprint of every crystal;
2. *static*: energy of every crystal at its own geometry, but for compounds labelled far from the hull;
3. *relaxed*: hull vertices of the static energies, and all that lies within :data:`RELAX_WINDOW`, relaxed;
4. *assembled*: one :class:`genmat.reference.table.Reference`.
"""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core.composition import Composition
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat import __version__
from genmat.errors import ReferenceDataError, RepresentationError
from genmat.reference.entries import HullEntries
from genmat.reference.fingerprint import fingerprint
from genmat.reference.hull import Hull
from genmat.reference.journal import Journal
from genmat.reference.table import Reference, ReferenceMetadata, ReferenceRow
from genmat.representation import from_structure, gene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from genmat.models.pool import PotentialPool
    from genmat.models.protocol import Relaxation, RelaxProtocol
    from genmat.reference.sources import SourceCrystal
    from genmat.representation import Crystal

    type Progress = Callable[[str, int, int], None]
    """Called with the stage, what is done and the total."""

logger = logging.getLogger(__name__)

LABEL_WINDOW = 0.15
"""Labelled distance to the source's hull up to which a crystal gets an energy, eV/atom."""
RELAX_WINDOW = 0.05
"""Distance to the potential's static hull up to which a crystal is relaxed, eV/atom."""
TEMPLATE_ATOMS = 20
"""Largest primitive cell that is kept as a template."""
BLOCK = 256
"""Crystals between two writes of a journal."""


@dataclass(frozen=True, slots=True)
class BuildPaths:
    """Files of a build, all in one folder."""

    folder: Path

    @property
    def known(self) -> Journal:
        """Formula, gene and fingerprint."""
        return Journal(self.folder / "known.jsonl")

    @property
    def static(self) -> Journal:
        """Energies at the source's geometry."""
        return Journal(self.folder / "static.jsonl")

    @property
    def relaxed(self) -> Journal:
        """Relaxed energies and geometries."""
        return Journal(self.folder / "relaxed.jsonl")


def describe_known(
    crystals: Sequence[SourceCrystal], journal: Journal, *, progress: Progress, keep_x: bool = False
) -> None:
    """Write formula, gene and fingerprint of every crystal that the journal lacks; x of a small one if it is kept."""
    done = journal.read()
    missing = [crystal for crystal in crystals if crystal.material_id not in done]
    for start in range(0, len(missing), BLOCK):
        journal.append(_description(crystal, keep_x=keep_x) for crystal in missing[start : start + BLOCK])
        progress("known", len(crystals) - len(missing) + min(start + BLOCK, len(missing)), len(crystals))


def _description(crystal: SourceCrystal, *, keep_x: bool) -> dict[str, Any]:
    structure = crystal.structure()
    try:
        x = from_structure(structure)
        name = gene(x)
    except RepresentationError:
        x, name = None, ""
    kept = {"x": x.to_dict()} if keep_x and x is not None and len(structure) <= TEMPLATE_ATOMS else {}
    return {
        "material_id": crystal.material_id,
        "formula": structure.composition.reduced_formula,
        "gene": name,
        "fingerprint": fingerprint(structure).tolist(),
        "n_sites": len(structure),
        **kept,
    }


def needs_energy(crystal: SourceCrystal) -> bool:
    """Return whether a crystal belongs to the hull part: all but compounds labelled far from the source's hull.

    An unlabelled crystal counts: a hull without it flatters everything near its composition.
    """
    if len(set(crystal.species)) == 1:
        return True
    return crystal.energy_above_hull is None or crystal.energy_above_hull <= LABEL_WINDOW


def compute_static(
    crystals: Sequence[SourceCrystal], journal: Journal, *, pool: PotentialPool, progress: Progress
) -> None:
    """Write the static energy of every crystal of the hull part that the journal lacks."""
    done = journal.read()
    wanted = [crystal for crystal in crystals if needs_energy(crystal)]
    missing = [crystal for crystal in wanted if crystal.material_id not in done]
    for start in range(0, len(missing), 4 * BLOCK):
        block = missing[start : start + 4 * BLOCK]
        energies = dict(pool.evaluate([crystal.structure() for crystal in block]))
        for position in [position for position, energy in energies.items() if not math.isfinite(energy)]:
            logger.warning("%s is left out of the hull: the potential has no energy of it", block[position].material_id)
            del energies[position]
        journal.append(
            {"material_id": block[position].material_id, "energy_per_atom": energy / len(block[position].species)}
            for position, energy in energies.items()
        )
        progress("static", len(wanted) - len(missing) + min(start + 4 * BLOCK, len(missing)), len(wanted))


def select_for_relaxation(
    crystals: Iterable[SourceCrystal], static: dict[str, dict[str, Any]], *, pool: PotentialPool
) -> list[SourceCrystal]:
    """Return what is to be relaxed: first hull vertices, then small crystals, each from the hull upwards."""
    known = [crystal for crystal in crystals if crystal.material_id in static]
    hull = Hull(
        HullEntries.from_compositions(
            [crystal.material_id for crystal in known],
            [Composition.from_dict(crystal.counts) for crystal in known],
            np.array([static[crystal.material_id]["energy_per_atom"] for crystal in known]),
        ),
        scale=pool.potential.scale,
    )
    above = hull.entries_above_hull()
    chosen = [
        ((distance > 0.0, len(crystal.species) > TEMPLATE_ATOMS, distance, crystal.material_id), crystal)
        for crystal, distance in zip(known, above.tolist(), strict=True)
        if distance <= RELAX_WINDOW
    ]
    chosen.sort(key=lambda pair: pair[0])
    return [crystal for _, crystal in chosen]


def compute_relaxed(
    chosen: Sequence[SourceCrystal],
    journal: Journal,
    *,
    pool: PotentialPool,
    protocol: RelaxProtocol,
    progress: Progress,
) -> None:
    """Write the relaxed energy and geometry of every chosen crystal that the journal lacks."""
    done = journal.read()
    missing = [crystal for crystal in chosen if crystal.material_id not in done]
    for start in range(0, len(missing), BLOCK):
        block = {crystal.material_id: crystal for crystal in missing[start : start + BLOCK]}
        structures = {name: crystal.structure() for name, crystal in block.items()}
        journal.append(
            _relaxed_record(block[name], relaxation)
            for name, relaxation in pool.relax(structures, missing=set(block), protocol=protocol)
        )
        progress("relaxed", len(chosen) - len(missing) + min(start + BLOCK, len(missing)), len(chosen))


def _relaxed_record(crystal: SourceCrystal, relaxation: Relaxation) -> dict[str, Any]:
    structure = relaxation.structure
    return {
        "material_id": crystal.material_id,
        "energy_per_atom": relaxation.energy_per_atom,
        "converged": relaxation.converged,
        "failure": relaxation.failure,
        "n_steps": relaxation.n_steps,
        "lattice": [round(x, 7) for x in structure.lattice.matrix.ravel().tolist()],
        "species": [site.symbol for site in structure.species],
        "frac_coords": [round(x, 7) for x in structure.frac_coords.ravel().tolist()],
    }


def assemble(
    paths: BuildPaths, *, pool: PotentialPool, protocol: RelaxProtocol, source: str, attribution: str
) -> Reference:
    """Return the reference that the journals hold.

    Raises
    ------
    ReferenceDataError
        If the journals are empty.
    """
    known, static, relaxed = paths.known.read(), paths.static.read(), paths.relaxed.read()
    if not known:
        msg = f"no crystal was described in {paths.folder}: build the reference from a table or folder of crystals"
        raise ReferenceDataError(msg)
    metadata = ReferenceMetadata(
        potential=pool.potential.name,
        potential_sha256=pool.potential.sha256,
        scale=pool.potential.scale,
        protocol=asdict(protocol) | {"relax_window": RELAX_WINDOW, "label_window": LABEL_WINDOW},
        versions={"genmat": __version__, "pymatgen": version("pymatgen"), "spglib": version("spglib")},
        source=source,
        attribution=attribution,
    )
    rows = (_row(record, static.get(key), relaxed.get(key)) for key, record in known.items())
    return Reference.from_rows(rows, metadata=metadata)


def _row(record: dict[str, Any], static: dict[str, Any] | None, relaxed: dict[str, Any] | None) -> ReferenceRow:
    energy = None if static is None else static["energy_per_atom"]
    crystal = None
    if relaxed is not None and relaxed["converged"]:
        energy = relaxed["energy_per_atom"]
        if len(relaxed["species"]) <= TEMPLATE_ATOMS:
            structure = Structure(
                Lattice(np.reshape(relaxed["lattice"], (3, 3))),
                relaxed["species"],
                np.reshape(relaxed["frac_coords"], (-1, 3)),
            )
            try:
                crystal = from_structure(structure)
            except RepresentationError:
                crystal = None
    is_relaxed = relaxed is not None and relaxed["converged"]
    return known_row(record, energy=energy, is_relaxed=is_relaxed, crystal=crystal)


def known_row(
    record: Mapping[str, Any], *, energy: float | None, is_relaxed: bool, crystal: Crystal | None
) -> ReferenceRow:
    """Return the row of a crystal that :func:`describe_known` wrote, with its energy (eV/atom) and x."""
    return ReferenceRow(
        material_id=record["material_id"],
        formula=record["formula"],
        gene=record["gene"],
        fingerprint=np.array(record["fingerprint"], dtype=np.uint16),
        n_sites=record["n_sites"],
        energy_per_atom=energy,
        relaxed=is_relaxed,
        crystal=crystal,
    )
