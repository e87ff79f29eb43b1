"""What a relaxation by a potential becomes: a structure, its energy and trajectory, and a verdict."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from genmat.database.candidates import Decision
from genmat.database.documents import PropertyDocument
from workflows.identity import property_id, relaxed_structure_id

if TYPE_CHECKING:
    from genmat.campaign import Campaign
    from genmat.database.documents import CandidateDocument, StructureDocument
    from genmat.models.potentials import Potential
    from genmat.models.protocol import Relaxation, RelaxProtocol
    from genmat.screening.verdict import Verdict
    from workflows.chunk import Work
    from workflows.description import Described

SADDLE = 0.01
"""Energy whose loss after a displacement is told, eV/atom; less may be what the symmetric stage had left."""

_UNITS = {
    "energy_per_atom": "eV/atom",
    "energy_above_hull": "eV/atom",
    "energy_above_own_hull": "eV/atom",
    "energy_above_dft_hull": "eV/atom",
    "formation_energy_per_atom": "eV/atom",
    "fmax": "eV/Å",
    "smax": "GPa",
    "volume_per_atom": "Å^3/atom",
    "density": "g/cm^3",
    "bulk_modulus": "GPa",
    "bulk_modulus_pressure_derivative": "1",
}
_ENERGIES = (
    "energy_per_atom",
    "energy_above_hull",
    "energy_above_own_hull",
    "energy_above_dft_hull",
    "formation_energy_per_atom",
)


def relax_protocol(campaign: Campaign) -> RelaxProtocol:
    """Return how a campaign relaxes its candidates."""
    from genmat.models.protocol import RelaxProtocol

    asked = campaign.screen.relax
    return RelaxProtocol(fmax=asked.fmax, smax=asked.smax, max_steps=asked.max_steps, rattle=asked.rattle)


def write_relaxation(
    work: Work, candidate: CandidateDocument, relaxation: Relaxation, *, potential: Potential, protocol: RelaxProtocol
) -> None:
    """Write the relaxed structure, its energy and trajectory, and last the verdict that makes them count."""
    from workflows.description import describe, structure_document

    described = describe(relaxation.structure)
    proposed = work.store.structures.require(str(candidate.structure_id)).space_group_number
    verdict = relaxation_verdict(work.campaign, relaxation, described, proposed=proposed)
    fields: dict[str, Any] = {}
    if math.isfinite(relaxation.energy):
        parent = str(candidate.structure_id)
        identifier = relaxed_structure_id(parent, protocol=protocol, potential=potential)
        document = structure_document(described, identifier=identifier, parents=[parent])
        work.store.structures.insert_if_absent([document])
        values = {"energy_per_atom": relaxation.energy_per_atom, "fmax": relaxation.fmax, "smax": relaxation.smax}
        parameters = {**protocol.to_dict(), "n_steps": relaxation.n_steps, "converged": relaxation.converged}
        work.store.properties.insert_if_absent(
            potential_properties(work, document, values, potential, protocol.to_dict(), parameters)
        )
        trajectory = {"energies": list(relaxation.energies), "volumes": list(relaxation.volumes)}
        work.store.trajectories.put(identifier, trajectory)
        fields = {
            "relaxed_structure_id": identifier,
            "relaxed_content_hash": document.content_hash,
            "space_group_number": document.space_group_number,
        }
    work.store.candidates.record([Decision(candidate.id, work.record(verdict), fields)])


def relaxation_verdict(
    campaign: Campaign, relaxation: Relaxation, described: Described, *, proposed: int | None
) -> Verdict:
    """Return whether a relaxation can be used: converged, not blown up, no atoms on top of each other."""
    from genmat.models.protocol import Failure
    from genmat.screening.validity import check_validity
    from genmat.screening.verdict import Reason, Stage, Verdict

    reasons = {
        Failure.UNSUPPORTED_ELEMENT: Reason.UNSUPPORTED_ELEMENT,
        Failure.NOT_FINITE: Reason.RELAXATION_FAILED,
        Failure.EVALUATION_FAILED: Reason.RELAXATION_FAILED,
        Failure.VOLUME_COLLAPSED: Reason.EXPLODED,
        Failure.VOLUME_EXPLODED: Reason.EXPLODED,
        Failure.NOT_CONVERGED: Reason.NOT_CONVERGED,
    }
    values: dict[str, float | str] = {
        "fmax": relaxation.fmax,
        "smax": relaxation.smax,
        "n_steps": relaxation.n_steps,
        "space_group_number": described.space_group_number or 0,
        "space_group_number_proposed": proposed or 0,
    }
    if relaxation.rattle_gain is not None:
        values["rattle_gain"] = relaxation.rattle_gain
    if relaxation.failure is not None:
        detail = f"{relaxation.failure.value} after {relaxation.n_steps} steps, fmax {relaxation.fmax:.3g} eV/Å"
        return Verdict.reject(Stage.RELAX, reasons[relaxation.failure], detail, **values)
    change = relaxation.volumes[-1] / relaxation.volumes[0] - 1.0
    values["volume_change"] = change
    limit = campaign.screen.max_volume_change
    if limit is not None and abs(change) > limit:
        detail = f"volume changed by {change:+.1%}, allowed ±{limit:.1%}"
        return Verdict.reject(Stage.RELAX, Reason.VOLUME_CHANGED, detail, **values)
    if described.crystal is None:
        detail = "the relaxed crystal has no symmetry representation"
        return Verdict.reject(Stage.RELAX, Reason.NO_REPRESENTATION, detail, **values)
    gates = campaign.screen.gates.model_copy(update={"charge_neutral": False})
    again = check_validity(relaxation.structure, gates=gates, stage=Stage.RELAX)
    if not again.passed:
        return replace(again, values={**values, **again.values})
    detail = f"{relaxation.n_steps} steps, fmax {relaxation.fmax:.3f} eV/Å, volume {change:+.1%}"
    if proposed != described.space_group_number:
        detail += f", space group {proposed} became {described.space_group_number}"
    if (relaxation.rattle_gain or 0.0) > SADDLE:
        detail += f", {relaxation.rattle_gain:.3f} eV/atom lower than when it was displaced"
    return Verdict.accept(Stage.RELAX, detail, **values)


def potential_properties(
    work: Work,
    structure: StructureDocument,
    values: dict[str, float],
    potential: Potential,
    causes: dict[str, Any],
    parameters: dict[str, Any],
) -> list[PropertyDocument]:
    """Return a document for each value; ``causes`` make its id, ``parameters`` are stored with it."""
    return [
        PropertyDocument(
            id=property_id(structure.id, name=name, method=potential.name, parameters=causes),
            structure_id=structure.id,
            name=name,
            value=value,
            unit=_UNITS[name],
            fidelity=f"mlip:{potential.name}",
            method=potential.name,
            parameters=parameters,
            energy_scale=potential.scale.to_dict() if name in _ENERGIES else None,
            activity_id=work.activity.id,
        )
        for name, value in values.items()
    ]
