"""Closed-loop generative design campaigns for inorganic crystals."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genmat.notebook import Campaign as Campaign

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "Campaign":  # a command line that prints its version needs no database
        return import_module("genmat.notebook").Campaign
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
