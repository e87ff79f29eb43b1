"""The API against its own description: whatever the description allows, no answer is an error of the server."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.mongo


def test_no_request_that_the_description_allows_breaks_the_server(served, campaign, accepted):
    import schemathesis
    from hypothesis import HealthCheck, Phase, given
    from hypothesis import settings as limits

    headers = {"Authorization": f"Bearer {served.access.token}"}
    schema = schemathesis.openapi.from_url(served.url + "/api/v1/openapi.json", headers=headers)
    known = {"name": campaign, "identifier": accepted, "figure": "funnel"}
    asked = 0
    for operation in (result.ok() for result in schema.get_all_operations()):

        @given(case=operation.as_strategy())
        @limits(
            max_examples=12,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def ask(case):
            nonlocal asked
            for change in (False, True):
                if change:  # once as generated, once about things that exist
                    case.path_parameters = {k: known.get(k, v) for k, v in (case.path_parameters or {}).items()}
                answer = case.call(headers=headers)
                asked += 1
                assert answer.status_code < 500 or answer.status_code == 503, (case.formatted_path, answer.text)

        ask()
    assert asked > 100


def test_description_names_every_route_and_its_problems(served):
    document = served.get("/api/v1/openapi.json").json()
    assert {"/api/v1/campaigns", "/api/v1/campaigns/{name}/candidates", "/api/v1/activities/{identifier}"} <= set(
        document["paths"]
    )
    for methods in document["paths"].values():
        assert set(methods) == {"get"}
        assert {"400", "401", "404"} <= set(methods["get"]["responses"])
    page = served.get("/api").text
    assert all(path in page for path in document["paths"])


def test_answers_say_what_the_database_holds(served, campaign):
    (line,) = served.get("/api/v1/campaigns").json()
    assert line["name"] == campaign
    assert line["state"] == "finished"
    assert sum(line["candidates"].values()) == served.store.candidates.count({"campaign": campaign}) == 28
    detail = served.get(f"/api/v1/campaigns/{campaign}").json()
    assert [stage["stage"] for stage in detail["funnel"]][:2] == ["generate", "validity"]
    assert {work["stage"] for work in detail["work"]} == {"generate", "relax", "assess"}
    assert detail["relaxations_per_hour"] > 0
