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
@pytest.mark.timeout(1800)  # five minutes by itself; the time limit counts what others do on the machine
def test_quickstart_shows_gpaw_beside_the_potential(tmp_path):
    place = Place(tmp_path / "data")
    command = [sys.executable, "-m", "genmat.cli", "run", str(REPOSITORY / "examples" / "quickstart.yaml"), "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=place.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "finished"
    with place.open() as store:
        judged = list(store.candidates.iterate({"campaign": "quickstart", "verdicts.stage": "validate"}))
    verdicts = [verdict for c in judged for verdict in c.verdicts if verdict.stage == "validate"]
    assert len(verdicts) >= 2
    assert any(verdict.passed for verdict in verdicts)
    values = [verdict.values for verdict in verdicts]
    both = {"energy_above_hull", "energy_above_hull_potential", "potential_force_mae", "potential_stress_mae"}
    assert all(both <= set(v) for v in values)
    page = (tmp_path / "genmat-output" / "quickstart" / "report.html").read_text(encoding="utf-8")
    assert "First principles beside the potential" in page
    assert "there was no audit" not in page  # S.S.U.N. by first principles has an estimate
