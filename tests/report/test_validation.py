"""First principles beside the potential: table, figures and S.S.U.N. of the report."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from genmat.campaign import Campaign
from genmat.energy import EnergyScale
from genmat.report import StageVerdict, render
from genmat.report.io import read_template
from genmat.report.validation_figures import compared, parity_figure, residual_figure
from genmat.screening.ssun import Audit, engine_ssun
from genmat.screening.verdict import Reason
from genmat.validation.calibration import Calibration, GeometryBounds
from genmat.validation.selection import Cost

RESIDUALS = (0.035, 0.042, -0.01)
POTENTIAL = 0.02


@pytest.fixture(scope="module")
def validated(report):
    """Return the report with its three best candidates computed, the second of them refuted."""
    campaign = Campaign.from_dict(report.campaign.to_dict() | {"validate": {"engine": "gpaw"}}, source="test")
    best = {c.id: r for c, r in zip(report.accepted, RESIDUALS, strict=False)}
    candidates = []
    for c in report.candidates:
        if c.rank is not None and c.id in best:
            values = {
                "energy_above_hull": POTENTIAL + best[c.id],
                "energy_above_hull_residual": best[c.id],
                "bonds_changed_from_start": 0.125,
                "potential_force_slope": 0.93,
                "potential_stress_slope": 0.81,
                "space_group_kept": "yes",
            }
            passed = best[c.id] != 0.042
            verdict = StageVerdict("validate", passed, "ok" if passed else "not_confirmed", "0.125 eV/atom above Li2O")
            candidates.append(
                replace(c, energy_above_hull=POTENTIAL, validation=values, verdicts=(*c.verdicts, verdict))
            )
        else:
            candidates.append(c)
    successes, total = report.rounds[0].ssun["ssun_after"]
    told = {**engine_ssun(successes, total, Audit(confirmed=1, refuted=1)).to_dict(), "engine": "gpaw"}
    rounds = (replace(report.rounds[0], engine_ssun=told), *report.rounds[1:])
    return replace(report, campaign=campaign, candidates=tuple(candidates), rounds=rounds)


def test_parity_has_one_point_for_each_computed_candidate(validated):
    figure = parity_figure(validated)
    points = [pair for trace in figure["data"][1:] for pair in zip(trace["x"], trace["y"], strict=True)]
    assert len(points) == len(compared(validated)) == 3
    assert sorted(y - x for x, y in points) == pytest.approx(sorted(RESIDUALS))


def test_residuals_are_counted_once_each(validated):
    (bar,) = residual_figure(validated)["data"]
    assert sum(bar["y"]) == 3
    assert min(bar["x"]) < 0 < max(bar["x"])


def test_campaign_without_validation_has_neither_figure(report):
    assert parity_figure(report) is None
    assert residual_figure(report) is None
    assert 'id="validation"' not in render(report)


def test_figures_are_json_in_colours_of_the_page(validated):
    text = json.dumps([parity_figure(validated), residual_figure(validated)], allow_nan=False)
    style = read_template("report.css")
    assert all(style.count(f"{name}:") == 2 for name in set(re.findall(r"var\((--[a-z0-9-]+)\)", text)))


def test_page_tells_what_properties_by_first_principles_say(validated):
    assert "Properties of confirmed candidates" not in render(validated)
    best, detail = validated.validated[0], "bulk_modulus 17 GPa (asked: at least 20) by dft:pbe:vasp"
    said = StageVerdict("properties", passed=False, reason="off_target", detail=detail)
    changed = replace(best, verdicts=(*best.verdicts, said))
    candidates = tuple(changed if c is best else c for c in validated.candidates)
    page = render(replace(validated, candidates=candidates))
    table = page.partition("Properties of confirmed candidates")[2].partition("</table>")[0]
    assert detail in table
    assert Reason.OFF_TARGET.text in table


def test_page_tells_which_properties_the_budget_left_out(validated):
    heading = "1 confirmed candidate without some of the properties asked for"
    assert heading not in render(validated)
    reason = "elastic: 0.5 core hours expected, 0.4 are left"
    page = render(replace(validated, unmeasured={validated.validated[0].id: reason}))
    assert reason in page.partition(heading)[2].partition("</details>")[0]


def test_page_tells_classes_softening_and_the_share_by_first_principles(validated):
    page = render(validated)
    assert "Deviations by class of chemistry" in page
    assert 'data-label="Stress slope">0.81<' in page
    assert 'data-label="Force slope">0.93<' in page
    assert 'data-label="Bonds changed (% of sites)">12<' in page
    classes = page.partition("Deviations by class of chemistry")[2].partition("</table>")[0]
    assert '<td class="n">12</td>' in classes
    assert '<td class="n">0.93</td><td class="n">0.81</td>' in classes
    assert "by gpaw" in page
    assert "from an audit of 2" in page
    assert 'href="#validation"' in page


def test_page_tells_what_it_cost_and_what_it_says_about_the_potential(validated):
    assert "What this says about" not in render(validated)
    scale = EnergyScale("vasp", "PBE", "MP", "PBE", "MP2020")
    known = {"calibration": Calibration(scale, tuple(sorted(RESIDUALS))), "geometry": GeometryBounds(3, None, None)}
    page = render(replace(validated, cost=Cost(1.5, 0.25, done=3, planned=4), **known))
    assert "Cost: 1.5 core hours were expected, 3 of 4 calculations took 0.25." in page
    assert "What this says about chgnet-0.3.0: 3 residuals of vasp, median +0.035 eV/atom" in page


@pytest.mark.browser
def test_tables_of_first_principles_stick_out_of_no_window(validated, browser, write_page):
    browser.open(write_page(render(validated)))
    for width in (390, 760, 1100):
        browser.emulate(width=width, height=800, dark=False)
        browser.wait_for_layout()
        assert browser.evaluate("document.documentElement.scrollWidth") == width
