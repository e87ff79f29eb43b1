"""Content ids: one id for one crystal, however it is described.

The id hashes the gene (space group, elements on Wyckoff letters) together with lengths that no choice of setting,
origin, handedness or order of atoms can change: the cube root of the volume per atom, and for each element the mean
distance of its atoms to their 12 nearest neighbours. Lengths are counted in steps of 0.01 Å. The grid is shifted by an
irrational fraction of a step, so that no length of few decimals lies on a boundary between two steps.

Rounding means: crystals whose lengths differ by more than a step have different ids, and noise that shifts a length by
δ splits an id with a probability of δ over the step. Means over many distances shift by much less than the atoms:
of real crystals with noise of 1e-5 Å on every coordinate fewer than one in a thousand get another id, with 1e-4 Å about
one in two hundred. Nearly equal crystals are therefore found by fingerprint and matcher, not by this id.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from genmat.ids import stable_id
from genmat.representation.conversion import to_arrays
from genmat.representation.fingerprint import neighbour_distances
from genmat.representation.gene import gene

if TYPE_CHECKING:
    from genmat.representation.crystal import Crystal

LENGTH_STEP = 0.01
"""Rounding of lengths in Å."""

_N_NEIGHBOURS = 12
_GRID_OFFSET = 1.0 / math.pi


def content_id(crystal: Crystal) -> str:
    """Return the id of what ``crystal`` is: 32 hexadecimal digits.

    Equal for every description of one crystal, its mirror image included; see the module for the rounding.
    """
    return stable_id("content", gene(crystal), [_step(length) for length in _invariant_lengths(crystal)])


def _invariant_lengths(crystal: Crystal) -> list[float]:
    """Return the cube root of the volume per atom and the mean neighbour distance of each element, in Å."""
    matrix, symbols, points = to_arrays(crystal)
    nearest = neighbour_distances(matrix, points, k=_N_NEIGHBOURS).mean(axis=1)
    names = np.array(symbols)
    means = [float(nearest[names == element].mean()) for element in sorted(set(symbols))]
    return [math.cbrt(crystal.volume / len(symbols)), *means]


def _step(length: float) -> int:
    """Return the step of the grid that holds ``length`` (Å)."""
    return math.floor(length / LENGTH_STEP + _GRID_OFFSET)
