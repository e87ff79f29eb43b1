"""The command line: the only part of genmat that prints and configures logging."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command that the arguments of this process name and return its exit code."""
    from genmat.cli.entry import run

    return run(sys.argv[1:])
