"""Genes that are being built, and masks of what may come next that many of them share.

Sets of elements are integers whose bit Z stands for atomic number Z.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genmat.representation.room import site_is_free

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BoolArray = NDArray[np.bool_]

N_LETTERS = 27
STOP = N_LETTERS
"""Index of "the gene ends" beside the letters a, …, z, A."""

N_ELEMENTS = 118
NO_MASK = 0
"""Index of the mask that is False throughout."""

_CACHED_MASKS = 200_000


@dataclass(frozen=True, slots=True)
class GeneState:
    """A gene that is being built.

    Parameters
    ----------
    number
        Space group.
    rank
        Letter of the last orbit, 0 for a to 26 for A; -1 before the first.
    z
        Atomic number of the last orbit, 0 before the first.
    n_atoms
        Atoms so far, in the primitive cell.
    elements
        Elements so far, bit Z of an integer for atomic number Z.
    orbits
        (letter rank, atomic number) of the orbits so far.
    counts
        Atoms so far of each element of a given composition, or the element of each role of a template (0 if open).
    """

    number: int
    rank: int = -1
    z: int = 0
    n_atoms: int = 0
    elements: int = 0
    orbits: tuple[tuple[int, int], ...] = ()
    counts: tuple[int, ...] = ()


def is_open(state: GeneState, rank: int) -> bool:
    """Return whether the order of letters lets a further orbit stand on the letter."""
    free = site_is_free(state.number)
    return rank < len(free) and (rank > state.rank or (rank == state.rank and free[rank]))


class MaskTable:
    """Distinct masks of one width; index 0 is False throughout."""

    def __init__(self, width: int) -> None:
        self._indices: dict[bytes, int] = {}
        self._rows = np.zeros((64, width), dtype=np.bool_)
        self._shared: list[BoolArray] = []
        self.index(np.zeros(width, dtype=np.bool_))

    def __len__(self) -> int:
        return len(self._shared)

    def index(self, mask: BoolArray) -> int:
        """Return the index of a mask of shape (width,), adding it if it is not there."""
        index = self._indices.setdefault(mask.tobytes(), len(self._shared))
        if index == len(self._shared):
            if index == len(self._rows):
                self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
            self._rows[index] = mask
            mask.setflags(write=False)
            self._shared.append(mask)
        return index

    def row(self, index: int) -> BoolArray:
        """Return one mask, shape (width,), read-only."""
        return self._shared[index]

    def rows(self, indices: Sequence[int]) -> BoolArray:
        """Return several masks, shape (B, width)."""
        return self._rows[np.asarray(indices, dtype=np.intp)]


def bits_of(numbers: Iterable[int]) -> int:
    """Return a set of atomic numbers as an integer."""
    return sum(1 << z for z in set(numbers))


def mask_of(bits: int) -> BoolArray:
    """Return the mask of an integer set, shape (119,)."""
    octets = np.frombuffer(bits.to_bytes(15, "little"), dtype=np.uint8)
    return np.unpackbits(octets, bitorder="little")[: N_ELEMENTS + 1].astype(np.bool_)


class Filler(ABC):
    """Masks under one kind of constraint."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget every mask; called when there are too many."""
        self.letter_table = MaskTable(N_LETTERS + 1)
        self.element_table = MaskTable(N_ELEMENTS + 1)
        self._index_of_bits: dict[int, int] = {}

    @property
    def n_cached(self) -> int:
        """Entries of all caches."""
        return len(self._index_of_bits)

    def trim(self) -> None:
        """Forget the masks if they take too much memory."""
        if self.n_cached > _CACHED_MASKS:
            self.clear()

    def element_index(self, bits: int) -> int:
        """Return the index of the mask of an integer set."""
        index = self._index_of_bits.get(bits, -1)
        if index < 0:
            index = self._index_of_bits[bits] = self.element_table.index(mask_of(bits))
        return index

    def start(self, number: int) -> GeneState:
        """Return the empty gene."""
        return GeneState(number)

    def counts(self, state: GeneState, z: int, atoms: int) -> tuple[int, ...]:  # noqa: ARG002
        """Return the counts of the state once ``atoms`` of element ``z`` are added."""
        return ()

    @abstractmethod
    def holds(self, number: int) -> bool:
        """Return whether space group ``number`` has a gene that fulfils the constraints."""

    @abstractmethod
    def letters(self, state: GeneState) -> int:
        """Return the index of the letter mask."""

    @abstractmethod
    def elements(self, state: GeneState, rank: int) -> int:
        """Return the index of the element mask on a letter."""
