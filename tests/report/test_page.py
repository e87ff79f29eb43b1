from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from genmat.report import StageVerdict, render
from genmat.report.page import embedded_json, script_hash

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&\u2028"

DRAWN = "plot.querySelector('.main-svg')"


class Reader(HTMLParser):
    """Collects tags, attributes and what is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in {"meta", "link", "br", "img"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(report) -> str:
    return render(report)


@pytest.fixture(scope="module")
def evil_page(report) -> str:
    first = report.accepted[0]
    verdicts = (StageVerdict(EVIL, passed=True, reason="ok", detail=EVIL), *first.verdicts)
    hostile = replace(first, verdicts=verdicts, template=EVIL, substitution={EVIL: EVIL}, cif=EVIL, formula=EVIL)
    fell = replace(hostile, rank=None, id=EVIL, verdicts=(StageVerdict(EVIL, passed=False, reason=EVIL, detail=EVIL),))
    campaign = report.campaign.model_copy(update={"name": EVIL})
    point = replace(report.systems[0].references[4], formula=EVIL, id=EVIL)
    system = replace(report.systems[0], references=(*report.systems[0].references[:4], point), ties=())
    return render(
        replace(
            report,
            campaign=campaign,
            code_version=EVIL,
            attribution=EVIL,
            note=EVIL,
            candidates=(hostile, fell, *report.accepted[1:]),
            systems=(system, *report.systems[1:]),
        )
    )


def test_page_is_well_formed(page):
    reader = Reader()
    reader.feed(page)
    assert reader.open == []


def test_page_refers_to_nothing_outside_itself(page):
    reader = Reader()
    reader.feed(page)
    links = [value for name, value in reader.attributes if name in {"src", "href", "action"}]
    assert links
    assert all(value.startswith(("#", "data:")) for value in links)


def test_page_allows_only_its_own_scripts_and_no_connection(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1].replace("&#39;", "'")
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    assert len(scripts) == 2
    assert all(script_hash(text) in policy for text in scripts)


def test_page_is_smaller_than_eight_megabytes(page):
    assert len(page.encode()) < 8e6


def test_page_is_the_same_each_time(page, report):
    assert render(report) == page


def test_hostile_texts_stay_texts(evil_page):
    assert "<img src=x" not in evil_page
    assert "<script>alert" not in evil_page
    reader = Reader()
    reader.feed(evil_page)
    assert reader.tags.count("script") == 2 + evil_page.count('type="application/json"')
    assert not [name for name, _ in reader.attributes if name.startswith("on")]


def test_embedded_data_cannot_leave_its_element():
    text = embedded_json({"a": EVIL})
    assert not set(text) & set("<>&\u2028")
    assert json.loads(text) == {"a": EVIL}


def test_best_candidate_is_told_first(page, report):
    assert page.index("Best candidates</h2>") < page.index("Where candidates fell</h2>")
    assert f"{len(report.accepted)} new crystals on target out of {len(report.candidates)} draws" in page


def test_every_candidate_of_the_table_has_its_story_and_its_cif(page, report):
    for candidate in report.accepted:
        assert f"<code>{candidate.id}</code>" in page
    assert page.count("CIF of the relaxed crystal") == len(report.accepted)


def test_definitions_and_attribution_are_stated(page):
    for text in ("S.S.U.N.", "ltol 0.2", "all draws", "Materials Project, CC BY 4.0", "DFT decides"):
        assert text in page


def test_campaign_without_rounds_has_a_page(report):
    page = render(replace(report, rounds=(), candidates=(), systems=(), state="created"))
    assert "Nothing has been drawn yet" in page


def test_campaign_without_survivors_says_where_candidates_fell(report):
    rejected = tuple(candidate for candidate in report.candidates if candidate.rank is None)
    page = render(replace(report, candidates=rejected, systems=()))
    assert "passed every stage" in page
    assert "Where candidates fell" in page


def test_running_campaign_without_definitions_has_a_page(report):
    rounds = tuple(replace(entry, definition=None, ssun={}, finished_at=None) for entry in report.rounds)
    assert "passed every stage so far" in render(
        replace(report, rounds=rounds, candidates=report.candidates[:3], systems=(), state="running")
    )


@pytest.fixture(scope="module")
def opened(page, browser, tmp_path_factory):
    """Open the page once, have all of its figures drawn, and return the browser."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page, encoding="utf-8")
    browser.open(path)
    browser.evaluate("dispatchEvent(new Event('beforeprint'))")
    missing = f"[...document.querySelectorAll('.plot')].some(plot => !{DRAWN})"
    look = f"const look = () => {missing} ? setTimeout(look, 50) : done(true)"
    browser.evaluate(f"new Promise(done => {{ {look}; look(); }})")
    return browser


@pytest.mark.browser
def test_browser_draws_every_figure(opened):
    drawn = opened.evaluate(f"[...document.querySelectorAll('.plot')].filter(plot => {DRAWN}).length")
    assert drawn == opened.evaluate("document.querySelectorAll('.plot').length") > 10


@pytest.mark.browser
def test_browser_complains_about_nothing(opened):
    assert opened.complaints() == []


@pytest.mark.browser
def test_page_asks_for_nothing_but_itself(opened):
    (address,) = opened.requests()
    assert address.startswith("file:")
    assert address.endswith("/report.html")


@pytest.mark.browser
def test_browser_turns_a_crystal_by_its_keys(opened):
    drawing = "document.querySelector('svg[data-crystal] g').innerHTML"
    before = opened.evaluate(drawing)
    press = "new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true})"
    turn = f"document.querySelector('svg[data-crystal]').dispatchEvent({press})"
    opened.evaluate(f"{turn}; new Promise(done => requestAnimationFrame(() => setTimeout(done, 30)))")
    after = opened.evaluate(drawing)
    assert before != after
    assert before.count("<circle") == after.count("<circle")


@pytest.mark.browser
def test_page_fits_a_phone_and_follows_a_dark_theme(opened):
    opened.emulate(width=390, height=800, dark=True)
    opened.wait_for_layout()
    assert opened.evaluate("document.documentElement.scrollWidth") == 390
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 18, 23)"


@pytest.mark.browser
@pytest.mark.parametrize("width", [760, 961, 1100])
def test_nothing_sticks_out_of_a_window(opened, width):
    opened.emulate(width=width, height=800, dark=False)
    opened.wait_for_layout()
    assert opened.evaluate("document.documentElement.scrollWidth") == width
    table = "document.querySelector('.best')"
    assert opened.evaluate(f"{table}.scrollWidth <= {table}.parentElement.clientWidth")


@pytest.mark.browser
def test_figures_keep_to_their_places_when_the_window_changes(opened):
    opened.emulate(width=820, height=900, dark=False)
    opened.evaluate("new Promise(done => setTimeout(done, 600))")
    heights = "[plot.clientHeight, plot.querySelector('.main-svg').clientHeight]"
    for place, drawing in opened.evaluate(f"[...document.querySelectorAll('.plot')].map(plot => {heights})"):
        assert place == drawing > 200


@pytest.mark.browser
def test_browser_runs_no_hostile_script(evil_page, browser, write_page):
    browser.open(write_page(evil_page))
    browser.evaluate("window.alert = () => { throw new Error('hostile script ran'); }")
    browser.evaluate("dispatchEvent(new Event('beforeprint'))")
    browser.evaluate("new Promise(done => setTimeout(done, 500))")
    assert browser.complaints() == []
    assert browser.evaluate("document.querySelectorAll('img, [onerror]').length") == 0
