"""What ``genmat doctor`` says of a cluster: each line that is not well names the remedy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from genmat.cli.doctor import _TESTS
from workflows.reconcile import reconcile

if TYPE_CHECKING:
    from .conftest import Place


@pytest.fixture
def site(place: Place, slurm, monkeypatch) -> Place:
    """Write the site's files with the command of a user."""
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    place.genmat("init", "--queue", "slurm", "--gpu-partition", "gpu", "--cpu-partition", "cpu")
    return place


@pytest.mark.slurm
def test_a_queue_that_answers_and_has_the_partitions_is_well(site: Place, monkeypatch):
    ok, said = _TESTS["queue"](site.settings)
    assert ok, said
    # The queue is that of all tests.
    assert re.match(r"slurm answers, has cpu, gpu, \d+ jobs of yours", said)
    file = site.folder / "config" / "genmat" / "fw_configs" / "my_qadapter_gpu.yaml"
    file.write_text(re.sub(r"queue: \w+", "queue: gpus", file.read_text()))
    ok, said = _TESTS["queue"](site.settings)
    assert ok is False
    assert said == f"slurm has no gpus, it has cpu, gpu: put one of them into queue in {file}"
    monkeypatch.setenv("PATH", str(site.folder))
    ok, said = _TESTS["queue"](site.settings)
    assert ok is False
    assert "slurm does not answer" in said
    assert "load its module" in said


def test_a_machine_without_site_is_told_how_to_make_one(place: Place):
    ok, said = _TESTS["queue"](place.settings)
    assert ok is None
    assert "genmat init --queue slurm" in said


@pytest.mark.mongo
def test_a_missing_index_is_told_and_reconcile_makes_it(place: Place, store):
    launchpad = store.launchpad()
    launchpad.prepare()
    launchpad.workflows.insert_one({"_id": "one", "nodes": []})
    assert _TESTS["indexes"](place.settings) == (True, "all are present")
    launchpad.fireworks.drop_index("state_1_spec._category_1_spec._priority_1")
    ok, said = _TESTS["indexes"](place.settings)
    assert ok is False
    assert said == (
        "1 are missing, the first fireworks (state, spec._category, spec._priority): genmat reconcile makes them"
    )
    reconcile(store, None)
    assert _TESTS["indexes"](place.settings)[0]


def test_a_data_folder_that_others_may_write_is_refused_with_the_remedy(place: Place, tmp_path):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    settings = place.settings.model_copy(update={"data_folder": folder})
    assert _TESTS["permissions"](settings) == (False, f"{folder} is open to others (777): chmod 700 {folder}")
    folder.chmod(0o700)
    assert _TESTS["permissions"](settings)[0]
