"""Only who has the token, only from this machine, only to read; whatever is asked, whatever stands in the database."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import quote

import httpx
import pytest

from .conftest import EVIL, serve

pytestmark = pytest.mark.mongo

OPERATORS = [
    "formula[$ne]=NaCl",
    'formula={"$ne":null}',
    "elements[$in][]=Na",
    "elements=$where",
    'chemsys={"$regex":".*"}',
    "reason=$function",
    "reason[$gt]=",
    'stage={"$gt":""}',
    "status[$ne]=x",
    'space_group={"$gt":0}',
    "round[$gte]=0",
    "round=1;sleep(1000)",
    'min_e={"$gt":-1}',
    "max_e=NaN",
    "max_e=Infinity",
    "sort=$natural",
    "sort=verdicts.detail",
    'after={"$gt":""}',
    "after=eyIkZ3QiOjB9",
    "limit=100000000",
    "$where=sleep(1000)",
    "campaign=other",
    "__proto__=1",
]


@pytest.mark.parametrize("query", OPERATORS)
def test_no_text_of_a_visitor_becomes_an_operator(served, campaign, query):
    table = f"/campaigns/{campaign}/candidates"
    for path in (table, f"/api/v1{table}", f"/api/v1/campaigns/{campaign}/export"):
        assert served.get(f"{path}?{quote(query, safe='=&[]')}").status_code == 400


@pytest.mark.parametrize("name", ['{"$ne":null}', "$where", "%2e%2e%2e", "%00", "salts%2F..%2F..", "a" * 500])
def test_no_name_of_a_visitor_finds_anything(served, name):
    for path in ("/campaigns/", "/candidates/", "/provenance/", "/api/v1/structures/", "/api/v1/activities/"):
        assert served.get(path + quote(name, safe="%")).status_code in {400, 404}


OUTSIDE = ["../app.py", "..%2f..%2fsettings.py", "%2e%2e/app.py", "/etc/passwd", "app.py"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_path_leads_out_of_the_static_files(served, name):
    assert served.get(f"/static/{name}").status_code == 404


def test_names_of_downloads_hold_no_folder(hostile):
    for place in ("export?format=csv", "export?format=cif"):
        answer = hostile.get(f"/api/v1/campaigns/evil/{place}")
        name = re.search(r'filename="([^"]*)"', answer.headers["content-disposition"])[1]
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)
    import io
    import zipfile

    names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
    assert names
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", entry) for entry in names)


class Reader(HTMLParser):
    """Collects tags and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs


EVIL_PAGES = [
    "/",
    "/campaigns/evil",
    "/campaigns/" + quote(EVIL.replace("/", ""), safe=""),
    "/campaigns/evil/candidates",
    "/candidates/candidate",
    "/models",
    "/provenance/activity",
    "/failures",
    "/campaigns/" + quote(EVIL.replace("/", "") + "x", safe=""),
    "/campaigns/evil/candidates?formula=" + quote(EVIL),
]


@pytest.mark.parametrize("path", EVIL_PAGES)
def test_hostile_texts_of_the_database_stay_texts(hostile, path):
    answer = hostile.get(path)
    assert answer.status_code < 500
    assert "<img src=x" not in answer.text
    assert "<svg/onload" not in answer.text
    assert "49" not in re.findall(r"&amp;(49|\{\{7\*7\}\})", answer.text)
    reader = Reader()
    reader.feed(answer.text)
    assert reader.tags.count("script") in {0, 3}
    assert not [name for name, _ in reader.attributes if name.startswith("on")]
    assert not [
        value for name, value in reader.attributes if name in {"href", "src"} and "javascript:" in (value or "")
    ]


def test_hostile_texts_reach_no_plotly_markup_and_no_formula_of_a_spreadsheet(hostile):
    figure = hostile.get("/api/v1/candidates/candidate/figures/structure").text
    assert "<img" not in figure
    assert "<script" not in figure


def test_metrics_of_hostile_texts_keep_their_format(hostile):
    for line in hostile.get("/metrics").text.splitlines():
        assert line.startswith("#") or re.fullmatch(r'[a-z_]+(\{([a-z_]+="([^"\\\n]|\\.)*",?)*\})? \S+', line), line


@pytest.mark.parametrize("path", ["/", "/campaigns/salts", "/api/v1/campaigns", "/metrics", "/api/v1/openapi.json"])
def test_nothing_is_told_without_the_token(served, path):
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": f"{served.access.cookie}=wrong"}):
        answer = httpx.get(served.url + path, headers=headers)
        assert answer.status_code == 401
        assert "salts" not in answer.text


def test_the_printed_address_sets_a_cookie_and_hides_the_token(served):
    with httpx.Client(base_url=served.url) as browser:
        answer = browser.get(f"/models?token={served.access.token}")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/models"
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert browser.get("/models").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "169.254.169.254", "["]
)
def test_another_name_of_the_host_is_refused(served, host):
    assert served.get("/", headers={"Host": host}).status_code == 403


def test_a_page_of_another_site_is_refused(served):
    assert served.get("/", headers={"Origin": "http://evil.example"}).status_code == 403
    assert served.get("/", headers={"Origin": served.url}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_but_reading_is_allowed(served, method):
    headers = {"Authorization": f"Bearer {served.access.token}"}
    assert httpx.request(method, served.url + "/", headers=headers).status_code == 405


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/nowhere", "/health"])
def test_every_answer_has_the_policy(served, path):
    headers = served.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'self'; style-src 'self' 'unsafe-inline'")
    assert "unsafe-eval" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_a_password_is_exchanged_for_the_cookie(settings, campaign):
    right = "correct horse"
    with serve(settings, password=right) as running, httpx.Client(base_url=running.url) as browser:
        asked = browser.get("/campaigns/salts", headers={"Accept": "text/html"})
        assert asked.headers["location"] == "/login?next=/campaigns/salts"
        assert 'name="password"' in browser.get(asked.headers["location"]).text
        entered = browser.post("/login?next=%2F%2Fevil.example", data={"password": right})
        assert entered.headers["location"] == "/evil.example"
        assert browser.get("/campaigns/salts").status_code == 200
        wrong = httpx.post(f"{running.url}/login", data={"password": "wrong"})
        assert wrong.headers["location"] == "/login?wrong=1"
        assert "set-cookie" not in wrong.headers
        # The second guess comes too soon, right or not.
        assert "set-cookie" not in httpx.post(f"{running.url}/login", data={"password": right}).headers


def test_an_absent_database_is_told_and_not_a_traceback(settings, campaign, server):
    from genmat.settings import Settings

    away = Settings(database_uri=f"{server.uri}/slow", data_folder=settings.data_folder)
    with serve(away, time_limit=5.0) as running:
        running.store._session._database.client.close()
        answer = running.get("/")
        assert answer.status_code == 503
        assert "Traceback" not in answer.text
