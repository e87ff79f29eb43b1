from __future__ import annotations

import logging
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from genmat.cli.progress import CampaignProgress
from genmat.cli.terminal import caught_output, configure_logging, end_logging
from genmat.database.store import connect
from genmat.settings import Settings


@pytest.mark.parametrize(
    ("phase", "expected"), [("generate", "4 drawn, 2 valid and novel"), ("prescreen", "2 relaxed, 1 stable")]
)
def test_progress_in_a_pipe_is_a_line_for_each_chunk(salts, capfd, phase, expected):
    chunk = SimpleNamespace(round=0, n_rounds=2, phase=phase, done=1, total=3)
    with connect(Settings.load(), read_only=True) as store, CampaignProgress(store, "salts") as progress:
        progress.report(chunk)
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("round")]
    assert len(lines) == 1
    assert lines[0].startswith(f"round 1 of 2, {phase}: 1 of 3 chunks")
    assert expected in lines[0]


def test_what_libraries_and_children_print_goes_to_the_log(tmp_path, capfd):
    log = tmp_path / "log" / "run.log"
    configure_logging(level="WARNING", log_file=None)
    try:
        with caught_output(log):
            os.write(2, b"Warp CUDA warning: no driver\n")
            os.write(1, b"banner\n")
            subprocess.run([sys.executable, "-c", "import sys; sys.stderr.write('worker\\n')"], check=True)
            logging.getLogger("genmat.test").info("chunk done")
            logging.getLogger("genmat.test").warning("to the user")
    finally:
        end_logging()
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == "genmat: warning: to the user\n"
    text = log.read_text()
    assert all(line in text for line in ("Warp CUDA warning", "banner", "worker", "chunk done", "to the user"))


def test_a_log_that_cannot_be_written_does_not_stop_the_work(tmp_path, capfd):
    (tmp_path / "file").write_text("")
    with caught_output(tmp_path / "file" / "run.log"):
        os.write(2, b"noise\n")
    assert capfd.readouterr().err == ""
