"""The command of the README and of ``make demo`` does what they say, with the real GPAW."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

from .conftest import Place


@pytest.mark.dft
@pytest.mark.usefixtures("trained_models", "gpaw")
@pytest.mark.timeout(1800)  # four minutes by itself; the time limit counts what others do on the machine
def test_quickstart_shows_gpaw_beside_the_potential(tmp_path):
    place = Place(tmp_path / "data")
    command = [sys.executable, "-m", "genmat.cli", "run", str(REPOSITORY / "examples" / "quickstart.yaml"), "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=place.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "finished"
    with place.open() as store:
        rounds = store.campaigns.require("quickstart").rounds
        assert sum(state.counts["validated"] for state in rounds) >= 1
        judged = list(store.candidates.iterate({"campaign": "quickstart", "verdicts.stage": "validate"}))
    values = [verdict.values for c in judged for verdict in c.verdicts if verdict.stage == "validate"]
    both = {"energy_above_hull", "energy_above_hull_potential", "potential_force_mae", "potential_stress_mae"}
    assert all(both <= set(v) for v in values)
    page = (tmp_path / "genmat-output" / "quickstart" / "report.html").read_text(encoding="utf-8")
    assert "First principles beside the potential" in page
