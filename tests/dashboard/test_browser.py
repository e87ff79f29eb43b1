"""A real Chromium drives every page of a real campaign; what it saw is kept as pictures."""

from __future__ import annotations

import json
import time

import pytest

from genmat.dashboard.pages import OLDEST_PAGE
from genmat.database.documents import CampaignState, CandidateDocument
from genmat.database.store import connect

pytestmark = [pytest.mark.mongo, pytest.mark.browser]

READY = "[...document.querySelectorAll('[data-figure]')].every(plot => plot.dataset.ready)"
DRAW = "dispatchEvent(new Event('beforeprint'))"
"""Lets a page draw what nobody has scrolled to yet."""
COLOURS = """Plotly.toImage(document.querySelector('.plot'), {format: 'png', width: 300, height: 300}).then(address =>
  new Promise(done => {
    const image = new Image();
    image.onload = () => {
      const board = document.createElement('canvas');
      board.width = board.height = 300;
      const pen = board.getContext('2d'), seen = new Set();
      pen.drawImage(image, 0, 0);
      const data = pen.getImageData(40, 60, 200, 200).data;
      for (let k = 0; k < data.length; k += 4)
        if (data[k + 3]) seen.add([data[k], data[k + 1], data[k + 2]].map(v => v >> 4).join());
      done(seen.size);
    };
    image.src = address;
  }))"""
"""How many colours the middle of the first plot has."""
CONTRAST = """JSON.stringify((() => {
  const pen = new OffscreenCanvas(1, 1).getContext('2d');
  const parse = text => {  // as it is painted: oklab() too
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = text;
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const part = value => (value /= 255) <= .03928 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * part(r) + .7152 * part(g) + .0722 * part(b);
  const ground = element => {
    for (; element; element = element.parentElement) {
      const colour = parse(getComputedStyle(element).backgroundColor);
      if (colour[3] === 1) return colour;
    }
    return [255, 255, 255, 1];
  };
  const hasText = element => [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
  return [...document.querySelectorAll('main *, header *')]
    .filter(element => !element.closest('svg, .plot, option') && hasText(element))
    .map(element => {
      const style = getComputedStyle(element), a = light(parse(style.color)), b = light(ground(element));
      const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
      const least = size >= 24 || (size >= 18.66 && bold) ? 3 : 4.5;
      return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), least, element.outerHTML.slice(0, 80)];
    })
    .filter(([ratio, least]) => ratio < least);
})())"""
"""Texts whose contrast to their ground is less than WCAG AA asks for."""
PERFORMANCE = ("GL Driver Message", "willReadFrequently")
"""What Chromium says about speed where there is no graphics card."""


@pytest.fixture
def visit(browser, served):
    """Return a function that opens a page as its owner does and waits for its figures."""

    def open_page(path: str, **window: object):
        browser.open(served.entrance)
        browser.open(served.url + path, **window)
        browser.evaluate(DRAW)
        browser.wait_for(READY, seconds=60)
        return browser

    return open_page


def complaints(browser) -> list[str]:
    return [text for text in browser.complaints() if not any(words in text for words in PERFORMANCE)]


def name_of(path: str) -> str:
    """Return the name of a page's picture."""
    return path.strip("/").replace("/{c}", "").replace("/{id}", "-one").replace("/", "-") or "overview"


PAGES = ["/", "/campaigns/{c}", "/campaigns/{c}/candidates", "/candidates/{id}", "/models", "/failures", "/api"]


@pytest.mark.parametrize(("path", "dark"), [*((path, False) for path in PAGES), (PAGES[1], True), (PAGES[3], True)])
def test_every_page_is_drawn_without_complaint_and_asks_nobody_else(
    visit, served, campaign, accepted, pictures, path, dark
):
    browser = visit(path.format(c=campaign, id=accepted), dark=dark)
    assert complaints(browser) == []
    assert [address for address in browser.requests() if not address.startswith(served.url)] == []
    drawn = browser.evaluate(
        "[...document.querySelectorAll('.plot:not(.empty)')].filter(p => !p.querySelector('.main-svg')).length"
    )
    assert drawn == 0
    browser.picture(pictures / f"{name_of(path)}{'-dark' if dark else ''}.png", whole=True)


@pytest.mark.parametrize("path", PAGES[:4])
def test_pages_fit_a_phone(visit, campaign, accepted, pictures, path):
    browser = visit(path.format(c=campaign, id=accepted), width=390, height=800)
    browser.wait_for_layout()
    assert browser.evaluate("document.documentElement.scrollWidth") == 390
    browser.picture(pictures / f"{name_of(path)}-phone.png", whole=True)


def test_crystal_is_not_blank_and_turns_into_a_supercell(visit, accepted):
    browser = visit(f"/candidates/{accepted}")
    assert browser.evaluate(COLOURS) > 12
    atoms = "document.querySelector('.plot').data.filter(t => t.type === 'mesh3d').reduce((n, t) => n + t.x.length, 0)"
    before = browser.evaluate(atoms)
    browser.evaluate("""(() => { const form = document.querySelector('form[data-crystal]');
      form.elements.repeat.value = '2';
      form.elements.repeat.dispatchEvent(new Event('change', {bubbles: true})); })()""")
    browser.wait_for("document.querySelector('.plot').dataset.ready.includes('repeat=2')")
    assert browser.evaluate(atoms) != before


def test_filters_of_the_form_choose_and_links_export(visit, served, campaign):
    browser = visit(f"/campaigns/{campaign}/candidates")
    everything = browser.evaluate("document.querySelectorAll('.candidates tbody tr').length")
    browser.events.clear()
    browser.evaluate("document.querySelector('.filters [name=status]').value = 'accepted'")
    browser.evaluate("document.querySelector('.filters .buttons button').click()")
    browser.wait_for("location.search.includes('status=accepted') && document.readyState === 'complete'")
    chosen = browser.evaluate("document.querySelectorAll('.candidates tbody tr').length")
    assert 0 < chosen < everything
    link = browser.evaluate(
        "[...document.querySelectorAll('.tools a')].find(a => a.textContent === 'CSV').getAttribute('href')"
    )
    assert len(served.get(link).text.splitlines()) == chosen + 1
    assert complaints(browser) == []


def test_another_hull_is_shown_without_leaving_the_page(visit, campaign):
    browser = visit(f"/campaigns/{campaign}")
    browser.evaluate("""(() => { const f = document.querySelector('form[data-hull]');
      f.elements.system.value = 'Li-Na-O'; f.requestSubmit(); })()""")
    plot = "document.querySelector('#hull .plot')"
    browser.wait_for(f"{plot}.dataset.ready && {plot}.dataset.ready.endsWith('hull-Li-Na-O')")
    assert browser.evaluate(f"{plot}.data.some(t => t.type === 'scatterternary')")
    assert browser.evaluate("document.querySelector('#hull a[download]').href").endswith("hull-Li-Na-O/csv")


def test_a_picture_of_a_figure_is_an_svg_with_its_title(visit, campaign):
    browser = visit(f"/campaigns/{campaign}")
    text = browser.evaluate(
        "Plotly.toImage(document.querySelector('#funnel .plot'), {format: 'svg'}).then(decodeURIComponent)"
    )
    assert "Candidates left after each stage" in text


def test_a_live_page_shows_what_changed_without_being_asked(visit, settings, served, campaign):
    with connect(settings) as store:
        document = store.campaigns.require(campaign)
        store.campaigns.set_fields({campaign: {"state": CampaignState.CREATED}})
        try:
            browser = visit("/")
            if not browser.evaluate("document.querySelector('main[data-live]') !== null"):
                time.sleep(OLDEST_PAGE)  # somebody had just looked at it
                browser = visit("/")
            before = browser.evaluate("document.querySelector('.tiles dd').textContent")
            first = next(iter(store.candidates.iterate({"campaign": campaign})))
            extra = CandidateDocument.model_validate({**first.model_dump(), "id": "late", "index": 9999})
            store.candidates.insert_if_absent([extra])
            browser.wait_for(f"document.querySelector('.tiles dd').textContent !== {json.dumps(before)}", seconds=30)
            assert complaints(browser) == []
        finally:
            store._session.delete("candidates", ["late"])
            store.campaigns.set_fields({campaign: {"state": document.state}})


def test_no_hostile_script_runs(browser, hostile):
    browser.open(hostile.entrance)
    for path in ("/", "/campaigns/evil", "/campaigns/evil/candidates", "/candidates/candidate", "/models", "/failures"):
        browser.open(hostile.url + path)
        browser.evaluate("window.alert = () => { document.title = 'hostile'; }")
        browser.evaluate(DRAW)
        browser.wait_for(READY, seconds=60)
        assert browser.evaluate("document.title") != "hostile"
        assert browser.evaluate("document.querySelectorAll('img, [onerror], [onload]').length") == 0
        missing = [text for text in complaints(browser) if "404" not in text]
        assert missing == []


def test_everything_is_reached_by_the_keyboard_and_has_a_name(visit, campaign, accepted):
    for path in (page.format(c=campaign, id=accepted) for page in PAGES if page != "/api"):
        browser = visit(path)
        nameless = """[...document.querySelectorAll('a[href], button, input, select')].filter(e =>
          !(e.textContent.trim() || e.getAttribute('aria-label') || (e.labels && e.labels.length)))
          .map(e => e.outerHTML)"""
        assert browser.evaluate(nameless) == []
        assert browser.evaluate("[...document.querySelectorAll('[tabindex]')].every(e => e.tabIndex === 0)")
        assert browser.evaluate("[...document.querySelectorAll('.plot')].every(e => e.getAttribute('aria-label'))")


@pytest.mark.parametrize("path", [page for page in PAGES if page != "/api"])
def test_text_has_the_contrast_that_wcag_aa_asks_for(visit, campaign, accepted, path):
    browser = visit(path.format(c=campaign, id=accepted))
    in_light = browser.evaluate(CONTRAST)
    browser.emulate(dark=True)
    in_dark = browser.evaluate(CONTRAST)
    assert json.loads(in_light) + json.loads(in_dark) == []
