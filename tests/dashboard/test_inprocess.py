"""Without any mongod the dashboard shows what the store in a process has written."""

from __future__ import annotations

from genmat.database.store import connect
from genmat.settings import Settings

from .conftest import fill_with_evil, serve

PAGES = ["/", "/campaigns/evil", "/campaigns/evil/candidates", "/candidates/candidate", "/metrics", "/failures"]


def test_pages_answer_on_the_store_in_a_process(tmp_path):
    settings = Settings(data_folder=tmp_path, mongod="/bin/false")
    with connect(settings) as store:
        fill_with_evil(store)
    with serve(settings) as running:
        for path in PAGES:
            assert running.get(path).status_code == 200, path
        assert running.get("/api/v1/campaigns/evil/figures/energies").json()["data"]
