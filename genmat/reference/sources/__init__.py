"""Crystals that a user gives: a parquet or CSV table, or a folder of CIF files."""

from genmat.reference.sources.structure import LABELS, SourceCrystal

__all__ = ["LABELS", "SourceCrystal"]
