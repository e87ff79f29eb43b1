from __future__ import annotations

import json
import re
from dataclasses import replace

from genmat.campaign import PropertyName
from genmat.report import figures
from genmat.report.io import read_template


def every_figure(report):
    yield figures.funnel_figure(report)
    yield figures.reasons_figure(report)
    yield figures.rounds_figure(report)
    yield figures.weights_figure(report)
    yield figures.energy_figure(report)
    yield figures.space_group_figure(report)
    for item in report.campaign.target.properties:
        yield figures.property_figure(report, item)


def test_every_figure_is_json_with_named_axes(report):
    for figure in every_figure(report):
        json.dumps(figure, allow_nan=False)
        titles = [figure["layout"][side]["title"]["text"] for side in ("xaxis", "yaxis")]
        assert any(titles)


def test_colours_of_figures_are_defined_by_the_style_for_light_and_dark(report):
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", json.dumps(list(every_figure(report)))))
    style = read_template("report.css")
    assert used
    for name in used:
        assert style.count(f"{name}:") == 2, name


def test_histograms_count_every_relaxed_candidate(report):
    figure = figures.energy_figure(report)
    counted = sum(sum(trace["y"]) for trace in figure["data"])
    assert counted == sum(candidate.energy_above_hull is not None for candidate in report.candidates)


def test_range_asked_for_is_shaded(report):
    density = next(item for item in report.campaign.target.properties if item.name is PropertyName.DENSITY)
    (shape,) = figures.property_figure(report, density)["layout"]["shapes"]
    assert shape["x1"] == 5


def test_figures_of_nothing_are_left_out(report):
    empty = replace(report, candidates=())
    assert figures.energy_figure(empty) is None
    assert figures.space_group_figure(empty) is None
    assert figures.reasons_figure(empty) is None
