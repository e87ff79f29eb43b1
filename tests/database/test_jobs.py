from __future__ import annotations

import pytest
from jobflow import Flow, job, run_locally

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:jobflow")


@job
def add(left, right):
    return left + right


def test_jobflow_passes_outputs_through_the_store(store, tmp_path):
    first = add(1, 2)
    second = add(first.output, 4)
    outputs = store.job_store()
    responses = run_locally(Flow([first, second]), store=outputs, root_dir=tmp_path, log=False)
    assert responses[second.uuid][1].output == 7
    assert outputs.get_output(second.uuid) == 7


def test_running_a_job_again_replaces_its_output(store, tmp_path):
    outputs = store.job_store()
    single = add(1, 2)
    flow = Flow([single])
    for _ in range(2):
        run_locally(flow, store=outputs, root_dir=tmp_path, log=False)
    assert outputs.count({"uuid": single.uuid}) == 1


def test_closing_the_job_store_leaves_the_store_open(store):
    outputs = store.job_store()
    outputs.connect()
    outputs.close()
    assert store.candidates.count() == 0


def test_the_job_store_knows_no_address(store, settings):
    assert "sock" not in str(store.job_store().as_dict())


@pytest.mark.mongo
def test_outputs_are_indexed_by_job(store):
    if store.in_process:
        return
    store.job_store()
    keys = store._session.run(
        lambda database: [list(index["key"].items()) for index in database["outputs"].list_indexes()]
    )
    assert [("uuid", 1), ("index", -1)] in keys
