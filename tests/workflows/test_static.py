"""A campaign that drops hopeless candidates before they are relaxed."""

from __future__ import annotations

import pytest

from genmat.campaign.io import parse_campaign
from genmat.screening.static import is_audited
from genmat.screening.verdict import Stage
from workflows.report import write_outputs
from workflows.run import create_campaign, run_campaign

from .conftest import Place

STATIC = """
name: static
target:
  chemistry: {elements: [Li, Na, K, O, S, F, Cl], n_elements: {min: 2, max: 2}}
  n_atoms: {min: 2, max: 4}
generate: {n: 10, seed: 5, oversample: 1}
screen: {static: {energy_above_hull: 0.02, audit: 0.4}, relax: {fmax: 0.2, smax: 5, max_steps: 30}}
learn: {rounds: 1}
resources: {generate_chunk: 10, screen_chunk: 5, workers: 1}
"""


@pytest.fixture(scope="module")
def gated(tmp_path_factory):
    """Return a store with a campaign whose hopeless candidates fall before they are relaxed."""
    store = Place(tmp_path_factory.mktemp("gated")).open()
    campaign = parse_campaign(STATIC, source="test")
    create_campaign(store, campaign)
    run_campaign(store, campaign.name, workers=1)
    yield store
    store.close()


def test_what_falls_as_proposed_is_never_relaxed_and_the_audit_slice_always(gated):
    found = {c.id: {v.stage: v for v in c.verdicts} for c in gated.candidates.iterate({"campaign": "static"})}
    judged = {key: verdicts for key, verdicts in found.items() if Stage.STATIC in verdicts}
    fell = {key for key, verdicts in judged.items() if not verdicts[Stage.STATIC].passed}
    audited = {key for key, verdicts in judged.items() if "would_fall" in verdicts[Stage.STATIC].values}
    assert fell
    assert audited
    assert all(Stage.RELAX not in judged[key] for key in fell)
    assert all(Stage.RELAX in verdicts for key, verdicts in judged.items() if key not in fell)
    assert audited == {
        key
        for key, verdicts in judged.items()
        if is_audited(key, fraction=0.4) and verdicts[Stage.STATIC].values["static_energy_above_hull"] > 0.02
    }


def test_the_report_tells_what_the_gate_saved_and_lost(gated, tmp_path):
    write_outputs(gated, "static", tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "saved by one test" in page
    assert "false rejects (95 % interval" in page
