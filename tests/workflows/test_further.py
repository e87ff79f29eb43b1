"""Opt-in tests of what is on target, in a campaign."""

from __future__ import annotations

import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.campaign import Campaign
from genmat.campaign.screen import ElasticGate, Further, MolecularDynamicsGate, PhononGate
from genmat.database.store import connect
from genmat.settings import Settings
from workflows.chunk import ASSESS, PRESCREEN, RELAX, STATIC, Chunk, plan_activity
from workflows.further import UNITS, elastic_job, equation_of_state_job, phonon_job
from workflows.prescreen import PrescreenMaker
from workflows.session import use_store

from .conftest import put_on_target

CRYSTALS = {
    "salt": Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.697), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ).get_primitive_structure(),
    "titanium": Structure(Lattice.cubic(3.27), ["Ti", "Ti"], [[0, 0, 0], [0.5, 0.5, 0.5]]).get_primitive_structure(),
}


JOBS = {"equation_of_state": equation_of_state_job, "elastic": elastic_job, "phonon": phonon_job}


def test_nothing_further_is_done_unless_it_is_asked_for():
    assert Further().asked == ()
    assert Further(phonon=PhononGate(), elastic=ElasticGate()).asked == ("elastic", "phonon")
    assert MolecularDynamicsGate().temperatures == (300.0,)


def test_a_chunk_has_a_job_for_each_stage_in_their_order():
    stages = (STATIC, RELAX, ASSESS, "committee", *JOBS, "molecular_dynamics", "thermal_expansion")
    flow = PrescreenMaker().make(Chunk("name", 0, PRESCREEN, tuple(f"{s}-id" for s in stages), stages))
    assert [job.name for job in flow.jobs] == list(stages)
    plain = PrescreenMaker().make(Chunk("name", 0, PRESCREEN, ("a", "b")))
    assert [job.name for job in plain.jobs] == [RELAX, ASSESS]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Return a store in this process with salt and bcc titanium on target, judged by three jobs one after the other."""
    further = {**{name: {} for name in JOBS}, "phonon": {"min_length": 5.0}}
    campaign = Campaign.from_dict({"name": "further", "screen": {"further": further}}, source="test")
    settings = Settings(data_folder=tmp_path_factory.mktemp("data"), mongod="/bin/false")
    with connect(settings) as store, use_store(store):
        used = put_on_target(store, campaign, CRYSTALS)
        for stage, job in JOBS.items():
            activity = plan_activity("further", 0, stage, used)
            store.provenance.insert_if_absent([activity])
            for _ in range(2):  # at least once: a second run changes nothing
                job.original(activity.id)
        yield store


def test_salt_passes_and_titanium_falls_at_the_first_test_that_it_fails(store):
    salt, titanium = (store.candidates.require(f"{name}-draw") for name in CRYSTALS)
    assert [(v.stage, v.reason) for v in salt.verdicts] == [(stage, "ok") for stage in ("target", *JOBS)]
    assert salt.status == "active"
    assert titanium.status == "rejected"
    assert titanium.reason == "mechanically_unstable"
    assert "smallest eigenvalue of the elastic tensor -" in titanium.verdicts[-1].detail


def test_numbers_are_properties_with_unit_and_fidelity(store):
    found = list(store.properties.find({"structure_id": "salt"}))
    assert {value.name for value in found} == {
        "bulk_modulus_eos",
        "bulk_modulus_pressure_derivative_eos",
        "bulk_modulus_vrh",
        "shear_modulus_vrh",
        "smallest_elastic_eigenvalue",
        "min_phonon_frequency",
        "max_phonon_frequency",
        "gamma_min_phonon_frequency",
    }
    for value in found:
        assert value.unit == UNITS[value.name]
        assert value.fidelity == "mlip:chgnet-0.3.0"
        assert value.parameters["relaxed_fmax"] == 0.005


def test_the_equation_of_state_and_the_elastic_tensor_agree_on_the_bulk_modulus(store):
    found = {value.name: value.value for value in store.properties.find({"structure_id": "salt"})}
    assert found["bulk_modulus_eos"] == pytest.approx(found["bulk_modulus_vrh"], rel=0.2)
