"""Other campaigns that accepted a crystal are told, found by an index, and change nothing."""

from __future__ import annotations

import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from genmat.database.documents import CandidateStatus, StructureDocument
from genmat.database.sightings import LIMIT, sightings
from genmat.database.store import connect
from genmat.database.story import tell
from genmat.settings import Settings

ROCK_SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5] * 3])
CAESIUM = Structure(Lattice.cubic(3.4), ["Na", "Cl"], [[0] * 3, [0.5] * 3])


@pytest.fixture
def add(store, make_candidates):
    """Return what adds a candidate that was relaxed to a crystal."""

    def adder(campaign, crystal, *, name, status=CandidateStatus.ACCEPTED, **fields):
        store.structures.insert_if_absent([StructureDocument.from_structure(crystal, identifier=f"s-{name}")])
        common = {"campaign": campaign, "status": status, "relaxed_structure_id": f"s-{name}", "formula_pretty": "NaCl"}
        (draft,) = make_candidates(1, **(common | fields))
        store.candidates.insert_if_absent([draft.model_copy(update={"id": name})])
        return store.candidates.require(name)

    return adder


def test_another_campaign_that_accepted_the_crystal_in_another_cell_is_told(store, add):
    primitive = ROCK_SALT.get_primitive_structure().scale_lattice(42.0)
    mine = add("mine", primitive, name="a", status=CandidateStatus.ACTIVE)
    add("other", ROCK_SALT, name="b", rank=3)
    (found,) = sightings(store, mine)
    assert (found["campaign"], found["candidate_id"], found["round"], found["rank"]) == ("other", "b", 1, 3)
    assert "StructureMatcher" in found["evidence"]
    assert tell(store, "a")["also_found_by"] == [found]


@pytest.mark.parametrize(
    ("campaign", "crystal", "fields"),
    [
        ("mine", ROCK_SALT, {}),
        ("other", CAESIUM, {}),
        ("other", ROCK_SALT, {"status": CandidateStatus.REJECTED}),
        ("other", ROCK_SALT, {"formula_pretty": "KCl"}),
        ("other", ROCK_SALT, {"relaxed_structure_id": None}),
        ("other", ROCK_SALT, {"relaxed_structure_id": "lost"}),
    ],
    ids=["own campaign", "another crystal", "rejected", "another formula", "no structure", "structure is gone"],
)
def test_nothing_else_is_told(store, add, campaign, crystal, fields):
    mine = add("mine", ROCK_SALT, name="a")
    add(campaign, crystal, name="b", **fields)
    assert sightings(store, mine) == []


def test_a_draw_without_a_structure_was_seen_nowhere(store, make_candidates):
    store.candidates.insert_if_absent(make_candidates(1))
    assert tell(store, "c00000")["also_found_by"] == []


def test_telling_writes_nothing_and_a_later_campaign_is_known_without_a_rerun(store, add):
    mine = add("mine", ROCK_SALT, name="a")
    assert sightings(store, mine) == []
    add("later", ROCK_SALT, name="b")
    before = store.candidates.find(sort=(("_id", 1),))
    assert [found["campaign"] for found in sightings(store, mine)] == ["later"]
    assert [found["campaign"] for found in sightings(store, mine)] == ["later"]
    assert store.candidates.find(sort=(("_id", 1),)) == before


@pytest.mark.mongo
def test_the_question_is_answered_by_an_index_without_sorting(shared_server):
    with connect(Settings(database_uri=f"{shared_server.uri}/by-uri")) as store:
        criteria = {"formula_pretty": "NaCl", "status": "accepted", "campaign": {"$ne": "mine"}}
        plan = store._session.run(
            lambda database: (
                database["candidates"].find(criteria).sort([("campaign", 1), ("_id", 1)]).limit(LIMIT).explain()
            )
        )["queryPlanner"]["winningPlan"]
    assert "COLLSCAN" not in str(plan)
    assert "'stage': 'SORT'" not in str(plan)
    assert "formula_pretty_1_status_1_campaign_1__id_1" in str(plan)
