"""What is refused before a campaign begins, how relaxations become verdicts, and what a job that dies has written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.campaign import Campaign
from genmat.database.documents import CampaignDocument, CandidateDocument, RoundState
from genmat.database.store import connect
from genmat.errors import EnergyScaleError
from genmat.models.potentials import get_potential
from genmat.models.protocol import Failure, Relaxation
from genmat.models.relaxation import relax
from genmat.reference.io import load_reference
from genmat.screening.verdict import Reason, Stage
from genmat.settings import Settings
from workflows.chunk import PRESCREEN, RELAX, plan_activity
from workflows.description import describe, structure_document
from workflows.prescreen import relax_job
from workflows.relaxation import relaxation_verdict
from workflows.run import check_judgeable
from workflows.session import use_store

SALT = Structure(Lattice.cubic(4.0), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
REASONS = {
    Failure.UNSUPPORTED_ELEMENT: Reason.UNSUPPORTED_ELEMENT,
    Failure.NOT_FINITE: Reason.RELAXATION_FAILED,
    Failure.VOLUME_COLLAPSED: Reason.EXPLODED,
    Failure.VOLUME_EXPLODED: Reason.EXPLODED,
    Failure.NOT_CONVERGED: Reason.NOT_CONVERGED,
    Failure.EVALUATION_FAILED: Reason.RELAXATION_FAILED,
}


@pytest.mark.parametrize("name", ["chgnet-0.2.0", "chgnet-r2scan", "lennard-jones"])
def test_a_potential_on_another_scale_than_the_hull_is_refused_at_the_start(name):
    scale = load_reference().scale
    check_judgeable(get_potential("chgnet-0.3.0"), scale)
    with pytest.raises(EnergyScaleError, match=rf"screen.potential {name} gives energies on the scale .* on chgnet-0"):
        check_judgeable(get_potential(name), scale)


def relaxed(structure: Structure, *, failure: Failure | None = None, grown: float = 1.0) -> Relaxation:
    """Return the outcome of seven steps that changed the volume by a factor."""
    volume = structure.volume / len(structure)
    return Relaxation(
        structure, -6.0, 0.04, 0.1, 7, failure is None, failure, energies=(-2.0, -3.0), volumes=(volume, grown * volume)
    )


def judged(outcome: Relaxation, *, proposed: int = 221, **screen: object):
    campaign = Campaign.from_dict({"name": "judged", "screen": screen}, source="test")
    return relaxation_verdict(campaign, outcome, describe(outcome.structure), proposed=proposed)


@pytest.mark.parametrize("failure", list(Failure))
def test_every_failure_of_a_relaxation_rejects_for_its_reason(failure):
    verdict = judged(relaxed(SALT, failure=failure))
    assert (verdict.stage, verdict.passed, verdict.reason) == (Stage.RELAX, False, REASONS[failure])
    assert verdict.detail == f"{failure.value} after 7 steps, fmax 0.04 eV/Å"
    assert verdict.values["n_steps"] == 7


def test_what_kept_its_space_group_passes_without_a_word_about_it():
    verdict = judged(relaxed(SALT))
    assert verdict.passed
    assert "space group" not in verdict.detail
    assert verdict.values["space_group_number"] == verdict.values["space_group_number_proposed"] == 221


def test_another_space_group_passes_with_both_numbers():
    verdict = judged(relaxed(SALT), proposed=99)
    assert verdict.passed
    assert verdict.detail.endswith("space group 99 became 221")
    assert (verdict.values["space_group_number_proposed"], verdict.values["space_group_number"]) == (99, 221)


def test_what_a_displacement_gained_is_told_beyond_what_the_symmetric_stage_left():
    assert "when it was displaced" not in judged(replace(relaxed(SALT), rattle_gain=0.009)).detail
    verdict = judged(replace(relaxed(SALT), rattle_gain=0.25))
    assert "0.250 eV/atom lower than when it was displaced" in verdict.detail
    assert verdict.values["rattle_gain"] == 0.25


@pytest.mark.parametrize("grown", [1.25, 0.75])
def test_a_volume_that_changed_beyond_the_limit_rejects(grown):
    assert judged(relaxed(SALT, grown=grown), max_volume_change=0.3).passed
    assert judged(relaxed(SALT, grown=grown), max_volume_change=None).passed
    verdict = judged(relaxed(SALT, grown=grown), max_volume_change=0.2)
    assert verdict.reason is Reason.VOLUME_CHANGED
    assert verdict.detail == f"volume changed by {grown - 1:+.1%}, allowed ±20.0%"
    assert verdict.values["volume_change"] == pytest.approx(grown - 1)


def test_a_relaxed_crystal_without_representation_rejects():
    merged = Structure(Lattice.cubic(4.0), ["Na", "Na"], [[0, 0, 0], [0, 0, 0]])
    assert describe(merged).crystal is None
    verdict = judged(relaxed(merged))
    assert verdict.reason is Reason.NO_REPRESENTATION
    assert verdict.values["space_group_number"] == 0


def test_atoms_that_relaxed_into_each_other_reject_in_the_stage_of_relaxation():
    close = Structure(Lattice.cubic(4.0), ["Na", "Cl"], [[0, 0, 0], [0.1, 0.1, 0.1]])
    verdict = judged(relaxed(close))
    assert (verdict.stage, verdict.reason) == (Stage.RELAX, Reason.TOO_CLOSE)
    assert verdict.values["min_distance"] == pytest.approx(0.4 * 3**0.5)
    assert (verdict.values["n_steps"], verdict.values["space_group_number_proposed"]) == (7, 221)


class Dying:
    """Argon's Lennard-Jones in this process, which dies after some outcomes."""

    def __init__(self, lives: int) -> None:
        self.potential = get_potential("lennard-jones")
        self.lives = lives
        self.asked: list[set[str]] = []

    def relax(self, structures, *, missing, protocol):
        self.asked.append(set(missing))
        names, elements = list(structures), self.potential.atomic_numbers
        outcomes = relax(
            list(structures.values()), model=self.potential.load(), protocol=protocol, atomic_numbers=elements
        )
        for position, outcome in outcomes:
            if self.lives == 0:
                msg = "the process died"
                raise RuntimeError(msg)
            self.lives -= 1
            yield names[position], outcome


def test_what_is_relaxed_before_a_job_dies_is_kept_and_not_asked_for_again(tmp_path, monkeypatch):
    campaign = Campaign.from_dict({"name": "dying", "screen": {"potential": "lennard-jones"}}, source="test")
    names = [f"calcium-{k}" for k in range(3)]
    with connect(Settings(data_folder=tmp_path, mongod="/bin/false")) as store, use_store(store):
        rounds = [RoundState(round=0, phase=PRESCREEN)]
        record = {"config": campaign.to_dict(), "config_hash": campaign.config_hash, "code_version": "0.1.0"}
        store.campaigns.create(CampaignDocument(id=campaign.name, rounds=rounds, **record))
        for place, name in enumerate(names):
            cell = Structure.from_spacegroup(225, Lattice.cubic(5.2 + 0.1 * place), ["Ca"], [[0, 0, 0]])
            drawn = structure_document(describe(cell.get_primitive_structure()), identifier=f"{name}-drawn", parents=[])
            store.structures.insert_if_absent([drawn])
            draw = {"round": 0, "index": place, "generator": "template", "generator_hash": "0", "seed": 0}
            candidate = CandidateDocument(id=name, campaign=campaign.name, structure_id=drawn.id, **draw)
            store.candidates.insert_if_absent([candidate])
        activity = plan_activity(campaign.name, 0, RELAX, names)
        store.provenance.insert_if_absent([activity])
        pool = Dying(lives=1)
        monkeypatch.setattr("workflows.prescreen.potential_pool", lambda _: pool)

        with pytest.raises(RuntimeError, match="the process died"):
            relax_job.original(activity.id)
        (first,) = (c for c in store.candidates.get_many(names).values() if c.verdicts)
        assert [(v.stage, v.passed) for v in first.verdicts] == [(Stage.RELAX, True)]
        assert store.structures.require(first.relaxed_structure_id).parents == [f"{first.id}-drawn"]
        found = store.properties.find({"structure_id": first.relaxed_structure_id})
        assert {value.name for value in found} == {"energy_per_atom", "fmax", "smax"}
        assert store.trajectories.get(first.relaxed_structure_id)["energies"]
        assert [a.outcome for a in store.provenance.require(activity.id).attempts] == ["failed"]

        pool.lives = len(names)
        relax_job.original(activity.id)
        assert pool.asked == [set(names), set(names) - {first.id}]
        assert store.candidates.require(first.id) == first
        done = store.provenance.require(activity.id)
        assert done.counts == {"ok": 3}
        assert len(done.generated) == 3
