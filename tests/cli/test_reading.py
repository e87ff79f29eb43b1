from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from pymatgen.core import Structure

from genmat.database.store import connect
from genmat.settings import Settings
from workflows.chunk import COMPETE, SELECT, VALIDATE, plan_activity

from .conftest import ACTIVITIES, SHA256, SNAPSHOTS, hold_by_another_process, set_state


def test_status_lists_the_campaigns(salts, genmat):
    (line,) = json.loads(genmat("status", "--json").out)
    assert (line["name"], line["state"], line["rounds_begun"], line["accepted"]) == ("salts", "finished", 2, 2)


def test_status_of_one_counts_each_stage_per_reason(salts, genmat):
    report = json.loads(genmat("status", "salts", "--json").out)
    stages = {stage["stage"]: stage for stage in report["rounds"][0]["funnel"]}
    assert stages["stability"] == {"stage": "stability", "judged": 2, "passed": 1, "fallen": {"above_hull": 1}}
    assert list(stages)[:3] == ["generate", "validity", "novelty"]
    assert report["owner"] is None


def test_status_tells_core_hours_spent_beside_those_expected(salts, genmat):
    assert json.loads(genmat("status", "salts", "--json").out)["core_hours"] is None
    with connect(Settings(data_folder=salts, mongod="/bin/false")) as store:
        chosen = plan_activity("salts", 0, SELECT, [], parameters={"expected_core_hours": 1.25})
        done = plan_activity("salts", 0, VALIDATE, ["a"], parameters={"core_hours": 0.5})
        waiting = plan_activity("salts", 0, COMPETE, ["b"])
        store.provenance.insert_if_absent([chosen, done, waiting])
    line = "first principles: 1.2 core hours were expected, 1 of 2 calculations took 0.5"
    assert line in genmat("status", "salts").out
    told = json.loads(genmat("status", "salts", "--json").out)["core_hours"]
    assert told == {"expected": 1.25, "spent": 0.5, "done": 1, "planned": 2}


def test_status_says_who_runs_a_campaign(salts, genmat):
    hold_by_another_process(salts)
    assert "campaign salts: running" in genmat("status", "salts").out
    assert "run by process" in genmat("status", "salts").out


def test_a_running_campaign_that_nobody_runs_is_called_interrupted(salts, genmat):
    set_state(salts, "running")
    result = genmat("status", "salts")
    assert "campaign salts: interrupted" in result.out
    assert "continue with: genmat resume salts" in result.out


def test_tables_in_a_pipe_are_plain_and_whole(salts, genmat, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    out = genmat("list", "salts").out
    assert "\x1b" not in out
    assert "generator_failed" in out
    assert all(line == line.rstrip() for line in out.splitlines())


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ((), 8),
        (("--status", "accepted"), 2),
        (("--stage", "stability"), 2),
        (("--reason", "above_hull", "--round", "2"), 1),
        (("--reason", "Above-Hull"), 2),
        (("--formula", "ClNa"), 2),
        (("--elements", "Na,Cl"), 2),
        (("--elements", "Na,F"), 0),
        (("--space-group", "Fm-3m"), 6),
        (("--limit", "3"), 3),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_list_filters(salts, genmat, filters, count):
    assert len(json.loads(genmat("list", "salts", *filters, "--json").out)) == count


def test_list_sorts_both_ways(salts, genmat):
    def energies(sort):
        found = json.loads(genmat("list", "salts", "--stage", "rank", "--sort", sort, "--json").out)
        return [candidate["energy_above_hull"] for candidate in found]

    assert energies("energy_above_hull") == [0.01, 0.02]
    assert energies("-energy_above_hull") == [0.02, 0.01]


def test_a_shortened_list_says_so(salts, genmat):
    result = genmat("list", "salts", "--limit", "3")
    assert "3 of 8" in result.err


def test_an_empty_list_names_the_filters(salts, genmat):
    assert "no candidate of salts is like that (reason exploded)" in genmat("list", "salts", "--reason", "exploded").out


def test_top_has_the_best_first(salts, genmat):
    best = json.loads(genmat("top", "salts", "-n", "1", "--json").out)
    assert [candidate["rank"] for candidate in best] == [1]
    assert "density g/cm^3" in genmat("top", "salts").out


def test_show_finds_a_candidate_by_the_beginning_of_its_id(salts, ids, genmat):
    found = json.loads(genmat("show", ids[0][:8], "--json").out)
    assert (found["type"], found["id"]) == ("candidate", ids[0])
    assert f"candidate {ids[0]}" in genmat("show", ids[0][:8]).out


def test_show_finds_a_structure_with_its_properties(salts, ids, genmat):
    relaxed = json.loads(genmat("show", ids[0], "--json").out)["relaxed_structure_id"]
    found = json.loads(genmat("show", relaxed, "--json").out)
    assert found["type"] == "structure"
    assert [entry["name"] for entry in found["properties"]] == ["energy_above_hull", "energy_per_atom"]
    assert "0.500000" in genmat("show", relaxed).out


@pytest.mark.parametrize(("name", "kind"), [("salts", "campaign"), ("chgnet-0.3.0", "model")])
def test_show_finds_what_has_a_name(salts, genmat, name, kind):
    assert json.loads(genmat("show", name, "--json").out)["type"] == kind


def test_show_finds_an_activity(salts, genmat):
    assert json.loads(genmat("show", ACTIVITIES[0, "relax"][:10], "--json").out)["model_sha256"] == SHA256


def test_why_walks_back_to_template_seed_code_and_weights(salts, ids, genmat):
    story = json.loads(genmat("why", ids[0][:8], "--json").out)
    assert story["origin"]["template"] == "mp-22862"
    assert story["origin"]["seed"] == 3
    assert [structure["role"] for structure in story["structures"]] == ["drawn", "relaxed"]
    stability = next(verdict for verdict in story["verdicts"] if verdict["stage"] == "stability")
    assert stability["judged_against"] == {
        "snapshot_id": SNAPSHOTS[0],
        "reference_id": "f" * 64,
        "added_structures": 0,
    }
    assert {activity["stage"] for activity in story["activities"]} == {"generate", "relax", "assess"}
    assert {value["model_sha256"] for value in story["properties"]} == {SHA256}
    assert all(activity["code_version"] == "0.1.0" for activity in story["activities"])


def test_why_tells_it_in_words(salts, ids, genmat):
    out = genmat("why", ids[1]).out
    assert "rejected at stability: too far above the convex hull" in out
    assert "template: mp-22862" in out
    assert "stability: FELL, above_hull" in out
    assert "0.2 eV/atom above the hull" in out
    assert "chgnet-0.3.0/PBE+U:MP/PBE/MP2020" in out
    assert f"weights {SHA256[:12]}" in out


def test_why_tells_of_a_draw_without_structure(salts, ids, genmat):
    assert "all 8 options are known crystals" in genmat("why", ids[3]).out


def test_why_accepts_a_structure_of_the_candidate(salts, ids, genmat):
    relaxed = json.loads(genmat("show", ids[0], "--json").out)["relaxed_structure_id"]
    assert json.loads(genmat("why", relaxed, "--json").out)["id"] == ids[0]


def test_export_writes_a_cif_for_each_accepted_candidate(salts, genmat):
    result = genmat("export", "salts")
    assert result.code == 0
    paths = sorted(Path("genmat-output/salts/cif").iterdir())
    assert [path.name[:9] for path in paths] == ["001-NaCl-", "002-NaCl-"]
    assert Structure.from_file(paths[0]).composition.reduced_formula == "NaCl"


@pytest.mark.parametrize(("flag", "rows"), [((), 2), (("--all",), 8)])
def test_export_to_csv_has_accepted_candidates_or_every_draw(salts, genmat, flag, rows):
    out = genmat("export", "salts", "--format", "csv", "--output", "-", *flag).out
    assert len(list(csv.DictReader(io.StringIO(out)))) == rows


def test_export_to_extxyz_and_json_names_its_files(salts, genmat):
    for name, suffix in (("extxyz", ".extxyz"), ("json", ".json")):
        (path,) = json.loads(genmat("export", "salts", "-f", name, "--all", "--json").out)
        assert Path(path).suffix == suffix
        assert Path(path).stat().st_size > 0
