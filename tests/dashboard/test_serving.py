"""``genmat serve`` as people start it: a process of its own, on a port or on a Unix socket."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.mongo
ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def started(settings, folder, *arguments):
    """Start the command; yield the process and the lines that it printed."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GENMAT_")},
        "GENMAT_DATABASE_URI": settings.database_uri.get_secret_value(),
        "GENMAT_DATA_FOLDER": str(folder / "data"),
        "XDG_CONFIG_HOME": str(folder),
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-m", "genmat.cli", "serve", *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield process, [process.stdout.readline().strip() for _ in range(3)]
        finally:
            process.send_signal(signal.SIGINT)


def test_port_is_of_this_machine_and_the_printed_address_opens(settings, server, tmp_path):
    with started(settings, tmp_path, "--port", "0") as (process, lines):
        address = re.search(r"http://localhost:(\d+)/\?token=\S+", lines[1])
        assert f"ssh -L {address[1]}:localhost:{address[1]}" in lines[2]
        with httpx.Client(follow_redirects=True) as browser:
            assert "<h1>Campaigns</h1>" in browser.get(address[0]).text
        taken = subprocess.run(
            [sys.executable, "-m", "genmat.cli", "serve", "--port", address[1]],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "GENMAT_DATA_FOLDER": str(tmp_path / "other")},
            check=False,
        )
        assert taken.returncode == 2
        assert f"port {address[1]} cannot be used" in taken.stderr
        assert "--port 0" in taken.stderr
    assert process.wait() in {0, 130}


def test_socket_is_its_owners_alone_and_goes_with_the_server(settings, server, tmp_path):
    place = tmp_path / "d.sock"
    with started(settings, tmp_path, "--socket", str(place)) as (process, lines):
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        assert str(place) in lines[2]
        token = lines[1].partition("token=")[2]
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(place)), base_url="http://localhost:8000") as browser:
            answer = browser.get("/", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200
    assert process.wait() in {0, 130}
    assert not place.exists()
