"""Two CHGNets judge one crystal, in a campaign."""

from __future__ import annotations

import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.campaign import Campaign
from genmat.database.documents import VerdictRecord
from genmat.database.store import connect
from genmat.errors import EnergyScaleError, PotentialError
from genmat.screening.verdict import Reason, Stage
from genmat.settings import Settings
from genmat.validation.vasp import Vasp
from workflows.chunk import plan_activity
from workflows.committee import committee_job
from workflows.run import create_campaign
from workflows.session import use_store
from workflows.snapshot import freeze
from workflows.validation import _option

from .conftest import put_on_target

CRYSTALS = {
    "salt": Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.697), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ).get_primitive_structure(),
    "stretched": Structure(Lattice.cubic(4.1), ["Li", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
}


def committee(**options: object) -> dict[str, object]:
    return {"name": "committee", "screen": {"further": {"committee": options}}}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    campaign = Campaign.from_dict(committee(max_spread=0.01), source="test")
    settings = Settings(data_folder=tmp_path_factory.mktemp("data"), mongod="/bin/false")
    with connect(settings) as store, use_store(store):
        used = put_on_target(store, campaign, CRYSTALS)
        freeze(store, "committee", round_number=0, structure_ids=[])
        activity = plan_activity("committee", 0, "committee", used)
        store.provenance.insert_if_absent([activity])
        for _ in range(2):  # at least once: a second run changes nothing
            committee_job.original(activity.id)
        yield store


def test_members_agree_on_salt_which_is_its_own_competing_phase(store):
    (_, verdict) = store.candidates.require("salt-draw").verdicts
    assert (verdict.stage, verdict.reason) == ("committee", "ok")
    for name in ("chgnet-0.3.0", "chgnet-0.2.0"):
        assert verdict.values[f"energy_above_hull_by_{name}"] == pytest.approx(0.0, abs=0.005)
    assert verdict.values["straddles_tolerance"] == "no"


def test_a_crystal_that_they_dispute_falls_with_the_numbers(store):
    draw = store.candidates.require("stretched-draw")
    assert (draw.status, draw.reason) == ("rejected", "disputed")
    values = draw.verdicts[-1].values
    apart = abs(values["energy_above_hull_by_chgnet-0.3.0"] - values["energy_above_hull_by_chgnet-0.2.0"])
    assert values["committee_energy_above_hull_spread"] == pytest.approx(apart)
    assert apart > 0.01
    assert "allowed spread 0.01 eV/atom" in draw.verdicts[-1].detail


def test_spreads_are_properties_with_unit_and_members(store):
    found = {value.name: value for value in store.properties.find({"structure_id": "salt"})}
    assert {name: value.unit for name, value in found.items()} == {
        "committee_energy_spread": "eV/atom",
        "committee_energy_above_hull_spread": "eV/atom",
        "committee_force_spread": "eV/Å",
    }
    assert found["committee_force_spread"].parameters["potentials"] == ["chgnet-0.2.0"]


@pytest.mark.parametrize("stage", [Stage.STABILITY, Stage.COMMITTEE])
def test_a_crystal_that_its_interval_or_the_members_put_on_both_sides_goes_to_first_principles(store, stage):
    draw = store.candidates.require("salt-draw")
    engine = Vasp(max_atoms=1)  # who it competes with does not matter here
    assert not _option(store, engine, draw, CRYSTALS["salt"], 0.1).straddles
    record = VerdictRecord(stage=stage, passed=True, reason=Reason.OK, values={"straddles_tolerance": "yes"})
    disputed = draw.model_copy(update={"verdicts": [*draw.verdicts, record]})
    assert _option(store, engine, disputed, CRYSTALS["salt"], 0.1).straddles


@pytest.mark.parametrize(
    ("members", "error", "text"),
    [
        (["chgnet-r2scan"], EnergyScaleError, "expected one functional"),
        (["chgnet-0.2"], PotentialError, "Did you mean 'chgnet-0.2.0'"),
    ],
)
def test_a_committee_that_cannot_be_is_refused_when_the_campaign_starts(store, members, error, text):
    campaign = Campaign.from_dict({**committee(potentials=members), "name": "refused"}, source="test")
    with pytest.raises(error, match=text):
        create_campaign(store, campaign)
    assert store.campaigns.get("refused") is None
