"""What the Wyckoff letters after a given one can still hold.

A position without free coordinates is one *slot*: it holds at most one orbit. A position with free coordinates holds
any number of orbits. Atoms are counted in the primitive cell, letters by their rank: 0 for a, …, 26 for A. Rank -1 is
the start of a gene, before the first letter.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from genmat.representation.wyckoff import space_group

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_ATOMS = 60
"""Largest primitive cell that is filled."""

_CACHED_FILLINGS = 1 << 18
_CACHED_TABLES = 1 << 12


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """What is left once a gene has reached a letter; letters that leave the same share one object.

    Parameters
    ----------
    slots
        (atoms, how many) of the positions without free coordinates after the letter, by ascending atoms.
    free
        Atoms of the positions with free coordinates after the letter, ascending, each number once.
    here
        Atoms of the letter itself if further orbits may stand on it, 0 if it has no free coordinates.
    """

    slots: tuple[tuple[int, int], ...]
    free: tuple[int, ...]
    here: int


@cache
def site_atoms(number: int) -> tuple[int, ...]:
    """Return the atoms that an orbit on each letter of space group ``number`` brings into the primitive cell."""
    group = space_group(number)
    return tuple(position.multiplicity // group.n_centring for position in group.positions.values())


@cache
def site_is_free(number: int) -> tuple[bool, ...]:
    """Return for each letter of space group ``number`` whether it has free coordinates."""
    return tuple(position.dof > 0 for position in space_group(number).positions.values())


@cache
def room_after(number: int, rank: int) -> Room:
    """Return the room that is left in space group ``number`` for a gene whose last letter has this rank."""
    atoms, free = site_atoms(number), site_is_free(number)
    later = range(rank + 1, len(atoms))
    slots = Counter(atoms[i] for i in later if not free[i])
    return _shared_room(
        tuple(sorted(slots.items())),
        tuple(sorted({atoms[i] for i in later if free[i]})),
        atoms[rank] if rank >= 0 and free[rank] else 0,
    )


@cache
def _shared_room(slots: tuple[tuple[int, int], ...], free: tuple[int, ...], here: int) -> Room:
    """Return the one room with these values."""
    return Room(slots, free, here)


@cache
def most_orbits(room: Room) -> tuple[int, ...]:
    """Return the largest number of later orbits that bring 0, 1, …, ``MAX_ATOMS`` atoms; -1 where none do."""
    most = [0] + [-1] * MAX_ATOMS
    for size, count in room.slots:
        for _ in range(count):
            for total in range(MAX_ATOMS, size - 1, -1):  # downwards: each slot once
                if most[total - size] >= 0:
                    most[total] = max(most[total], most[total - size] + 1)
    for size in room.free:
        for total in range(size, MAX_ATOMS + 1):  # upwards: any number of orbits
            if most[total - size] >= 0:
                most[total] = max(most[total], most[total - size] + 1)
    return tuple(most)


@lru_cache(maxsize=_CACHED_TABLES)
def most_orbits_within(room: Room, least: int, most: int) -> NDArray[np.int64]:
    """Return how many orbits can bring a gene to between ``least`` and ``most`` atoms.

    Returns
    -------
    numpy.ndarray
        Shape (most + 1, most + 2), read-only. Entry [n, l]: the largest number of further orbits of a gene of n atoms,
        on the current letter and after it, of which l or more stand after it; -1 if there is no such filling.
    """
    n_atoms = np.arange(most + 1)
    table = np.full((most + 1, most + 2), -1)
    for total, later in enumerate(most_orbits(room)[: most + 1]):
        if later < 0:
            continue
        spare = most - n_atoms - total
        more = spare // room.here if room.here else np.zeros_like(spare)
        reached = (spare >= 0) & (most - spare + more * room.here >= least)
        table[:, later] = np.maximum(table[:, later], np.where(reached, later + more, -1))
    table = np.maximum.accumulate(table[:, ::-1], axis=1)[:, ::-1]
    table.setflags(write=False)
    return table


@lru_cache(maxsize=_CACHED_FILLINGS)
def can_hold(room: Room, anywhere: tuple[int, ...], later: tuple[int, ...]) -> bool:
    """Return whether the orbits of each element can bring exactly the atoms that it lacks.

    Parameters
    ----------
    room
        The letters that are left.
    anywhere
        Atoms lacking of each element that may also stand on the current letter.
    later
        Atoms lacking of each element that may stand only after it.
    """
    widened = tuple(sorted({*room.free, room.here})) if room.here else room.free
    capacity = tuple(count for _, count in room.slots)
    taken = {(0,) * len(capacity)}  # the distinct ways to use slots for the elements so far
    for free, amounts in ((room.free, later), (widened, anywhere)):
        for amount in amounts:
            ways = _slots_for(room.slots, free, amount)
            sums = {tuple(a + b for a, b in zip(used, way, strict=True)) for used in taken for way in ways}
            taken = {used for used in sums if all(u <= c for u, c in zip(used, capacity, strict=True))}
            if not taken:
                return False
    return True


@cache
def _slots_for(slots: tuple[tuple[int, int], ...], free: tuple[int, ...], atoms: int) -> tuple[tuple[int, ...], ...]:
    """Return how many slots of each size one element may take so that free positions hold the rest of its atoms."""
    reachable = _sums(free)
    ways = []
    for way in product(*(range(min(count, atoms // size) + 1) for size, count in slots)):
        rest = atoms - sum(n * size for n, (size, _) in zip(way, slots, strict=True))
        if rest >= 0 and reachable[rest]:
            ways.append(way)
    return tuple(ways)


@cache
def _sums(sizes: tuple[int, ...]) -> tuple[bool, ...]:
    """Return which of 0, 1, …, ``MAX_ATOMS`` are sums of ``sizes``, each used any number of times."""
    reachable = [True] + [False] * MAX_ATOMS
    for size in sizes:
        for total in range(size, MAX_ATOMS + 1):
            reachable[total] = reachable[total] or reachable[total - size]
    return tuple(reachable)
