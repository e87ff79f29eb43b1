"""The indexes: one for every question that a command or a page asks."""

from __future__ import annotations

INDEXES: dict[str, tuple[tuple[str, ...], ...]] = {
    "structures": (("content_hash",), ("formula_pretty",), ("chemsys",), ("gene",), ("schema_version",)),
    "properties": (("structure_id", "name"), ("name", "fidelity", "value"), ("schema_version",)),
    "candidates": (
        ("campaign", "round", "index"),
        ("campaign", "round", "stage", "reason", "status"),
        ("campaign", "status", "round"),
        # The orders of a table, each with _id so that a page can begin where the last one ended.
        ("campaign", "rank", "_id"),
        ("campaign", "score", "_id"),
        ("campaign", "energy_above_hull", "_id"),
        # The filters of a table, each in the order of the distance to the hull.
        ("campaign", "round", "energy_above_hull", "_id"),
        ("campaign", "stage", "energy_above_hull", "_id"),
        ("campaign", "reason", "energy_above_hull", "_id"),
        ("campaign", "status", "energy_above_hull", "_id"),
        ("campaign", "formula_pretty", "energy_above_hull", "_id"),
        ("campaign", "chemsys", "energy_above_hull", "_id"),
        ("campaign", "elements", "energy_above_hull", "_id"),
        ("campaign", "space_group_number", "energy_above_hull", "_id"),
        # Other campaigns that accepted a crystal.
        ("formula_pretty", "status", "campaign", "_id"),
        ("structure_id",),
        ("relaxed_structure_id",),
        ("schema_version",),
    ),
    "campaigns": (("state",), ("schema_version",)),
    "provenance": (
        ("campaign", "round", "stage", "state"),
        ("state", "campaign", "round"),
        ("generated",),
        ("used",),
        ("schema_version",),
    ),
    "models": (("sha256",), ("kind",), ("schema_version",)),
}
"""Ascending compound indexes by collection; a descending sort reads them backwards."""

QUEUE_INDEXES: dict[str, tuple[tuple[str, ...], ...]] = {
    "fireworks": (("state", "spec._category", "spec._priority"), ("spec.genmat.campaign", "state")),
    "workflows": (("metadata.genmat.campaign", "metadata.genmat.round", "metadata.genmat.phase"), ("locked",)),
    "launches": (("fw_id", "state"), ("state",)),
    "outputs": (("uuid", "index"), ("blob_uuid",)),
}
"""What FireWorks and jobflow lack: what a launcher asks for each job, and what we ask of a campaign."""

ENDED_JOBS = ("COMPLETED", "DEFUSED", "ARCHIVED")
"""States of FireWorks' jobs that will not run."""
