"""How fast the dashboard answers: a campaign of many synthetic candidates in a real mongod, twenty clients at once.

The server runs in a process of its own, as ``genmat serve`` does; its memory is what psutil says it holds. Each
client asks for the pages in turn. Run: python benchmarks/bench_dashboard.py --candidates 1000000
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import psutil

from genmat import __version__
from genmat.campaign.io import parse_campaign
from genmat.database.connection import has_database, open_session
from genmat.database.documents import CampaignDocument, CandidateDocument, RoundState
from genmat.database.store import connect
from genmat.screening.verdict import Stage
from genmat.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

CAMPAIGN = "name: many\ntarget: {properties: [{name: energy_above_hull, max: 0.1}]}\ngenerate: {n: 1000}\n"
ELEMENTS = ["Li", "Na", "K", "Mg", "Ca", "Sr", "Ti", "Zr", "Fe", "Co", "Ni", "Al", "Si", "O", "S", "F", "Cl", "Br"]
FALLS = {
    Stage.VALIDITY: "too_close",
    Stage.NOVELTY: "known",
    Stage.UNIQUENESS: "duplicate",
    Stage.SELECTION: "not_selected",
    Stage.RELAX: "not_converged",
    Stage.STABILITY: "above_hull",
    Stage.TARGET: "off_target",
}
ROUNDS, BATCH = 10, 5000


def candidates(number: int) -> Iterator[CandidateDocument]:
    """Yield candidates that end where those of real campaigns do."""
    dice = random.Random(1)  # noqa: S311
    rank = 0
    for index in range(number):
        elements = sorted(dice.sample(ELEMENTS, dice.choice((2, 3, 3))))
        amounts = [dice.choice((1, 1, 2, 3, 4)) for _ in elements]
        formula = "".join(
            f"{symbol}{amount if amount > 1 else ''}" for symbol, amount in zip(elements, amounts, strict=True)
        )
        stage = dice.choices([*FALLS, Stage.RANK], weights=(6, 10, 14, 40, 2, 18, 5, 5))[0]
        relaxed = stage in {Stage.STABILITY, Stage.TARGET, Stage.RANK}
        above = round(dice.lognormvariate(-2, 0.8), 5) if relaxed else None
        rank += stage is Stage.RANK
        yield CandidateDocument(
            id=f"{dice.getrandbits(128):032x}",
            campaign="many",
            round=index * ROUNDS // number,
            index=index,
            generator="template",
            generator_hash="bench",
            seed=1,
            stage=stage,
            status="accepted" if stage is Stage.RANK else "rejected",
            reason=FALLS.get(stage, "ok"),
            score=round(dice.random(), 6),
            rank=rank if stage is Stage.RANK else None,
            formula_pretty=formula,
            elements=elements,
            nelements=len(elements),
            chemsys="-".join(elements),
            nsites=sum(amounts),
            space_group_number=dice.choice((2, 12, 14, 62, 63, 139, 166, 194, 216, 221, 225, 227)),
            energy_above_hull=above,
            properties={} if above is None else {"energy_above_hull": above, "density": dice.uniform(2, 8)},
        )


def fill(settings: Settings, number: int) -> None:
    """Write the campaign: candidates first, then all indexes at once, which is several times faster."""
    parsed = parse_campaign(CAMPAIGN, source="bench")
    rounds = [RoundState(round=k, phase="done") for k in range(ROUNDS)]
    with closing(open_session(settings, read_only=False)) as session:
        for batch in batched(candidates(number), BATCH):
            session.insert("candidates", [document.to_mongo() for document in batch])
    with connect(settings) as store:
        store.campaigns.insert_if_absent(
            [
                CampaignDocument(
                    id="many", config=parsed.to_dict(), config_hash="x", code_version=__version__, rounds=rounds
                )
            ]
        )


def main() -> None:
    """Print the 95th percentiles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=1_000_000)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--requests", type=int, default=200, help="requests of each page")
    parser.add_argument("--folder", type=Path, help="keep the database here, and use the one that is here")
    parser.add_argument("--fill-only", action="store_true", help="write the database, measure nothing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="genmat-bench-") as folder:
        settings = Settings(data_folder=arguments.folder or Path(folder) / "data", mongod_idle=5.0)
        if not has_database(settings):
            started = time.perf_counter()
            fill(settings, arguments.candidates)
            print(f"{arguments.candidates:,} candidates written in {time.perf_counter() - started:.0f} s")
        if arguments.fill_only:
            return
        with connect(settings) as store:
            some = store.candidates.find({"campaign": "many", "status": "accepted"}, limit=20)
            print(f"{store.candidates.count():,} candidates, load of the machine {os.getloadavg()[0]:.1f}")
            measure(
                settings, [candidate.id for candidate in some], clients=arguments.clients, number=arguments.requests
            )


def measure(settings: Settings, identifiers: list[str], *, clients: int, number: int) -> None:
    """Serve the database and ask for every page."""
    environment = {**os.environ, "GENMAT_DATA_FOLDER": str(settings.data_folder), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "genmat.cli", "serve", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            place = next(
                found for line in server.stdout or () if (found := re.search(r"(http://\S+)/\?token=(\S+)", line))
            )
            client = httpx.Client(
                base_url=place[1],
                headers={"Authorization": f"Bearer {place[2]}"},
                timeout=120,
                limits=httpx.Limits(max_connections=clients),
            )
            pages = {
                "overview": ["/"],
                "funnel": ["/api/v1/campaigns/many/figures/funnel"],
                "campaign": ["/campaigns/many"],
                "table": ["/campaigns/many/candidates"],
                "filtered table": [
                    "/campaigns/many/candidates?elements=Li,O",
                    "/campaigns/many/candidates?reason=above_hull&max_e=0.2",
                    "/campaigns/many/candidates?stage=target&space_group=225",
                ],
                "candidate": [f"/candidates/{identifier}" for identifier in identifiers],
            }
            for name, addresses in pages.items():
                first = time.perf_counter()
                client.get(addresses[0]).raise_for_status()
                first = time.perf_counter() - first

                def ask(turn: int, addresses: list[str] = addresses) -> float:
                    started = time.perf_counter()
                    client.get(addresses[turn % len(addresses)]).raise_for_status()
                    return time.perf_counter() - started

                alone = [ask(turn) for turn in range(20)]
                with ThreadPoolExecutor(clients) as pool:
                    together = list(pool.map(ask, range(number)))
                print(
                    f"{name:15} first {1000 * first:6.0f} ms, p95 alone {1000 * np.percentile(alone, 95):5.0f} ms, "
                    f"p95 with {clients} clients {1000 * np.percentile(together, 95):5.0f} ms"
                )
            memory = psutil.Process(server.pid).memory_info().rss / 1e6
            print(f"memory of the server {memory:.0f} MB")
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
