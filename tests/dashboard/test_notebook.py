"""A campaign in a notebook, on the database of a real campaign."""

from __future__ import annotations

import time

import pytest
from matplotlib.figure import Figure

import genmat
from genmat.database.documents import PropertyDocument, StructureDocument
from genmat.database.store import connect
from genmat.errors import CampaignError, MissingReferenceError

pytestmark = pytest.mark.mongo


@pytest.fixture(scope="module")
def opened(settings, campaign):
    found = genmat.Campaign(campaign, settings=settings)
    yield found
    found.close()


def test_candidates_come_as_a_table_best_first(opened):
    table = opened.candidates()
    assert len(table) == 28
    ranks = table["rank"].dropna().tolist()
    assert ranks == sorted(ranks)
    assert table["rank"].notna()[: len(ranks)].all()
    assert set(opened.candidates(status="accepted")["status"]) == {"accepted"}


def test_funnel_narrows_from_stage_to_stage(opened):
    table = opened.funnel()
    for _, part in table.groupby("round"):
        assert (part["judged"] == part["passed"] + part["fallen"].map(lambda f: sum(f.values()))).all()
        assert (part["judged"].iloc[1:].to_numpy() == part["passed"].iloc[:-1].to_numpy()).all()


def test_structures_are_those_of_the_accepted_candidates(opened):
    table, found = opened.candidates(status="accepted"), opened.structures()
    assert list(found) == list(table.index)
    for identifier, structure in found.items():
        assert structure.composition.reduced_formula == table.loc[identifier, "formula"]


def test_hull_has_real_colours_and_says_what_it_needs(opened):
    figure = opened.hull("Li-O")
    assert "var(" not in figure.to_json()
    with pytest.raises(CampaignError, match="expected two or three"):
        opened.hull("Li-Na-K-O")
    with pytest.raises(CampaignError, match="not a chemical element"):
        opened.hull("Li-Xx")


def test_parity_pairs_a_crystal_with_what_dft_made_of_it(opened, settings, served, campaign):
    with pytest.raises(MissingReferenceError, match="validate some first"):
        opened.plot_parity()
    with connect(settings) as store:
        best = next(c for c in store.candidates.iterate({"campaign": campaign}) if c.rank == 1)
        parent = store.structures.require(best.relaxed_structure_id)
        child = StructureDocument.model_validate({**parent.model_dump(), "id": "dft", "parents": [parent.id]})
        value = PropertyDocument(
            id="by-dft",
            structure_id="dft",
            name="energy_above_hull",
            value=0.3,
            unit="eV/atom",
            fidelity="dft:pbe:gpaw",
            method="gpaw",
        )
        store.structures.insert_if_absent([child])
        store.properties.insert_if_absent([value])
        try:
            axes = opened.plot_parity(axes=Figure().add_subplot())
            ((x, y),) = axes.collections[0].get_offsets()
            assert (x, y) == pytest.approx((0.3, best.energy_above_hull))
            drawn = served.get(f"/api/v1/campaigns/{campaign}/figures/parity-energy_above_hull").json()
            assert drawn["data"][1]["x"] == [0.3]
            deadline = time.monotonic() + 60  # the page may be some seconds old
            while "Potential against DFT" not in served.get(f"/campaigns/{campaign}").text:
                assert time.monotonic() < deadline
                time.sleep(1)
        finally:
            store._session.delete("structures", ["dft"])
            store._session.delete("properties", ["by-dft"])


def test_an_unknown_campaign_names_the_nearest_one(settings, campaign):
    with pytest.raises(CampaignError, match="Did you mean 'salts'"):
        genmat.Campaign("slats", settings=settings)
    assert "Campaign" not in vars(genmat)
    with pytest.raises(AttributeError, match="no attribute 'Campagne'"):
        genmat.Campagne  # noqa: B018
