"""Engines by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genmat.errors import EngineError, did_you_mean

if TYPE_CHECKING:
    from genmat.validation.engine import Engine

ENGINES = ("gpaw", "vasp", "vasp-r2scan")


def get_engine(name: str) -> Engine:
    """Return an engine with its default settings; what it needs is looked for by its ``check``.

    Raises
    ------
    EngineError
        If there is none of that name.
    """
    if name == "gpaw":
        from genmat.validation.gpaw import Gpaw

        return Gpaw()
    if name in {"vasp", "vasp-r2scan"}:
        from genmat.validation.vasp import Vasp

        return Vasp("PBE" if name == "vasp" else "r2SCAN")
    hint = did_you_mean(name, ENGINES) or f" Engines are: {', '.join(ENGINES)}"
    msg = f"unknown engine {name!r}.{hint}"
    raise EngineError(msg)
