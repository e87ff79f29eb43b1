"""GPAW: the open engine, behind a process boundary (GPLv3; genmat never imports it)."""

from genmat.validation.gpaw.engine import Gpaw, GpawSettings

__all__ = ["Gpaw", "GpawSettings"]
