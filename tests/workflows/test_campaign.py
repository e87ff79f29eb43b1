"""A whole campaign: every draw ends with a reason, and everything can be walked back to its cause."""

from __future__ import annotations

import time

import pytest

from genmat.campaign.io import parse_campaign
from genmat.errors import CampaignBusyError, CampaignError, PotentialError
from genmat.screening.verdict import Reason, Stage
from workflows.advance import advance
from workflows.run import create_campaign, run_campaign

from .conftest import CAMPAIGN, outcome

N_DRAWS, N_ROUNDS, MAX_RELAXED = 12, 2, 4


def candidates(finished):
    return list(finished.store.candidates.iterate({"campaign": finished.name}))


def test_every_draw_is_a_candidate_with_a_verdict_and_a_reason(undisturbed):
    found = candidates(undisturbed)
    assert sorted((c.round, c.index) for c in found) == [(r, i) for r in range(N_ROUNDS) for i in range(N_DRAWS)]
    for candidate in found:
        assert candidate.status != "active"
        assert candidate.verdicts[-1].reason == candidate.reason
        assert Reason(candidate.reason)


def test_verdicts_follow_the_funnel_and_only_the_last_may_reject(undisturbed):
    for candidate in candidates(undisturbed):
        orders = [Stage(verdict.stage).order for verdict in candidate.verdicts]
        assert orders == sorted(orders)
        assert all(verdict.passed for verdict in candidate.verdicts[:-1])


def test_no_more_are_relaxed_than_asked_for(undisturbed):
    for number in range(N_ROUNDS):
        relaxed = [c for c in candidates(undisturbed) if c.round == number and c.relaxed_structure_id]
        assert 0 < len(relaxed) <= MAX_RELAXED


def test_ranks_of_the_accepted_are_one_to_n_by_merit(undisturbed):
    accepted = sorted((c for c in candidates(undisturbed) if c.status == "accepted"), key=lambda c: c.rank)
    assert [c.rank for c in accepted] == list(range(1, len(accepted) + 1))
    merits = [next(v.values["merit"] for v in c.verdicts if v.stage == Stage.TARGET) for c in accepted]
    assert merits == sorted(merits, reverse=True)


def test_accepted_crystals_are_on_target_and_stable(undisturbed):
    for candidate in (c for c in candidates(undisturbed) if c.status == "accepted"):
        assert candidate.on_target
        assert candidate.energy_above_hull <= 0.1
        assert candidate.properties["volume_per_atom"] <= 40


def test_second_round_is_judged_against_a_snapshot_with_the_survivors(undisturbed):
    document = undisturbed.store.campaigns.require(undisturbed.name)
    first, second = document.snapshots
    assert first.structure_ids == []
    survivors = [c for c in candidates(undisturbed) if c.round == 0 and c.status == "accepted"]
    assert second.structure_ids == sorted(c.relaxed_structure_id for c in survivors)
    judged = {v.snapshot_id for c in candidates(undisturbed) if c.round == 1 for v in c.verdicts}
    assert judged == {second.id}


def test_second_round_proposes_with_what_the_first_taught(undisturbed):
    first, second = undisturbed.store.campaigns.require(undisturbed.name).rounds
    assert not any(first.weights.values())
    assert any(second.weights["elements"].values())


def test_candidate_walks_back_to_template_seed_code_model_and_job(undisturbed):
    accepted = [c for c in candidates(undisturbed) if c.relaxed_structure_id]
    lineage = undisturbed.store.lineage(accepted[0].id)
    assert {activity.stage for activity in lineage.activities} >= {"generate", "relax"}
    generate = next(a for a in lineage.activities if a.stage == "generate")
    relax = next(a for a in lineage.activities if a.stage == "relax")
    assert accepted[0].origin["template"]
    assert (generate.seed, generate.code_version) == (3, "0.1.0")
    assert relax.model == "chgnet-0.3.0"
    assert len(relax.model_sha256) == 64
    assert relax.attempts[0].outcome == "completed"
    assert {value.unit for value in lineage.properties if value.name == "energy_per_atom"} == {"eV/atom"}
    assert all(value.energy_scale for value in lineage.properties if value.name == "energy_per_atom")


def test_ssun_counts_every_draw_and_names_its_definitions(undisturbed):
    for state in undisturbed.store.campaigns.require(undisturbed.name).rounds:
        assert state.ssun["proportions"]["ssun_after"]["total"] == N_DRAWS
        assert state.ssun["definition"]["hull_tolerance"] == 0.1
        assert state.ssun["definition"]["snapshot_id"] == state.snapshot_id


def test_counts_of_a_round_add_up_to_its_draws(undisturbed):
    for state in undisturbed.store.campaigns.require(undisturbed.name).rounds:
        rest = {key: value for key, value in state.counts.items() if key not in {"proposed", "relaxed", "accepted"}}
        assert sum(rest.values()) + state.counts["accepted"] == state.counts["proposed"] == N_DRAWS


def test_same_campaign_run_twice_is_a_no_op_in_seconds(undisturbed):
    start = time.monotonic()
    campaign = parse_campaign(CAMPAIGN.format(name="small"), source="test")
    create_campaign(undisturbed.store, campaign)
    run_campaign(undisturbed.store, "small")
    assert time.monotonic() - start < 20
    assert outcome(undisturbed.store, "small") == undisturbed.outcome


def test_advancing_a_finished_campaign_changes_nothing(undisturbed):
    assert advance(undisturbed.store, undisturbed.name) == []
    assert outcome(undisturbed.store, undisturbed.name) == undisturbed.outcome


def test_same_name_with_another_configuration_is_refused_with_the_difference(undisturbed):
    other = parse_campaign(CAMPAIGN.format(name="small").replace("seed: 3", "seed: 4"), source="test")
    with pytest.raises(CampaignError, match=r"generate\.seed: 3 → 4"):
        create_campaign(undisturbed.store, other)


def test_target_that_no_template_meets_is_refused_before_anything_is_stored(undisturbed):
    text = CAMPAIGN.format(name="impossible").replace("n_atoms: {min: 2, max: 5}", "n_atoms: {min: 1, max: 1}")
    before = undisturbed.store.campaigns.count()
    with pytest.raises(CampaignError):
        create_campaign(undisturbed.store, parse_campaign(text, source="test"))
    assert undisturbed.store.campaigns.count() == before


def test_unknown_potential_is_refused_before_anything_is_stored(undisturbed):
    text = CAMPAIGN.format(name="potential") + "\n"
    text = text.replace("screen: {", "screen: {potential: chgnet-0.4, ")
    with pytest.raises(PotentialError, match=r"Did you mean 'chgnet-0\.3\.0'"):
        create_campaign(undisturbed.store, parse_campaign(text, source="test"))
    assert undisturbed.store.campaigns.get("potential") is None


def test_second_run_of_a_running_campaign_is_refused(undisturbed, tmp_path):
    import subprocess
    import sys

    campaign = parse_campaign(CAMPAIGN.format(name="busy"), source="test")
    create_campaign(undisturbed.store, campaign)
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        import psutil

        lease = undisturbed.store.campaigns.acquire("busy")
        other = lease.model_copy(
            update={"pid": sleeper.pid, "process_start": psutil.Process(sleeper.pid).create_time()}
        )
        undisturbed.store.campaigns.set_fields({"busy": {"owner": other}})
        with pytest.raises(CampaignBusyError, match=f"is being run by process {sleeper.pid}"):
            run_campaign(undisturbed.store, "busy")
    finally:
        sleeper.kill()
        sleeper.wait()
