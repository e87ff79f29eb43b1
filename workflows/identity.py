"""Ids of what a campaign makes; each is a hash of what caused it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genmat.ids import stable_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genmat.models.potentials import Potential
    from genmat.models.protocol import RelaxProtocol


def candidate_id(*, campaign: str, round_number: int, generator_configuration: str, index: int) -> str:
    """Return the id of one draw."""
    return stable_id("candidate", campaign, round_number, generator_configuration, index)


def drawn_structure_id(candidate: str) -> str:
    """Return the id of the structure that a draw proposed."""
    return stable_id("drawn", candidate)


def relaxed_structure_id(parent: str, *, protocol: RelaxProtocol, potential: Potential) -> str:
    """Return the id of a relaxed structure: what was relaxed, how and by what, never the floats that came out."""
    return stable_id("relaxed", parent, protocol.to_dict(), potential.key)


def property_id(structure: str, *, name: str, method: str, parameters: dict[str, object]) -> str:
    """Return the id of one value of one property."""
    return stable_id("property", structure, name, method, parameters)


def activity_id(*, campaign: str, round_number: int, stage: str, used: Iterable[str]) -> str:
    """Return the id of the activity that turns some inputs into whatever comes out."""
    return stable_id("activity", campaign, round_number, stage, sorted(used))


def snapshot_id(reference: str, structures: Iterable[str], *, labels: str | None = None) -> str:
    """Return the id of a frozen reference: the table, what a campaign added to it, and the labels beside it."""
    return stable_id("snapshot", reference, sorted(structures), *([] if labels is None else [labels]))
