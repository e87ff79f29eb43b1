"""The contract of every database: the URI of a MongoDB, the private mongod, the store in this process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import chain

import pytest
from pymatgen.core import Lattice, Structure

from genmat.database.candidates import SORTABLE, CandidateQuery, Decision
from genmat.database.documents import (
    ActivityDocument,
    CandidateStatus,
    ModelDocument,
    PropertyDocument,
    StructureDocument,
    VerdictRecord,
)
from genmat.database.store import connect
from genmat.errors import DatabaseError
from genmat.settings import Settings

ROCK_SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
TOO_CLOSE = VerdictRecord(stage="validity", passed=False, reason="too_close", values={"distance_A": 0.3})
VALID = VerdictRecord(stage="validity", passed=True, reason="ok")


def test_inserting_twice_inserts_once(store, make_candidates):
    candidates = make_candidates(20)
    assert store.candidates.insert_if_absent(candidates) == [entry.id for entry in candidates]
    assert store.candidates.insert_if_absent(candidates) == []
    assert store.candidates.count() == 20


def test_inserting_reports_only_the_absent_ones(store, make_candidates):
    store.candidates.insert_if_absent(make_candidates(3))
    assert store.candidates.insert_if_absent(make_candidates(5)) == ["c00003", "c00004"]


def test_an_existing_document_is_not_changed_by_an_insert(store, make_candidates):
    store.candidates.insert_if_absent(make_candidates(1, score=1.0))
    store.candidates.insert_if_absent(make_candidates(1, score=2.0))
    assert store.candidates.require("c00000").score == 1.0


def test_sixteen_threads_that_insert_the_same_documents_insert_each_once(store, make_candidates):
    candidates = make_candidates(200)
    with ThreadPoolExecutor(16) as pool:
        new = list(pool.map(lambda _: store.candidates.insert_if_absent(candidates), range(16)))
    assert sorted(chain.from_iterable(new)) == [entry.id for entry in candidates]
    assert store.candidates.count() == 200


def test_a_document_comes_back_equal(store):
    written = StructureDocument.from_structure(ROCK_SALT, identifier="s1", space_group_number=225, gene="225:Cl.a,Na.b")
    store.structures.insert_if_absent([written])
    assert store.structures.require("s1") == written


def test_a_structure_comes_back_with_the_same_floats(store):
    store.structures.insert_if_absent([StructureDocument.from_structure(ROCK_SALT, identifier="s1")])
    structure = store.structures.require("s1").to_structure()
    assert structure.lattice.matrix.tolist() == ROCK_SALT.lattice.matrix.tolist()
    assert structure.frac_coords.tolist() == ROCK_SALT.frac_coords.tolist()
    assert [site.specie.symbol for site in structure] == [site.specie.symbol for site in ROCK_SALT]


def test_putting_replaces_the_whole_document(store):
    model = ModelDocument(
        id="m-1", name="m", version="1", kind="potential", sha256="0" * 64, license="MIT", location="wheel"
    )
    store.models.put([model])
    store.models.put([model.model_copy(update={"location": "file", "metrics": {"mae": 0.02}})])
    assert store.models.require("m-1").location == "file"
    assert store.models.count() == 1


def test_keys_with_dots_and_dollars_come_back(store, make_candidates):
    origin = {"weights": {"225:Cl.a,Na.b": 0.5, "$set": 1.0}}
    store.candidates.insert_if_absent(make_candidates(1, origin=origin))
    assert store.candidates.require("c00000").origin == origin


def test_setting_fields_twice_changes_once(store, make_candidates):
    store.candidates.insert_if_absent(make_candidates(3))
    change = {"c00001": {"rank": 1, "properties": {"density": 2.1}}, "absent": {"rank": 2}}
    assert store.candidates.set_fields(change) == 1
    assert store.candidates.set_fields(change) == 0
    assert store.candidates.require("c00001").rank == 1
    assert store.candidates.get("absent") is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rnak": 1}, "no field 'rnak' to set. Did you mean 'rank'"),
        ({"rank": 0}, "greater than or equal to 1"),
        ({"id": "other"}, "no field 'id'"),
        ({"score": float("nan")}, "finite"),
    ],
)
def test_setting_a_wrong_field_is_refused(store, make_candidates, fields, message):
    store.candidates.insert_if_absent(make_candidates(1))
    with pytest.raises(DatabaseError, match=message):
        store.candidates.set_fields({"c00000": fields})


def test_documents_come_in_the_order_asked_for(store, make_candidates):
    store.candidates.insert_if_absent(make_candidates(4))
    assert list(store.candidates.get_many(["c00003", "absent", "c00001"])) == ["c00003", "c00001"]


def test_iterating_reaches_every_document_once_over_several_pages(store, make_candidates):
    candidates = make_candidates(1203)
    store.candidates.insert_if_absent(reversed(candidates))
    assert [entry.id for entry in store.candidates.iterate()] == [entry.id for entry in candidates]


def test_projecting_returns_the_fields_asked_for(store, make_candidates):
    store.candidates.insert_if_absent(make_candidates(2, formula_pretty="NaCl"))
    rows = list(store.candidates.project({"index": 1}, ["formula_pretty", "rank"]))
    assert rows == [{"id": "c00001", "formula_pretty": "NaCl", "rank": None}]


def test_an_id_may_be_shortened_while_it_is_unambiguous(store, make_candidates):
    store.candidates.insert_if_absent(make_candidates(12))
    assert store.candidates.resolve("c00011") == "c00011"
    with pytest.raises(DatabaseError, match="several, such as c0000"):
        store.candidates.resolve("c0000")
    with pytest.raises(DatabaseError, match="found none"):
        store.candidates.resolve("zz")


def test_a_verdict_of_a_stage_is_recorded_once(store, make_candidates):
    store.candidates.insert_if_absent(make_candidates(2))
    first = [Decision("c00000", TOO_CLOSE, {"energy_above_hull": 0.1}), Decision("c00001", VALID)]
    assert store.candidates.record(first) == 2
    changed_mind = VerdictRecord(stage="validity", passed=True, reason="ok", detail="later")
    assert store.candidates.record([Decision("c00000", changed_mind, {"energy_above_hull": 0.2})]) == 0
    rejected = store.candidates.require("c00000")
    assert rejected.verdicts == [TOO_CLOSE]
    assert (rejected.status, rejected.reason, rejected.energy_above_hull) == ("rejected", "too_close", 0.1)
    assert store.candidates.require("c00001").status is CandidateStatus.ACTIVE


def test_sixteen_threads_record_one_verdict(store, make_candidates):
    store.candidates.insert_if_absent(make_candidates(20))
    decisions = [Decision(entry.id, TOO_CLOSE) for entry in make_candidates(20)]
    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(lambda _: store.candidates.record(decisions), range(16))) == 20
    assert all(entry.verdicts == [TOO_CLOSE] for entry in store.candidates.iterate())


def test_a_verdict_with_an_infinite_number_is_kept_as_text(store, make_candidates):
    store.candidates.insert_if_absent(make_candidates(1))
    exploded = VerdictRecord(stage="relax", passed=False, reason="exploded", values={"fmax": float("inf")})
    store.candidates.record([Decision("c00000", exploded)])
    assert store.candidates.require("c00000").verdicts[0].values == {"fmax": "inf"}


def test_undecided_candidates_come_by_round_and_index(store, make_candidates):
    store.candidates.insert_if_absent(make_candidates(3))
    later = [entry.model_copy(update={"id": "b" + entry.id, "round": 1}) for entry in make_candidates(1)]
    store.candidates.insert_if_absent(later)
    store.candidates.record([Decision("c00001", VALID), Decision("c00002", TOO_CLOSE)])
    assert store.candidates.undecided("halides", stage="validity") == ["c00000", "bc00000"]
    assert store.candidates.undecided("halides", stage="relax", round_number=0) == ["c00000", "c00001"]


def test_the_funnel_counts_outcomes_by_round_and_stage(store, make_candidates):
    store.candidates.insert_if_absent(make_candidates(5))
    store.candidates.record([Decision(f"c0000{number}", TOO_CLOSE if number < 2 else VALID) for number in range(5)])
    rows = [(row.round, row.stage, row.passed, row.reason, row.count) for row in store.candidates.funnel("halides")]
    assert rows == [(0, "validity", True, "ok", 3), (0, "validity", False, "too_close", 2)]
    assert store.candidates.statuses("halides") == {0: {"active": 3, "rejected": 2}}


def test_candidates_without_a_rank_come_last(store, make_candidates):
    store.candidates.insert_if_absent(make_candidates(5))
    store.candidates.set_fields({"c00003": {"rank": 1}, "c00000": {"rank": 2}})
    query = CandidateQuery("halides")
    ordered = ["c00003", "c00000", "c00001", "c00002", "c00004"]
    assert [entry.id for entry in store.candidates.query(query)] == ordered
    assert [entry.id for entry in store.candidates.query(query, limit=3)] == ordered[:3]
    assert [entry.id for entry in store.candidates.query(query, skip=1, limit=2)] == ordered[1:3]
    assert [entry.id for entry in store.candidates.query(query, skip=3)] == ordered[3:]


def test_candidates_are_filtered_by_chemistry_and_stability(store, make_candidates):
    halide = {"elements": ["Cl", "Na"], "chemsys": "Cl-Na", "formula_pretty": "NaCl", "space_group_number": 225}
    store.candidates.insert_if_absent(make_candidates(3, **halide))
    store.candidates.set_fields({"c00001": {"energy_above_hull": 0.01}, "c00002": {"energy_above_hull": 0.3}})
    found = store.candidates.query(
        CandidateQuery("halides", elements=("Na",), chemsys="Cl-Na", max_energy_above_hull=0.08),
        sort="energy_above_hull",
    )
    assert [entry.id for entry in found] == ["c00001"]
    assert store.candidates.query(CandidateQuery("halides", elements=("K",))) == []
    assert store.candidates.query(CandidateQuery("other")) == []


def test_sorting_by_an_unknown_field_names_the_nearest(store):
    with pytest.raises(DatabaseError, match=r"'rnk'. Did you mean 'rank'"):
        store.candidates.query(CandidateQuery("halides"), sort="rnk")


def test_a_document_over_sixteen_megabytes_is_named(store, make_candidates):
    huge = make_candidates(1, origin={"frames": "x" * 17_000_000})
    with pytest.raises(DatabaseError, match=r"'c00000' for 'candidates' has 17\.0 MB"):
        store.candidates.insert_if_absent(huge)
    assert store.candidates.count() == 0


def test_a_candidate_leads_back_to_everything_that_made_it(store, make_candidates):
    drawn = StructureDocument.from_structure(ROCK_SALT, identifier="drawn")
    relaxed = StructureDocument.from_structure(ROCK_SALT, identifier="relaxed", parents=["drawn"])
    store.structures.insert_if_absent([drawn, relaxed])
    store.candidates.insert_if_absent(make_candidates(1, relaxed_structure_id="relaxed"))
    value = PropertyDocument(
        id="p1",
        structure_id="relaxed",
        name="energy_above_hull",
        value=0.02,
        unit="eV/atom",
        fidelity="mlip:chgnet-0.3.0",
        method="hull",
    )
    store.properties.insert_if_absent([value])
    common = {"campaign": "halides", "round": 0, "code_version": "0.1.0"}
    store.provenance.insert_if_absent(
        [
            ActivityDocument(id="a1", stage="generate", generated=["c00000", "drawn"], **common),
            ActivityDocument(id="a2", stage="relax", used=["drawn"], generated=["p1", "relaxed"], **common),
            ActivityDocument(id="a3", stage="relax", generated=["other"], **common),
        ]
    )
    lineage = store.lineage("c00000")
    assert [entry.id for entry in lineage.structures] == ["relaxed", "drawn"]
    assert lineage.properties == [value]
    assert [entry.id for entry in lineage.activities] == ["a1", "a2"]


def test_a_trajectory_is_stored_once_and_comes_back(store):
    trajectory = {"energies": [-3.1, -3.2], "volumes": [40.0, 41.5], "frames": [{"step": 0, "coords": [0.0, 0.5]}]}
    assert store.trajectories.put("s1", trajectory)
    assert not store.trajectories.put("s1", {"energies": []})
    assert store.trajectories.get("s1") == trajectory
    assert store.trajectories.get("s2") is None


def test_only_the_latest_trajectories_are_kept(settings):
    with connect(settings.model_copy(update={"trajectories": 2})) as store:
        for number in range(5):
            store.trajectories.put(f"s{number}", {"energies": [float(number)]})
        assert store.trajectories.prune() == 3
        assert store.trajectories.prune() == 0
        assert store.trajectories.count() == 2
        assert store.trajectories.get("s4") == {"energies": [4.0]}
        assert store.trajectories.get("s0") is None


def test_no_trajectory_is_kept_when_the_setting_is_zero(settings):
    with connect(settings.model_copy(update={"trajectories": 0})) as store:
        assert not store.trajectories.put("s1", {"energies": [1.0]})
        assert store.trajectories.count() == 0


def test_what_was_written_is_there_after_reopening(settings, make_candidates):
    with connect(settings) as store:
        store.candidates.insert_if_absent(make_candidates(3))
        store.candidates.record([Decision("c00001", TOO_CLOSE)])
        before = store.candidates.find()
    with connect(settings) as store:
        assert store.candidates.find() == before


def test_a_store_opened_for_reading_reads_and_refuses_to_write(settings, make_candidates):
    with connect(settings) as store:
        store.candidates.insert_if_absent(make_candidates(1))
        with connect(settings, read_only=True) as reader:
            assert reader.candidates.count() == 1
            with pytest.raises(DatabaseError, match="opened for reading only"):
                reader.candidates.insert_if_absent(make_candidates(2))


def test_a_store_tells_what_it_is(store, request, make_candidates):
    store.candidates.insert_if_absent(make_candidates(2))
    info = store.describe()
    assert info.kind in request.node.name
    assert (info.server_version is None) == (info.kind == "in-process")
    assert info.documents["candidates"] == 2
    assert set(info.documents) == {"structures", "properties", "candidates", "campaigns", "provenance", "models"}


def test_the_clock_of_the_database_is_utc(store):
    now = store._session.now()
    assert now.tzinfo is not None
    assert abs((datetime.now(UTC) - now).total_seconds()) < 60


@pytest.mark.mongo
@pytest.mark.parametrize("field", SORTABLE)
def test_candidates_of_a_campaign_are_sorted_by_an_index(shared_server, field):
    with connect(Settings(database_uri=f"{shared_server.uri}/by-uri")) as store:
        cursor = {"filter": {"campaign": "halides", "round": 0} if field == "index" else {"campaign": "halides"}}
        plan = store._session.run(
            lambda database: database["candidates"].find(**cursor).sort(field, 1).limit(5).explain()
        )["queryPlanner"]["winningPlan"]
    assert "COLLSCAN" not in str(plan)
    assert "'stage': 'SORT'" not in str(plan)
