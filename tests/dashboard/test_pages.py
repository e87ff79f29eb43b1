"""Pages and downloads over HTTP, on the database of a real campaign."""

from __future__ import annotations

import csv
import io
import json
import zipfile

import pytest
from ase.io import read

from genmat.database.statistics import funnel_of
from genmat.database.summary import funnel

pytestmark = pytest.mark.mongo

PAGES = ["/", "/campaigns/{c}", "/campaigns/{c}/candidates", "/candidates/{id}", "/models", "/failures", "/api"]
FIGURES = ["funnel", "reasons", "rounds", "energies", "property-density", "space-groups", "elements", "cost"]


@pytest.fixture(scope="module")
def table(served, campaign):
    return served.get(f"/api/v1/campaigns/{campaign}/candidates?limit=500").json()["candidates"]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_answers_and_is_small(served, campaign, accepted, path):
    answer = served.get(path.format(c=campaign, id=accepted))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert len(answer.content) < 250_000


def test_funnel_from_where_candidates_ended_is_that_of_the_verdicts(served, campaign):
    ends = funnel_of(served.store.statistics.ends(campaign))
    verdicts = funnel(served.store.candidates.funnel(campaign))
    assert [stage.to_dict() for stage in ends] == [stage.to_dict() for stage in verdicts]


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_a_title_axes_and_its_data_as_csv(served, campaign, name):
    address = f"/api/v1/campaigns/{campaign}/figures/{name}"
    figure = served.get(address).json()
    layout = figure["layout"]
    assert layout["title"]["text"]
    assert layout["xaxis"]["title"]["text"] or layout["yaxis"]["title"]["text"]
    rows = list(csv.reader(io.StringIO(served.get(f"{address}/csv").text)))
    assert len(rows) > 1
    assert {len(row) for row in rows} == {len(rows[0])}


def test_bars_of_the_funnel_are_the_rows_of_its_csv(served, campaign, table):
    address = f"/api/v1/campaigns/{campaign}/figures/funnel"
    rows = list(csv.DictReader(io.StringIO(served.get(f"{address}/csv").text)))
    accepted = sum(int(row["candidates left"]) for row in rows if row["y"] == "accepted")
    assert accepted == sum(row["status"] == "accepted" for row in table)
    assert accepted > 0


@pytest.mark.parametrize(
    ("system", "kind"), [("O-Li", "scatter"), ("Li-Na-O", "scatterternary"), ("K-F-Na-Li", "scatter3d")]
)
def test_hulls_of_two_to_four_elements_are_drawn(served, campaign, system, kind):
    figure = served.get(f"/api/v1/campaigns/{campaign}/figures/hull-{system}").json()
    assert kind in {trace["type"] for trace in figure["data"]}


@pytest.mark.parametrize("system", ["Li", "Li-Xx", "Li-Na-K-F-O"])
def test_a_system_that_has_no_hull_is_refused_with_what_is_expected(served, campaign, system):
    answer = served.get(f"/api/v1/campaigns/{campaign}/figures/hull-{system}")
    assert answer.status_code == 400
    assert "chemical system" in answer.json()["detail"]


def test_filters_of_the_table_choose_what_they_say(served, campaign, table):
    fallen = next(row for row in table if row["status"] == "rejected")
    address = f"/api/v1/campaigns/{campaign}/candidates?limit=500"
    found = served.get(f"{address}&reason={fallen['reason']}").json()
    assert {row["id"] for row in found["candidates"]} == {r["id"] for r in table if r["reason"] == fallen["reason"]}
    assert found["index"][1] == "reason"
    near = served.get(f"{address}&max_e=0.1&sort=-energy_above_hull").json()["candidates"]
    expected = [row for row in table if row["energy_above_hull"] is not None and row["energy_above_hull"] <= 0.1]
    assert [r["energy_above_hull"] for r in near] == sorted((r["energy_above_hull"] for r in expected), reverse=True)


def test_pages_of_the_table_hold_every_candidate_once(served, campaign, table):
    found, after = [], ""
    while after is not None:
        part = served.get(f"/api/v1/campaigns/{campaign}/candidates?limit=5&after={after}").json()
        found += [row["id"] for row in part["candidates"]]
        after = part["next"]
    assert found == [row["id"] for row in table]
    assert len(found) == 28


def test_selection_is_exported_in_every_format(served, campaign, table):
    address = f"/api/v1/campaigns/{campaign}/export?status=accepted&format="
    ids = {row["id"] for row in table if row["status"] == "accepted"}
    assert {row["id"] for row in csv.DictReader(io.StringIO(served.get(address + "csv").text))} == ids
    assert {row["id"] for row in json.loads(served.get(address + "json").text)} == ids
    frames = read(io.StringIO(served.get(address + "extxyz").text), format="extxyz", index=":")
    assert {frame.info["id"] for frame in frames} == ids
    with zipfile.ZipFile(io.BytesIO(served.get(address + "cif").content)) as archive:
        assert len(archive.namelist()) == len(ids)
        for name in archive.namelist():
            assert len(read(io.StringIO(archive.read(name).decode()), format="cif")) > 1


def test_crystal_is_drawn_with_its_cell_its_bonds_and_a_supercell(served, accepted):
    address = f"/api/v1/candidates/{accepted}/figures/structure"
    one, eight = served.get(address).json(), served.get(f"{address}?repeat=2&polyhedra=true").json()

    def count(figure):
        return sum(len(t["x"]) for t in figure["data"] if t["type"] == "mesh3d" and not t.get("opacity"))

    assert count(one) > 0
    assert count(eight) > 4 * count(one) or any("marker" in t for t in eight["data"])


def test_page_of_a_candidate_tells_symmetry_sources_and_what_competes(served, accepted):
    page = served.get(f"/candidates/{accepted}").text
    for text in (
        "Wyckoff positions",
        "mlip:chgnet-0.3.0",
        "Competing phases",
        "Nearest known crystals",
        "conventional",
    ):
        assert text in page
    assert page.count('href="/provenance/') > 5


def test_a_number_leads_to_the_job_that_made_it(served, accepted):
    story = served.get(f"/api/v1/candidates/{accepted}").json()
    energy = next(value for value in story["properties"] if value["name"] == "energy_per_atom")
    job = served.get(f"/api/v1/activities/{energy['activity_id']}").json()
    assert job["stage"] == "relax"
    assert energy["structure_id"] in job["generated"]
    assert served.get(f"/provenance/{energy['activity_id']}").status_code == 200


def test_powder_pattern_and_relaxation_have_data(served, accepted):
    for name in ("diffraction", "relaxation"):
        rows = served.get(f"/api/v1/candidates/{accepted}/figures/{name}/csv").text.splitlines()
        assert len(rows) > 1
    pattern = served.get(f"/api/v1/candidates/{accepted}/figures/diffraction").json()
    assert max(pattern["data"][0]["y"]) == pytest.approx(100)


def test_models_are_listed_with_their_metrics(served):
    models = {model["id"]: model for model in served.get("/api/v1/models").json()["models"]}
    assert models["chgnet-0.3.0"]["energy_scale"]
    assert models["genmat-foundation-built-in"]["metrics"]
    page = served.get("/models").text
    assert all(identifier in page for identifier in models)


def test_what_does_not_exist_is_told_with_the_nearest_name(served):
    answer = served.get("/campaigns/slats")
    assert answer.status_code == 404
    assert "Did you mean &#39;salts&#39;?" in answer.text
    assert served.get("/api/v1/candidates/none").status_code == 404
    assert served.get("/nowhere").status_code == 404


def test_health_needs_no_token_and_metrics_count_every_candidate(served, campaign):
    import httpx

    assert httpx.get(served.url + "/health").json()["status"] == "ok"
    lines = served.get("/metrics").text.splitlines()
    counted = sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("genmat_candidates{"))
    assert counted == 28
    assert all(line.startswith("#") or line.rpartition(" ")[2] for line in lines)


def test_plotly_comes_from_its_package_and_is_kept_by_the_browser(served):
    answer = served.get("/static/plotly.min.js")
    assert len(answer.content) > 1_000_000
    tag = answer.headers["etag"]
    assert served.get("/static/plotly.min.js", headers={"If-None-Match": tag}).status_code == 304


def test_no_page_reads_a_collection_or_sorts_one(served, server, campaign, accepted, profile):
    served.store.candidates.count({"campaign": campaign})
    paths = [
        p.format(c=campaign, id=accepted) for p in ("/campaigns/{c}", "/campaigns/{c}/candidates", "/candidates/{id}")
    ]
    paths += [f"/campaigns/{campaign}/candidates?elements=Na", f"/campaigns/{campaign}/candidates?reason=known"]
    for path in paths:
        with profile(server.uri, "real") as plans:
            served.get(path)
        bad = [plan for plan in plans if plan.startswith("real.candidates") and ("COLLSCAN" in plan or "SORT" in plan)]
        assert not bad, (path, bad)
