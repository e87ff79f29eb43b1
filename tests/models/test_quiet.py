"""What libraries print is dropped, and nothing else."""

from __future__ import annotations

import sys
from threading import Event, Thread

from genmat.models.potentials.quiet import quiet


def test_what_is_printed_meanwhile_is_dropped(capsys):
    with quiet():
        sys.stdout.write("banner\n")
    sys.stdout.write("told\n")
    assert capsys.readouterr().out == "told\n"


def test_two_threads_that_overlap_leave_standard_output_as_it_was():
    before = sys.stdout
    first_is_in, first_is_out = Event(), Event()

    def first():
        with quiet():
            first_is_in.set()
            second_is_in.wait(0.3)
        first_is_out.set()

    second_is_in = Event()

    def second():
        first_is_in.wait()
        with quiet():
            second_is_in.set()
            first_is_out.wait()

    threads = [Thread(target=first), Thread(target=second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sys.stdout is before
