"""Chunks of prescreening: full by their atoms, and the same however often they are planned."""

from __future__ import annotations

import pytest

from genmat.campaign.schema import Resources
from genmat.database.documents import CandidateDocument
from workflows.planning import _screen_chunks


def chunks(sizes: list[int], **resources) -> list[list[int]]:
    candidates = [
        CandidateDocument(
            id=f"c{k}", campaign="c", round=0, index=k, generator="template", generator_hash="h", seed=0, nsites=size
        )
        for k, size in enumerate(sizes)
    ]
    return [[c.nsites for c in chunk] for chunk in _screen_chunks(candidates, Resources(**resources))]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"screen_chunk_atoms": 20}, [[4, 4, 4], [30], [8, 12], [4]]),
        ({"screen_chunk_atoms": 20, "screen_chunk": 2}, [[4, 4], [4], [30], [8, 12], [4]]),
        ({"screen_chunk": 4}, [[4, 4, 4, 30], [8, 12, 4]]),
        ({}, [[4, 4, 4, 30, 8, 12, 4]]),
    ],
)
def test_chunks_are_full_by_atoms_and_by_number_where_that_is_asked(limits, expected):
    assert chunks([4, 4, 4, 30, 8, 12, 4], **limits) == expected


def test_every_candidate_is_in_one_chunk_and_none_is_too_large_but_what_is_so_alone():
    sizes = [1 + (7 * k) % 40 for k in range(200)]
    found = chunks(sizes, screen_chunk_atoms=60)
    assert [size for chunk in found for size in chunk] == sizes
    assert all(sum(chunk) <= 60 or len(chunk) == 1 for chunk in found)


def test_no_candidates_are_no_chunks():
    assert chunks([]) == []
