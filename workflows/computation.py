"""One first-principles calculation: computed once, kept in the database for every later campaign."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genmat.database.documents import PropertyDocument
from genmat.errors import DiskFullError, GenmatError, MissingReferenceError
from genmat.ids import stable_id
from genmat.validation.engine import Failure
from workflows.description import describe, structure_document
from workflows.identity import property_id
from workflows.rawfiles import run_folder
from workflows.session import current_labels, current_reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pymatgen.core.structure import Structure

    from genmat.database.documents import StructureDocument
    from genmat.database.store import Store
    from genmat.energy import EnergyScale
    from genmat.reference.table import Reference
    from genmat.validation.competing import Competitor
    from genmat.validation.engine import Engine, Outcome

logger = logging.getLogger(__name__)

UNITS = {
    "energy_per_atom": "eV/atom",
    "energy_above_hull": "eV/atom",
    "band_gap": "eV",
    "magnetization": "µB",
    "fmax": "eV/Å",
    "smax": "GPa",
    "volume_per_atom": "Å^3/atom",
    "core_hours": "h",
    "rmsd_from_start": "Å",
    "volume_change_from_start": "1",
    "bonds_changed_from_start": "1",
    "potential_force_mae": "eV/Å",
    "potential_stress_mae": "GPa",
    "potential_force_slope": "1",
    "potential_stress_slope": "1",
}
"""Units of the properties that an engine gives; ``start`` is what the potential relaxed, ``potential`` its forces and
stresses beside the engine's."""
PROPERTY = "property"
"""Parameter of values that a calculation of its own gave after the validation: its name."""
_ENERGIES = frozenset({"energy_per_atom", "energy_above_hull"})


@dataclass(frozen=True, slots=True)
class Computed:
    """A relaxed crystal of an engine and its numbers, from a calculation or from the database.

    Parameters
    ----------
    structure_id
        Id of the relaxed structure; also of one that failed, which is not stored.
    structure
        Relaxed crystal; ``None`` after a failure.
    values
        By name of :data:`UNITS`.
    failure, detail
        Why there is no result.
    core_hours
        What this call cost; 0 if the database had it.
    """

    structure_id: str
    structure: Structure | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    failure: str | None = None
    detail: str = ""
    core_hours: float = 0.0


def computed_id(parent: str, engine: Engine) -> str:
    """Return the id of the structure that an engine makes of another; never the floats that came out."""
    return stable_id("computed", parent, engine.fidelity, engine.scale.to_dict(), engine.parameters)


def stored_computation(store: Store, parent: str, engine: Engine) -> Computed | None:
    """Return what the database holds of a calculation, or ``None``."""
    identifier = computed_id(parent, engine)
    document = store.structures.get(identifier)
    if document is None:
        return None
    found = store.properties.find({"structure_id": identifier, "fidelity": engine.fidelity})
    values = {entry.name: entry.value for entry in found if PROPERTY not in entry.parameters}
    return Computed(identifier, document.to_structure(), values) if "energy_per_atom" in values else None


def compute(
    store: Store,
    engine: Engine,
    parent: str,
    structure: Structure,
    *,
    max_seconds: float,
    keep: Path | None = None,
    activity_id: str | None = None,
    potential: str | None = None,
) -> Computed:
    """Relax a crystal with an engine unless the database has it, and write what came out.

    Parameters
    ----------
    store
        Database.
    engine
        What computes.
    parent
        Id of the structure that the calculation starts from.
    structure
        That structure.
    max_seconds
        Wall time before it is given up.
    keep
        Folder that gets the raw files, in a folder called like the result with one of each attempt; an attempt goes
        on from the last geometry of the one before. ``None`` to keep none.
    activity_id
        Activity that the values are owed to.
    potential
        Name of the potential whose forces are compared with the engine's; ``None`` for no comparison.
    """
    if (known := stored_computation(store, parent, engine)) is not None:
        return known
    identifier = computed_id(parent, engine)
    try:
        with run_folder(None if keep is None else keep / identifier) as folder:
            start = _last_geometry(folder, structure) or structure
            outcome = engine.run(start, folder=folder, max_seconds=max_seconds)
    except DiskFullError as err:
        return Computed(identifier, failure=Failure.DISK_FULL.value, detail=str(err))
    if outcome.failure is not None or outcome.structure is None:
        return Computed(identifier, failure=str(outcome.failure), detail=outcome.detail, core_hours=outcome.core_hours)
    described = describe(outcome.structure)
    document = structure_document(described, identifier=identifier, parents=[parent])
    values = _values(structure, outcome)
    store.structures.insert_if_absent([document])
    store.properties.insert_if_absent(
        engine_property(document, name, value, engine, activity_id=activity_id) for name, value in values.items()
    )
    if potential is not None and outcome.path:
        compared = _compared(outcome, potential)
        further = {"potential": potential}
        store.properties.insert_if_absent(
            engine_property(document, name, value, engine, activity_id=activity_id, further=further)
            for name, value in compared.items()
        )
        values |= compared
    return Computed(identifier, outcome.structure, values, core_hours=outcome.core_hours)


def engine_property(
    structure: StructureDocument,
    name: str,
    value: float,
    engine: Engine,
    *,
    activity_id: str | None = None,
    further: Mapping[str, Any] | None = None,
) -> PropertyDocument:
    """Return the document of one value of an engine; ``further`` are parameters besides the engine's."""
    parameters: dict[str, Any] = {**engine.parameters, **(further or {})}
    return PropertyDocument(
        id=property_id(structure.id, name=name, method=engine.scale.engine, parameters=parameters),
        structure_id=structure.id,
        name=name,
        value=value,
        unit=UNITS[name],
        fidelity=engine.fidelity,
        method=engine.scale.engine,
        parameters=parameters,
        energy_scale=engine.scale.to_dict() if name in _ENERGIES else None,
        activity_id=activity_id,
    )


def _values(start: Structure, outcome: Outcome) -> dict[str, float]:
    from genmat.validation.deviation import geometry_deviation

    relaxed = outcome.structure
    if relaxed is None:
        return {}
    change = geometry_deviation(start, relaxed)
    values = {
        "energy_per_atom": outcome.energy_per_atom,
        "band_gap": outcome.band_gap,
        "fmax": outcome.fmax,
        "smax": outcome.stress,
        "volume_per_atom": relaxed.volume / len(relaxed),
        "core_hours": outcome.core_hours,
        "rmsd_from_start": change.rmsd,
        "volume_change_from_start": change.volume_change,
        "bonds_changed_from_start": change.bonds_changed,
    }
    if outcome.magnetization is not None:
        values["magnetization"] = outcome.magnetization
    # A program that does not tell a stress leaves it out; the energy is there, or this is no outcome.
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _compared(outcome: Outcome, potential: str) -> dict[str, float]:
    """Return the comparison of forces, or nothing where the potential cannot be loaded: the engine's result stands."""
    try:
        return _force_values(outcome, potential)
    except GenmatError as err:
        logger.warning("forces are not compared with those of %s: %s", potential, err)
        return {}


def _force_values(outcome: Outcome, potential: str) -> dict[str, float]:
    """Return how a potential's forces and stresses differ from an engine's along its relaxation."""
    from genmat.models.calculation import calculate
    from genmat.validation.deviation import force_deviation
    from genmat.validation.engine import Frame
    from workflows.further import potential_model

    structures = [frame.structure for frame in outcome.path]
    found = calculate(structures, model=potential_model(potential))
    frames = [Frame(s, c.forces, c.stress) for s, c in zip(structures, found, strict=True)]
    change = force_deviation(outcome.path, frames)
    values = {
        "potential_force_mae": change.force_mae,
        "potential_stress_mae": change.stress_mae,
        "potential_force_slope": change.force_slope,
        "potential_stress_slope": change.stress_slope,
    }
    return {name: value for name, value in values.items() if value is not None}


def _last_geometry(folder: Path, structure: Structure) -> Structure | None:
    """Return where the attempts before this one got to, the latest first."""
    from genmat.validation.restart import earlier_attempts, last_geometry

    return next(
        (found for path in earlier_attempts(folder) if (found := last_geometry(path, structure)) is not None), None
    )


def competing_ids(composition: Any) -> list[str]:
    """Return the reference's phases that a composition competes with.

    Raises
    ------
    MissingReferenceError
        If the reference lacks an element.
    """
    from genmat.validation.competing import needed_phases
    from workflows.snapshot import base_hull

    return needed_phases(base_hull(current_reference()), composition)


def phase_structure(material_id: str) -> Structure:
    """Return a crystal of the reference.

    Raises
    ------
    MissingReferenceError
        If the reference keeps no structure of it.
    """
    from genmat.representation import to_structure

    reference = current_reference()
    crystal = reference.crystal(reference.row_of[material_id])
    if crystal is None:
        msg = f"the reference keeps no structure of {material_id}, so that it cannot be computed"
        raise MissingReferenceError(msg)
    return to_structure(crystal)


def labelled_references(scale: EnergyScale) -> list[Reference]:
    """Return the references whose energies are on an engine's scale: the campaigns' own, and that of stated ones."""
    named = (current_reference(), current_labels())
    return [reference for reference in named if reference is not None and reference.scale == scale]


def labelled_competitors(scale: EnergyScale, composition: Any) -> dict[str, Competitor]:
    """Return the labelled phases that a composition competes with among the stated energies of a scale."""
    from workflows.snapshot import label_hull

    labels, found = current_labels(), label_hull()
    if labels is None or found is None or labels.scale != scale:
        return {}
    try:
        phases = found.hull.decomposition(composition)
    except MissingReferenceError:
        return {}
    return _labelled(labels, (phase.material_id for phase in phases))


def _labelled(labels: Reference, material_ids: Iterable[str]) -> dict[str, Competitor]:
    """Return those of some phases that have a label."""
    from genmat.validation.competing import Competitor

    rows = [labels.row_of[name] for name in material_ids if name in labels.row_of]
    return {
        labels.material_ids[row]: Competitor(labels.material_ids[row], labels.formulas[row], energy, labels.scale)
        for row in rows
        if not math.isnan(energy := float(labels.energies[row]))
    }


def known_competitors(store: Store, engine: Engine, material_ids: Iterable[str]) -> dict[str, Competitor]:
    """Return those of some phases whose energy on an engine's scale is known: shipped, labelled or in the database.

    Labels are the energies of a reference on the engine's scale: the setting ``labels``, or ``reference`` itself.
    """
    from genmat.validation.competing import Competitor, shipped_competitors

    wanted = sorted(set(material_ids))
    scale: EnergyScale = engine.scale
    shipped = shipped_competitors(scale)
    known = {name: shipped[name] for name in wanted if name in shipped}
    for labels in labelled_references(scale):
        known |= _labelled(labels, wanted)
    reference = current_reference()
    for name in wanted:
        if name not in known and (stored := stored_computation(store, name, engine)) is not None:
            formula = reference.formulas[reference.row_of[name]]
            known[name] = Competitor(name, formula, stored.values["energy_per_atom"], scale)
    return known


def hull_distance(store: Store, engine: Engine, computed: Computed) -> tuple[float | None, str]:
    """Return the distance of a computed crystal to its competing phases, eV/atom, or ``None`` and why not.

    The second value names what it competes with.
    """
    from genmat.validation.competing import energy_above_mixture

    if computed.structure is None:
        return None, computed.detail
    composition = computed.structure.composition
    try:
        needed = competing_ids(composition)
        known = known_competitors(store, engine, needed)
        if missing := [name for name in needed if name not in known]:
            return None, f"no energy of the competing {', '.join(missing)} by {engine.name}"
        known |= labelled_competitors(engine.scale, composition)
        above = energy_above_mixture(
            composition, computed.values["energy_per_atom"], list(known.values()), scale=engine.scale
        )
    except GenmatError as err:
        return None, " ".join(str(err).split())
    return above, " + ".join(f"{phase.formula} ({name})" for name, phase in sorted(known.items()))
