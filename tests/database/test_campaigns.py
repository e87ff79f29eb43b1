from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psutil
import pytest

from genmat.campaign import Campaign
from genmat.database.campaigns import STALE_AFTER, differences, this_process
from genmat.database.documents import CampaignState, RoundState, SnapshotRecord, utc_now
from genmat.errors import CampaignBusyError, CampaignError


@pytest.fixture
def campaigns(store, campaign):
    store.campaigns.create(campaign)
    return store.campaigns


@pytest.fixture
def other_process():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()
    process.stdin.close()


def plant(campaigns, lease):
    campaigns.set_fields({"halides": {"owner": lease}})


def lease_of(process, *, now):
    return this_process(now).model_copy(
        update={"pid": process.pid, "process_start": psutil.Process(process.pid).create_time()}
    )


def test_creating_the_same_campaign_twice_returns_the_stored_one(campaigns, campaign):
    campaigns.set_state("halides", CampaignState.RUNNING)
    assert campaigns.create(campaign).state is CampaignState.RUNNING
    assert campaigns.count() == 1


def test_another_configuration_of_the_same_name_is_refused_with_the_difference(campaigns, campaign):
    config = {"name": "halides", "generate": {"n": 20, "seed": 1}}
    other = campaign.model_copy(update={"config": config, "config_hash": "hash-2"})
    with pytest.raises(CampaignError, match=r"'halides' exists with another configuration \(generate.n: 10 → 20\)"):
        campaigns.create(other)
    assert campaigns.require("halides").config_hash == "hash-1"


def test_a_campaign_that_an_older_genmat_stored_is_the_same_as_its_file_read_today(store, campaign):
    today = Campaign.from_dict({"name": "halides", "generate": {"n": 20, "seed": 1}}, source="file")
    older = campaign.model_copy(update={"config": {"name": "halides", "generate": {"n": 20, "seed": 1}}})
    store.campaigns.create(older)
    same = older.model_copy(update={"config": today.to_dict(), "config_hash": today.config_hash})
    assert store.campaigns.create(same).config_hash == "hash-1"
    other = Campaign.from_dict({"name": "halides", "generate": {"n": 21, "seed": 1}}, source="file")
    with pytest.raises(CampaignError, match=r"another configuration \(generate.n: 20 → 21"):
        store.campaigns.create(same.model_copy(update={"config": other.to_dict(), "config_hash": other.config_hash}))


def test_differences_name_the_path_of_every_value():
    assert list(differences({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 1}, "d": [2]})) == [
        "a.c: 2 → None",
        "d: [1] → [2]",
    ]


def test_an_unknown_campaign_names_the_nearest(campaigns):
    with pytest.raises(CampaignError, match=r"no campaign 'halide' in this database. Did you mean 'halides'"):
        campaigns.require("halide")


def test_a_free_campaign_is_acquired_and_released(campaigns):
    lease = campaigns.acquire("halides")
    assert campaigns.require("halides").owner == lease
    campaigns.release("halides", lease)
    assert campaigns.require("halides").owner is None


def test_the_same_process_acquires_again_and_keeps_the_time(campaigns):
    first = campaigns.acquire("halides")
    assert campaigns.acquire("halides").since == first.since


def test_a_live_process_of_this_host_is_not_disturbed(campaigns, other_process):
    since = utc_now() - timedelta(hours=3)
    plant(campaigns, lease_of(other_process, now=since))
    with pytest.raises(CampaignBusyError, match=rf"process {other_process.pid} on \S+ since {since:%Y-%m-%d %H:%M}"):
        campaigns.acquire("halides")


def test_the_lease_of_a_dead_process_is_taken_over(campaigns, other_process):
    plant(campaigns, lease_of(other_process, now=utc_now()))
    other_process.kill()
    other_process.wait()
    assert campaigns.acquire("halides").pid != other_process.pid


def test_a_process_id_given_again_to_another_process_is_no_owner(campaigns, other_process):
    lease = lease_of(other_process, now=utc_now())
    plant(campaigns, lease.model_copy(update={"process_start": lease.process_start - 1000}))
    assert campaigns.acquire("halides").pid != other_process.pid


@pytest.mark.parametrize("place", [{"host": "elsewhere"}, {"namespace": "other boot"}])
def test_another_host_owns_until_its_heartbeat_is_old(campaigns, place):
    fresh = this_process(utc_now()).model_copy(update=place)
    plant(campaigns, fresh)
    with pytest.raises(CampaignBusyError, match="is being run by process"):
        campaigns.acquire("halides")
    old = utc_now() - STALE_AFTER - timedelta(seconds=5)
    plant(campaigns, fresh.model_copy(update={"heartbeat": old}))
    assert campaigns.acquire("halides").host != "elsewhere"


def test_one_of_many_hosts_takes_a_stale_lease_over(campaigns, monkeypatch):
    old = utc_now() - timedelta(hours=1)
    plant(campaigns, this_process(old).model_copy(update={"host": "elsewhere"}))

    def of_own_host(now):
        return this_process(now).model_copy(update={"host": threading.current_thread().name})

    def acquire(_):
        try:
            return campaigns.acquire("halides").host
        except CampaignBusyError:
            return None

    monkeypatch.setattr("genmat.database.campaigns.this_process", of_own_host)
    with ThreadPoolExecutor(16) as pool:
        winners = list(filter(None, pool.map(acquire, range(16))))
    assert set(winners) == {campaigns.require("halides").owner.host}


def test_a_heartbeat_moves_the_sign_of_life(campaigns):
    lease = campaigns.acquire("halides")
    time.sleep(0.01)
    campaigns.heartbeat("halides", lease)
    assert campaigns.require("halides").owner.heartbeat > lease.heartbeat


def test_a_heartbeat_after_a_takeover_is_an_error(campaigns):
    lease = campaigns.acquire("halides")
    plant(campaigns, lease.model_copy(update={"host": "elsewhere", "pid": 42}))
    with pytest.raises(CampaignBusyError, match="was taken over by process 42 on elsewhere"):
        campaigns.heartbeat("halides", lease)


def test_releasing_after_a_takeover_changes_nothing(campaigns):
    lease = campaigns.acquire("halides")
    plant(campaigns, lease.model_copy(update={"host": "elsewhere"}))
    campaigns.release("halides", lease)
    assert campaigns.require("halides").owner.host == "elsewhere"


def test_holding_a_campaign_beats_and_lets_go(campaigns):
    with campaigns.hold("halides", interval=0.02) as lease:
        time.sleep(0.2)
        assert campaigns.require("halides").owner.heartbeat > lease.heartbeat
    assert campaigns.require("halides").owner is None


def test_a_round_is_written_and_replaced(campaigns):
    weights = {"templates": {"225:Cl.a,Na.b": 0.1}}
    assert campaigns.set_round("halides", RoundState(round=0, phase="generate"))
    assert campaigns.set_round("halides", RoundState(round=1, phase="generate", weights=weights))
    assert campaigns.set_round("halides", RoundState(round=0, phase="finished", counts={"ok": 3}))
    rounds = campaigns.require("halides").rounds
    assert [(state.round, state.phase) for state in rounds] == [(0, "finished"), (1, "generate")]
    assert rounds[1].weights == weights


def test_one_of_many_advances_a_round(campaigns):
    campaigns.set_round("halides", RoundState(round=0, phase="generate"))
    after = RoundState(round=0, phase="select")
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda _: campaigns.set_round("halides", after, expected_phase="generate"), range(16)))
    assert sum(won) == 1
    assert len(campaigns.require("halides").rounds) == 1


def test_the_first_snapshot_of_a_round_stands(campaigns):
    first = SnapshotRecord(id="a", round=1, reference_id="reference", structure_ids=["s1"])
    assert campaigns.add_snapshot("halides", first) == first
    assert campaigns.add_snapshot("halides", first.model_copy(update={"id": "b"})) == first
    assert campaigns.require("halides").snapshots == [first]
