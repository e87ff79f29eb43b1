"""Full and read-only disks under the commands of a cluster: one clear line, nothing torn."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from .conftest import CAMPAIGN, outcome

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Place

pytestmark = pytest.mark.mongo
FULL = "head -c 9000000 /dev/zero 2>/dev/null > {0}/fill; "
READ_ONLY = "mount -o remount,ro {0}; "


def on_small_disk(place: Place, small: Path, condition: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose data folder lies on a file system of 4 MB of its own; skip where none can be mounted."""
    small.mkdir()
    mount = f"mount -t tmpfs -o size=4m none {small} && mkdir -m 700 {small}/data && touch {small}/mounted; "
    command = f'{mount} {condition.format(small)} "$@"; code=$?; test -e {small}/mounted || code=99; exit $code'
    whole = ["unshare", "-rm", "sh", "-c", command, "sh", sys.executable, "-m", "genmat.cli", *arguments]
    environment = {**place.environment, "GENMAT_DATA_FOLDER": str(small / "data")}
    done = subprocess.run(
        whole, env=environment, cwd=place.folder, capture_output=True, text=True, check=False, timeout=200
    )
    if done.returncode in {1, 32, 99} and "genmat" not in done.stderr:
        pytest.skip("this machine lets users mount no small file system")
    return done


@pytest.mark.parametrize(
    ("condition", "said"),
    [(FULL, "no space left on its disk: make room"), (READ_ONLY, "Read-only file system; set GENMAT_DATA_FOLDER")],
    ids=["full", "read-only"],
)
def test_a_disk_that_takes_nothing_is_told_in_one_line(place: Place, tmp_path, condition, said):
    (place.folder / "campaign.yaml").write_text(CAMPAIGN)
    done = on_small_disk(place, tmp_path / "small", condition, "submit", "campaign.yaml")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert said in line
    assert "GENMAT_DATA_FOLDER" in line


def test_doctor_names_the_folder_that_takes_nothing_and_the_remedy(place: Place, tmp_path):
    done = on_small_disk(place, tmp_path / "small", READ_ONLY, "doctor")
    assert done.returncode == 2
    text = " ".join(done.stdout.split())
    assert "Read-only file system" in text
    assert "GENMAT_DATA_FOLDER" in text


def test_a_scratch_disk_that_fills_up_fails_no_job_and_the_next_worker_goes_on(place: Place, tmp_path, undisturbed):
    (place.folder / "campaign.yaml").write_text(CAMPAIGN)
    place.genmat("submit", "campaign.yaml")
    small = tmp_path / "small"
    small.mkdir()
    # Full from the moment at which the first folder of a job appears.
    fill = f'(until ls -d {small}/genmat-work-*/* >/dev/null 2>&1; do sleep 0.01; done; {FULL.format(small)}) & "$@"'
    command = (
        f"mount -t tmpfs -o size=4m none {small} && touch {small}/mounted; test -e {small}/mounted || exit 99; {fill}"
    )
    whole = ["unshare", "-rm", "sh", "-c", command, "sh", sys.executable, "-m", "genmat.cli", "dispatch", "--local"]
    environment = {**place.environment, "TMPDIR": str(small)}
    done = subprocess.run(
        whole, env=environment, cwd=place.folder, capture_output=True, text=True, check=False, timeout=200
    )
    if done.returncode in {1, 32, 99} and "genmat" not in done.stderr:
        pytest.skip("this machine lets users mount no small file system")
    assert done.returncode == 2
    assert f"genmat: scratch folder {small}: No space left on device; make room there" in done.stderr
    with place.open() as store:
        assert all(failure.attempts == 0 for failure in store.launchpad().failures())
    place.genmat("dispatch", "--local")
    with place.open() as store:
        assert outcome(store, "tiny") == undisturbed
