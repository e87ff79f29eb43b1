"""Which letter and which element may come next in a gene: one class for each kind of constraint.

Each filler answers for a :class:`GeneState` with the index of a shared mask, found by a key as small as the question
allows. :mod:`genmat.representation.filling` is the public side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genmat.errors import InputError
from genmat.representation.filling_masks import (
    N_ELEMENTS,
    N_LETTERS,
    NO_MASK,
    STOP,
    BoolArray,
    Filler,
    GeneState,
    bits_of,
    is_open,
)
from genmat.representation.room import Room, can_hold, most_orbits_within, room_after, site_atoms, site_is_free

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    IntArray = NDArray[np.int64]

_Needs = tuple[frozenset[tuple[int, int]], frozenset[tuple[int, int]]]
"""(l, d) of :class:`OpenFiller` that suffice after an orbit on a later letter, and after one on the current letter."""

_SETTLED: _Needs = (frozenset({(0, 0)}), frozenset({(0, 0)}))


class OpenFiller(Filler):
    """Allowed and required elements, numbers of elements and atoms.

    A gene that has ``have`` elements and lacks the required elements M needs d = max(|M|, least - have) further
    elements, hence d further orbits at least; orbits beyond those may repeat an element. On the current letter only
    elements from the last one upwards may stand, so l = max(|M below it|, d - |allowed, unused, above it|) of them
    must come after the letter. The constraints can be fulfilled exactly if some filling with a permitted number of
    atoms has d orbits, of which l come after the letter, and have + d does not exceed the limit.
    """

    def __init__(
        self,
        allowed: Iterable[int],
        required: Iterable[int],
        n_elements: tuple[int, int],
        n_atoms: tuple[int, int],
    ) -> None:
        self._allowed, self._required = bits_of(allowed), bits_of(required)
        self._least, self._most = n_elements
        self._n_atoms = n_atoms
        self._best: dict[int, IntArray] = {}
        super().__init__()

    def clear(self) -> None:
        """Forget every mask."""
        super().clear()
        self._letters: dict[tuple[int, int, int, int], int] = {}
        self._elements: dict[tuple[int, int, int, int, int], int] = {}
        self._next: dict[int, tuple[tuple[int, int, int], ...]] = {}
        self._needs: dict[tuple[int, int], int] = {}
        self._need_sets: list[_Needs] = [_SETTLED]
        self._index_of_needs: dict[_Needs, int] = {}  # without the first: a gene that needs elements cannot end
        # The allowed elements from z upwards.
        self._from = [self.element_index(self._allowed & -(1 << z)) for z in range(N_ELEMENTS + 1)]

    @property
    def n_cached(self) -> int:
        """Entries of all caches."""
        return len(self._index_of_bits) + len(self._elements) + len(self._next) + len(self._needs)

    def holds(self, number: int) -> bool:
        """Return whether the group has a gene that fulfils the constraints."""
        need = max(1, self._least, self._required.bit_count())
        orbits = most_orbits_within(room_after(number, -1), *self._n_atoms)
        return need <= self._most and int(orbits[0, 0]) >= need

    def letters(self, state: GeneState) -> int:
        """Return the index of the letter mask."""
        placed = state.elements
        if not self._required & ~placed and placed.bit_count() >= self._least:
            need = 0
        else:
            need = self._needs.get((placed, state.z), -1)
            if need < 0:
                need = self._need(placed, state.z)
        key = (state.number, state.rank, state.n_atoms, need)
        index = self._letters.get(key, -1)
        if index < 0:
            index = self._letters[key] = self.letter_table.index(self._letter_mask(*key))
        return index

    def elements(self, state: GeneState, rank: int) -> int:
        """Return the index of the element mask on a letter."""
        placed, same = state.elements, rank == state.rank
        have, last = placed.bit_count(), state.z if same else 0
        if self._required & ~placed or have < self._least:
            if not is_open(state, rank):
                return NO_MASK
            key = (state.number, rank, state.n_atoms, placed, last)
            index = self._elements.get(key, -1)
            if index < 0:
                index = self._elements[key] = self._element_mask(state, rank, last)
            return index
        if rank == STOP or not self.letter_table.row(self.letters(state))[rank]:
            return NO_MASK
        return self._from[last] if have < self._most else self.element_index(placed & -(1 << last))

    def _orbits(self, number: int) -> IntArray:
        """Return :func:`most_orbits_within` after an orbit on each letter, shape (letters, most + 1, most + 2).

        Entry [r, n, l] belongs to a gene of n atoms *before* that orbit; -1 if the orbit is too large.
        """
        best = self._best.get(number)
        if best is None:
            most = self._n_atoms[1]
            sizes = site_atoms(number)
            best = self._best[number] = np.full((len(sizes), most + 1, most + 2), -1)
            for rank, size in enumerate(sizes):
                if size <= most:
                    best[rank, : most + 1 - size] = most_orbits_within(room_after(number, rank), *self._n_atoms)[size:]
        return best

    def _letter_mask(self, number: int, rank: int, n_atoms: int, need: int) -> BoolArray:
        """Return the letters after which a gene can meet one of its needs, shape (28,)."""
        mask = np.zeros(N_LETTERS + 1, dtype=np.bool_)
        orbits, (after, same) = self._orbits(number)[:, n_atoms], self._need_sets[need]
        limit = orbits.shape[1]
        for later, total in after:
            if later < limit:
                mask[rank + 1 : len(orbits)] |= orbits[rank + 1 :, later] >= total
        if rank >= 0 and site_is_free(number)[rank]:
            mask[rank] = any(later < limit and orbits[rank, later] >= total for later, total in same)
        mask[STOP] = need == 0 and n_atoms >= self._n_atoms[0]
        return mask

    def _choices(self, placed: int) -> tuple[tuple[int, int, int], ...]:
        """Return (l, d, elements) after the next element, grouped by l and d; see the class."""
        choices = self._next.get(placed)
        if choices is None:
            choices = self._next[placed] = tuple(self._grouped(placed))
        return choices

    def _grouped(self, placed: int) -> Iterator[tuple[int, int, int]]:
        """Yield the groups of :meth:`_choices`."""
        missing, unused, have = self._required & ~placed, self._allowed & ~placed, placed.bit_count()
        lacking = missing.bit_count()
        # Above the j-th lowest missing element z, j elements or more have to come after the letter of z.
        above_missing = [-(2 << z) for z in _ascending(missing)]
        # From the i-th highest unused element upwards, fewer than i are left for the letter of z.
        top_unused = [-(1 << z) for z in _descending(unused, lacking + self._least + 1)]
        kinds = ((placed, have, lacking), (missing, have + 1, lacking - 1), (unused & ~missing, have + 1, lacking))
        for kind, will_have, will_lack in kinds:
            total = max(will_lack, self._least - will_have, 0)
            left = kind if will_have + total <= self._most else 0
            for later in range(total, -1, -1):
                if not left:
                    break
                bits = -1 if later == 0 else above_missing[later - 1] if later <= lacking else 0
                bits |= top_unused[total - later] if total - later < len(top_unused) else -1
                if left & bits:
                    yield later, total, left & bits
                left &= ~bits

    def _need(self, placed: int, z: int) -> int:
        """Return the index of what the letters after the current one, and the current one, must leave room for."""
        choices = self._choices(placed)
        same = frozenset((later, total) for later, total, bits in choices if bits >> z)
        needs: _Needs = (frozenset((later, total) for later, total, _ in choices), same)
        index = self._index_of_needs.setdefault(needs, len(self._need_sets))
        if index == len(self._need_sets):
            self._need_sets.append(needs)
        self._needs[placed, z] = index
        return index

    def _element_mask(self, state: GeneState, rank: int, last: int) -> int:
        """Return the index of an element mask that was never asked for."""
        bits = 0
        orbits = self._orbits(state.number)[rank, state.n_atoms]
        for later, total, choice in self._choices(state.elements):
            if later < len(orbits) and orbits[later] >= total:
                bits |= choice
        return self.element_index(bits & -(1 << last))


class CompositionFiller(Filler):
    """A given composition: the primitive cell holds k formula units.

    Parameters
    ----------
    amounts
        (atomic number, atoms in the formula) by ascending atomic number.
    n_atoms
        Least and most atoms of the primitive cell.
    """

    def __init__(self, amounts: Sequence[tuple[int, int]], n_atoms: tuple[int, int]) -> None:
        self._numbers = [z for z, _ in amounts]
        self._order = {z: i for i, z in enumerate(self._numbers)}
        unit = sum(amount for _, amount in amounts)
        least, most = n_atoms
        self._cells = [tuple(k * a for _, a in amounts) for k in range(-(-least // unit), most // unit + 1)]
        super().__init__()

    def clear(self) -> None:
        """Forget every mask."""
        super().clear()
        self._fits: dict[tuple[Room, int, tuple[int, ...]], bool] = {}
        self._letters: dict[tuple[int, int, int, tuple[int, ...]], int] = {}
        self._elements: dict[tuple[int, int, int, int, tuple[int, ...]], int] = {}

    @property
    def n_cached(self) -> int:
        """Entries of all caches."""
        return len(self._fits) + len(self._letters) + len(self._elements)

    def start(self, number: int) -> GeneState:
        """Return the empty gene."""
        return GeneState(number, counts=(0,) * len(self._numbers))

    def counts(self, state: GeneState, z: int, atoms: int) -> tuple[int, ...]:
        """Return the atoms of each element once ``atoms`` of element ``z`` are added."""
        if z not in self._order:
            msg = f"atomic number {z} is not in the composition, which has {self._numbers}"
            raise InputError(msg)
        i = self._order[z]
        return (*state.counts[:i], state.counts[i] + atoms, *state.counts[i + 1 :])

    def holds(self, number: int) -> bool:
        """Return whether the group has a gene of the composition."""
        return self._can_end(room_after(number, -1), 0, self.start(number).counts)

    def letters(self, state: GeneState) -> int:
        """Return the index of the letter mask."""
        key = (state.number, state.rank, state.z, state.counts)
        index = self._letters.get(key, -1)
        if index < 0:
            mask = np.zeros(N_LETTERS + 1, dtype=np.bool_)
            sizes = site_atoms(state.number)
            alike: dict[tuple[int, Room], bool] = {}  # later letters that make no difference
            for rank in range(state.rank + 1, len(sizes)):
                site = (sizes[rank], room_after(state.number, rank))
                if site not in alike:
                    alike[site] = any(self._can_place(state, rank, z) for z in self._numbers)
                mask[rank] = alike[site]
            if state.rank >= 0:
                mask[state.rank] = any(self._can_place(state, state.rank, z) for z in self._numbers)
            mask[STOP] = state.counts in self._cells
            index = self._letters[key] = self.letter_table.index(mask)
        return index

    def elements(self, state: GeneState, rank: int) -> int:
        """Return the index of the element mask on a letter."""
        key = (state.number, rank, state.rank, state.z, state.counts)
        index = self._elements.get(key, -1)
        if index < 0:
            bits = bits_of(z for z in self._numbers if self._can_place(state, rank, z))
            index = self._elements[key] = self.element_index(bits)
        return index

    def _can_place(self, state: GeneState, rank: int, z: int) -> bool:
        """Return whether the gene can be ended once ``z`` stands on the letter."""
        if not is_open(state, rank) or (rank == state.rank and z < state.z):
            return False
        room = room_after(state.number, rank)
        return self._can_end(room, z, self.counts(state, z, site_atoms(state.number)[rank]))

    def _can_end(self, room: Room, z: int, counts: tuple[int, ...]) -> bool:
        """Return whether some number of formula units can be reached."""
        ordered = room.here not in (0, *room.free)  # otherwise the current letter makes no difference
        key = (room, z if ordered else 0, counts)
        fits = self._fits.get(key)
        if fits is None:
            fits = self._fits[key] = any(
                can_hold(room, *self._lacking(cell, counts, z, ordered=ordered))
                for cell in self._cells
                if all(a >= b for a, b in zip(cell, counts, strict=True))
            )
        return fits

    def _lacking(
        self, cell: tuple[int, ...], counts: tuple[int, ...], z: int, *, ordered: bool
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the atoms that are lacking of elements from ``z`` upwards, and of those below it; sorted."""
        lacking = [(number, a - b) for number, a, b in zip(self._numbers, cell, counts, strict=True) if a > b]
        if not ordered:
            return (), tuple(sorted(n for _, n in lacking))
        return (
            tuple(sorted(n for number, n in lacking if number >= z)),
            tuple(sorted(n for number, n in lacking if number < z)),
        )


class TemplateFiller(Filler):
    """Letters, and which of them share an element, are given: elements are free.

    Parameters
    ----------
    number
        Space group.
    orbits
        (letter rank, role) in the order in which they are placed.
    candidates
        Elements that each role may take, as integer sets. Two roles have the same or disjoint candidates, and at least
        as many candidates as there are such roles.
    required
        Elements that must occur, not more than roles.
    """

    def __init__(
        self, number: int, orbits: Sequence[tuple[int, int]], candidates: Sequence[int], required: Iterable[int]
    ) -> None:
        self._number, self._orbits, self._candidates = number, tuple(orbits), tuple(candidates)
        self._required = bits_of(required)
        super().__init__()

    def start(self, number: int) -> GeneState:
        """Return the empty gene."""
        return GeneState(number, counts=(0,) * len(self._candidates))

    def counts(self, state: GeneState, z: int, atoms: int) -> tuple[int, ...]:  # noqa: ARG002
        """Return the element of each role once the next orbit has element ``z``."""
        if len(state.orbits) == len(self._orbits):
            msg = f"the template has {len(self._orbits)} orbits, all are placed"
            raise InputError(msg)
        role = self._orbits[len(state.orbits)][1]
        return (*state.counts[:role], z, *state.counts[role + 1 :])

    def holds(self, number: int) -> bool:
        """Return whether it is the group of the template."""
        return number == self._number

    def clear(self) -> None:
        """Forget every mask."""
        super().clear()
        ranks = [*(rank for rank, _ in self._orbits), STOP]
        self._letters = [self.letter_table.index(np.arange(N_LETTERS + 1) == rank) for rank in ranks]

    def letters(self, state: GeneState) -> int:
        """Return the index of the letter mask: the next letter of the template, or stop."""
        return self._letters[len(state.orbits)] if state.number == self._number else NO_MASK

    def elements(self, state: GeneState, rank: int) -> int:
        """Return the index of the element mask on the next letter of the template."""
        placed = len(state.orbits)
        if state.number != self._number or placed == len(self._orbits) or self._orbits[placed][0] != rank:
            return NO_MASK
        role = self._orbits[placed][1]
        if state.counts[role]:
            return self.element_index(1 << state.counts[role])
        bits = self._candidates[role] & ~state.elements
        missing = self._required & ~state.elements
        if missing.bit_count() == state.counts.count(0):  # every open role has to take one
            bits &= missing
        return self.element_index(bits)


def _ascending(bits: int) -> Iterator[int]:
    """Yield the members of an integer set, lowest first."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def _descending(bits: int, count: int) -> Iterator[int]:
    """Yield the ``count`` highest members of an integer set, highest first."""
    while bits and count:
        highest = bits.bit_length() - 1
        yield highest
        bits ^= 1 << highest
        count -= 1
