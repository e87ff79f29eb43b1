"""Ask further potentials about what is on target, on the geometry that the campaign's potential found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from jobflow.core.job import Job, job
from jobflow.core.maker import Maker

from genmat.errors import MissingReferenceError
from workflows.further import Judged, judge_chunk, potential_model

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.core.structure import Structure

    from genmat.reference.hull import Phase
    from genmat.screening.committee import Opinion
    from workflows.chunk import Work


@dataclass
class CommitteeMaker(Maker):
    """Opinions of further potentials on the candidates of one chunk that are on target.

    1. ``committee``: energies, forces and distances to the hull by each member; writes their spreads; where the
       campaign limits them, ``disputed`` falls.
    """

    name: str = "committee"

    def make(self, activity_id: str, before: Any = None) -> Job:
        """Return the job of a chunk; ``before`` is only waited for."""
        return committee_job(activity_id, before)


@job(name="committee")
def committee_job(activity_id: str, before: Any = None) -> dict[str, Any]:
    """Ask the committee about a chunk's candidates."""
    del before
    return judge_chunk(activity_id, "committee", judge_committee)


def judge_committee(work: Work, structure: Structure) -> Judged:
    """Return how far the members lie apart on a relaxed crystal and its competing phases."""
    from genmat.screening.committee import spread
    from genmat.screening.verdict import Reason, Stage, Verdict

    screen = work.campaign.screen
    settings = screen.further.committee
    if settings is None:
        msg = f"campaign {work.campaign.name!r} asks for no committee"
        raise ValueError(msg)
    phases = work.snapshot().hull.decomposition(structure.composition)
    try:
        competitors = [_phase_structure(work, phase.material_id) for phase in phases]
    except MissingReferenceError as err:
        return Judged(Verdict.accept(Stage.COMMITTEE, f"nobody was asked: {err}"))
    ask = partial(_opinion, structure=structure, phases=phases, competitors=competitors)
    opinions = {name: ask(name) for name in (screen.potential, *settings.potentials)}
    found = spread(list(opinions.values()), tolerance=screen.hull_tolerance)
    properties = {
        "committee_energy_spread": found.energy,
        "committee_energy_above_hull_spread": found.energy_above_hull,
        "committee_force_spread": found.force,
    }
    values: dict[str, float | str] = {
        **properties,
        **{f"energy_above_hull_by_{name}": opinion.energy_above_hull for name, opinion in opinions.items()},
        "straddles_tolerance": "yes" if found.straddles else "no",
    }
    by_name = ", ".join(f"{opinion.energy_above_hull:.3f} by {name}" for name, opinion in opinions.items())
    detail = f"{by_name} eV/atom above the hull on one geometry; forces apart by {found.force:.2f} eV/Å"
    if settings.max_spread is not None and found.energy_above_hull > settings.max_spread:
        detail += f"; allowed spread {settings.max_spread:g} eV/atom"
        return Judged(Verdict.reject(Stage.COMMITTEE, Reason.DISPUTED, detail, **values), properties)
    return Judged(Verdict.accept(Stage.COMMITTEE, detail, **values), properties)


def _opinion(
    name: str, *, structure: Structure, phases: list[Phase], competitors: list[tuple[str, Structure]]
) -> Opinion:
    from genmat.screening.committee import Opinion, energy_above_phases

    energy, forces = _asked(name, structure)
    mixture = [(phase.fraction, _phase_energy(name, *known)) for phase, known in zip(phases, competitors, strict=True)]
    return Opinion(energy, energy_above_phases(energy, mixture), forces)


def _asked(name: str, structure: Structure) -> tuple[float, NDArray[Any]]:
    """Return the energy of a crystal by a potential, corrections included (eV/atom), and the forces (eV/Å)."""
    from genmat.models.calculation import calculate
    from genmat.models.potentials import get_potential

    (found,) = calculate([structure], model=potential_model(name))
    return (found.energy + get_potential(name).correction(structure)) / len(structure), found.forces


def _phase_structure(work: Work, identifier: str) -> tuple[str, Structure]:
    """Return the geometry of a phase by its id: a crystal of the reference, or a survivor of an earlier round."""
    from workflows.computation import phase_structure

    survivor = work.store.structures.get(identifier)
    return identifier, phase_structure(identifier) if survivor is None else survivor.to_structure()


_ENERGIES: dict[tuple[str, str], float] = {}
"""Energies of phases by potential and id: many candidates of a chunk compete with the same ones."""


def _phase_energy(potential: str, identifier: str, structure: Structure) -> float:
    """Return the energy of a phase by a potential, eV/atom."""
    key = (potential, identifier)
    if key not in _ENERGIES:
        _ENERGIES[key], _ = _asked(potential, structure)
    return _ENERGIES[key]
