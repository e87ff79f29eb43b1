"""``genmat work`` in a process of its own whose engine is the cheap one, with a pause in which it can be killed."""

from __future__ import annotations

import sys

from cheap_engine import CheapEngine

from genmat.cli.entry import run
from genmat.validation import registry

if __name__ == "__main__":
    registry.get_engine = lambda _: CheapEngine(pause=1.0)
    sys.exit(run(["work", *sys.argv[1:]]))
