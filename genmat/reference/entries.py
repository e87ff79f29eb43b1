"""Entries of a hull: compositions and energies of known crystals, as arrays."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core.periodic_table import Element

from genmat.errors import InputError, ReferenceDataError, did_you_mean
from genmat.reference.formula import reduced_formula

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray
    from pymatgen.core.composition import Composition

SYMBOLS: tuple[str, ...] = ("X", *(Element.from_Z(z).symbol for z in range(1, 119)))
"""Chemical symbol of each atomic number (index 0 is unused)."""

ATOMIC_NUMBERS: dict[str, int] = {symbol: z for z, symbol in enumerate(SYMBOLS) if z} | {"D": 1, "T": 1}
"""Atomic number of each symbol; isotopes of hydrogen are hydrogen."""


@dataclass(frozen=True, slots=True)
class Fractions:
    """A composition as sorted atomic numbers and their atomic fractions.

    Parameters
    ----------
    numbers
        Atomic numbers, ascending.
    values
        Atomic fractions of ``numbers``; they sum to 1.
    """

    numbers: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def key(self) -> int:
        """Chemical system as a bit mask: bit Z is set for every element."""
        return _cached_key(self.numbers)


def system_key(numbers: Iterable[int]) -> int:
    """Return the bit mask of a chemical system (bit Z for each atomic number)."""
    key = 0
    for z in numbers:
        key |= 1 << z
    return key


@lru_cache(maxsize=1 << 17)
def _cached_key(numbers: tuple[int, ...]) -> int:
    return system_key(numbers)


def system_numbers(key: int) -> tuple[int, ...]:
    """Return the atomic numbers whose bits are set in ``key``, ascending."""
    numbers = []
    while key:
        lowest = key & -key
        numbers.append(lowest.bit_length() - 1)
        key ^= lowest
    return tuple(numbers)


def system_name(key: int) -> str:
    """Return a chemical system as emmet writes it, such as ``Cl-Na``."""
    return "-".join(sorted(SYMBOLS[z] for z in system_numbers(key)))


def sub_systems(key: int) -> Iterator[int]:
    """Iterate over the proper, non-empty subsets of a chemical system."""
    subset = (key - 1) & key
    while subset:
        yield subset
        subset = (subset - 1) & key


def fractions_of(composition: Mapping[Any, float]) -> Fractions:
    """Return the atomic fractions of a composition.

    Parameters
    ----------
    composition
        Amount of each element: a pymatgen ``Composition``, or a mapping of symbols to numbers.

    Raises
    ------
    InputError
        If the composition is empty, names an unknown element or has an amount that is not positive and finite.
    """
    amounts: dict[int, float] = {}
    for element, amount in composition.items():
        z = ATOMIC_NUMBERS.get(element) if isinstance(element, str) else element.Z
        if z is None:
            msg = f"composition names the unknown element {element!r}.{did_you_mean(str(element), ATOMIC_NUMBERS)}"
            raise InputError(msg)
        if not 0.0 < amount < np.inf:
            msg = f"composition has {amount} atoms of {SYMBOLS[z]}, expected a positive finite amount"
            raise InputError(msg)
        amounts[z] = amounts.get(z, 0.0) + amount
    if not amounts:
        msg = "composition is empty, expected at least one element"
        raise InputError(msg)
    total = sum(amounts.values())
    numbers = tuple(sorted(amounts))
    return Fractions(numbers, tuple([amounts[z] / total for z in numbers]))


@dataclass(frozen=True, slots=True)
class HullEntries:
    """Crystals that may span a hull.

    Parameters
    ----------
    material_ids
        Distinct ids, length n.
    formulas
        Reduced formula of each entry, for messages; length n.
    compositions
        Atomic fractions of each entry, length n.
    energies
        Energy of each entry, eV/atom, shape (n,).

    Raises
    ------
    ReferenceDataError
        If the lengths differ, an id occurs twice or an energy is not finite.
    """

    material_ids: tuple[str, ...]
    formulas: tuple[str, ...]
    compositions: tuple[Fractions, ...]
    energies: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check the columns against each other."""
        n_entries = len(self.material_ids)
        if {len(self.formulas), len(self.compositions)} != {n_entries} or self.energies.shape != (n_entries,):
            msg = (
                f"hull entries have {n_entries} ids, {len(self.formulas)} formulas, {len(self.compositions)} "
                f"compositions and energies of shape {self.energies.shape}, expected one of each per entry"
            )
            raise ReferenceDataError(msg)
        if len(set(self.material_ids)) != n_entries:
            twice = next(name for name, n in Counter(self.material_ids).items() if n > 1)
            msg = f"material_id {twice!r} occurs twice among the hull entries, expected distinct ids"
            raise ReferenceDataError(msg)
        finite = np.isfinite(self.energies)
        if not finite.all():
            row = int(np.flatnonzero(~finite)[0])
            name, energy = self.material_ids[row], self.energies[row]
            msg = f"entry {name!r} has the energy {energy} eV/atom, expected a finite number"
            raise ReferenceDataError(msg)

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self.material_ids)

    @classmethod
    def from_compositions(
        cls, material_ids: Iterable[str], compositions: Iterable[Composition], energies: Iterable[float]
    ) -> HullEntries:
        """Return entries from ids, compositions and energies (eV/atom)."""
        given = tuple(compositions)
        return cls(
            tuple(material_ids),
            tuple(reduced_formula(composition) for composition in given),
            tuple(fractions_of(composition) for composition in given),
            np.asarray(list(energies), dtype=np.float64),
        )

    def extended(self, other: HullEntries) -> HullEntries:
        """Return these entries followed by those of ``other``."""
        return HullEntries(
            self.material_ids + other.material_ids,
            self.formulas + other.formulas,
            self.compositions + other.compositions,
            np.concatenate([self.energies, other.energies]),
        )
