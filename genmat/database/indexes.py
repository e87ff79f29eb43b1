"""The indexes: one for every question that a command or a page asks."""

from __future__ import annotations

INDEXES: dict[str, tuple[tuple[str, ...], ...]] = {
    "structures": (("content_hash",), ("formula_pretty",), ("chemsys",), ("gene",), ("schema_version",)),
    "properties": (("structure_id", "name"), ("name", "fidelity", "value"), ("schema_version",)),
    "candidates": (
        ("campaign", "round", "index"),
        ("campaign", "stage", "round"),
        ("campaign", "status", "round"),
        ("campaign", "rank"),
        ("campaign", "energy_above_hull"),
        ("campaign", "score"),
        ("campaign", "formula_pretty"),
        ("campaign", "chemsys"),
        ("campaign", "elements"),
        ("campaign", "space_group_number"),
        ("structure_id",),
        ("relaxed_structure_id",),
        ("schema_version",),
    ),
    "campaigns": (("state",), ("schema_version",)),
    "provenance": (
        ("campaign", "round", "stage", "state"),
        ("generated",),
        ("used",),
        ("schema_version",),
    ),
    "models": (("sha256",), ("kind",), ("schema_version",)),
}
"""Ascending compound indexes by collection; a descending sort reads them backwards."""
