"""What G is conditioned on: y as arrays, in any combination.

A property is a range; a value is a range of no width, and either end may be missing. Chemistry is given as required
elements, as a chemical system, as a composition or as the elements that are allowed; symmetry as space groups; a
template as its Wyckoff positions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Self

import numpy as np

from genmat.models.foundation.tokens import N_GROUPS, wyckoff_arrays
from genmat.representation.descriptors import N_ATOMIC_NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from genmat.models.foundation.tokens import TokenTable

    FloatArray = NDArray[np.float32]

LOGARITHMIC = frozenset(
    {
        "volume_per_atom",
        "density",
        "n_atoms",
        "bulk_modulus",
        "shear_modulus",
        "debye_temperature",
        "thermal_conductivity",
    }
)
"""Properties whose logarithm the network reads."""

CHEMISTRY = ("required", "system", "composition", "allowed")
"""Ways of giving a chemistry, in the order of their columns."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What one set of draws should be like; everything that is left out is free.

    Parameters
    ----------
    ranges
        Lower and upper end of each property by name, in the units of the model's table; ``None`` for no end.
    required, system, allowed
        Atomic numbers: must occur; exactly these; no others.
    composition
        Amount of each atomic number.
    space_groups
        Numbers, of which one is wanted.
    positions
        Numbers of Wyckoff positions (:class:`~genmat.models.foundation.tokens.WyckoffArrays`) of a template's orbits.
    """

    ranges: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    required: frozenset[int] = frozenset()
    system: frozenset[int] = frozenset()
    allowed: frozenset[int] = frozenset()
    composition: Mapping[int, float] = field(default_factory=dict)
    space_groups: frozenset[int] = frozenset()
    positions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ConditionTable:
    """Conditions of n draws as arrays.

    Parameters
    ----------
    lower, upper
        Ends of the standardised ranges, shape (n, P); NaN for none.
    chemistry
        One block of atomic numbers for each of ``CHEMISTRY``, shape (n, 4, 119).
    groups
        Share of each space group, shape (n, 231).
    positions
        Count of each Wyckoff position, shape (n, 1732).
    """

    lower: FloatArray
    upper: FloatArray
    chemistry: FloatArray
    groups: FloatArray
    positions: FloatArray

    @classmethod
    def empty(cls, n: int, n_properties: int) -> Self:
        """Return conditions that leave everything free."""
        return cls(
            np.full((n, n_properties), np.nan, dtype=np.float32),
            np.full((n, n_properties), np.nan, dtype=np.float32),
            np.zeros((n, len(CHEMISTRY), N_ATOMIC_NUMBERS), dtype=np.float32),
            np.zeros((n, N_GROUPS), dtype=np.float32),
            np.zeros((n, wyckoff_arrays().n_positions), dtype=np.float32),
        )

    @classmethod
    def from_condition(
        cls, condition: Condition, n: int, *, properties: tuple[str, ...], mean: FloatArray, scale: FloatArray
    ) -> Self:
        """Return one condition ``n`` times; ``mean`` and ``scale`` standardise the ranges."""
        table = cls.empty(n, len(properties))
        for name, (low, high) in condition.ranges.items():
            column = properties.index(name)
            for ends, value in ((table.lower, low), (table.upper, high)):
                if value is not None:
                    ends[:, column] = (to_scale(name, value) - mean[column]) / scale[column]
        for block, elements in enumerate((condition.required, condition.system)):
            table.chemistry[:, block, sorted(elements)] = 1.0
        total = sum(condition.composition.values())
        for z, amount in condition.composition.items():
            table.chemistry[:, 2, z] = amount / total
        table.chemistry[:, 3, sorted(condition.allowed)] = 1.0
        if condition.space_groups:
            table.groups[:, sorted(condition.space_groups)] = 1.0 / len(condition.space_groups)
        for position in condition.positions:
            table.positions[:, position] += 1.0
        return table

    def __len__(self) -> int:
        """Return the number of draws."""
        return len(self.lower)

    def __getitem__(self, rows: slice | NDArray[np.intp]) -> Self:
        """Return some rows."""
        return type(self)(*(getattr(self, item.name)[rows] for item in fields(self)))

    def to_features(self) -> FloatArray:
        """Return everything but the positions as features, shape (n, 4 P + 4·119 + 231)."""
        ends = []
        for end in (self.lower, self.upper):
            known = ~np.isnan(end)
            ends += [np.clip(np.nan_to_num(end), -4.0, 4.0), known.astype(np.float32)]
        return np.concatenate([*ends, self.chemistry.reshape(len(self), -1), self.groups], axis=1).astype(np.float32)


def to_scale(name: str, values: FloatArray | float) -> FloatArray:
    """Return values of a property as the network reads them: their logarithm where that is more even."""
    array = np.asarray(values, dtype=np.float32)
    return np.log(np.maximum(array, 1e-6)) if name in LOGARITHMIC else array


def n_features(n_properties: int) -> int:
    """Return the width of :meth:`ConditionTable.to_features`."""
    return 4 * n_properties + len(CHEMISTRY) * N_ATOMIC_NUMBERS + N_GROUPS


def random_conditions(
    tokens: TokenTable, labels: FloatArray, *, kept: float, unconditional: float, rng: np.random.Generator
) -> ConditionTable:
    """Return, for known crystals, conditions that they fulfil.

    Parameters
    ----------
    tokens
        The crystals.
    labels
        Standardised properties, NaN where not known, shape (n, P).
    kept
        Probability that a condition is given, each by itself.
    unconditional
        Share of crystals without any.
    rng
        Randomness.
    """
    n, n_properties = labels.shape
    table = ConditionTable.empty(n, n_properties)
    is_given = rng.random((n, n_properties)) < kept * (rng.random((n, 1)) >= unconditional)
    is_given &= ~np.isnan(labels)
    width = np.exp(rng.uniform(np.log(0.02), np.log(2.0), (2, n, n_properties)))
    gap = width * rng.random((2, n, n_properties)) * (rng.random((1, n, n_properties)) < 0.8)
    end = rng.integers(0, 3, (n, n_properties))  # 0: both ends, 1: lower only, 2: upper only
    table.lower[:] = np.where(is_given & (end != 2), labels - gap[0], np.nan)
    table.upper[:] = np.where(is_given & (end != 1), labels + gap[1], np.nan)
    rows = np.arange(n)
    conditional = rng.random(n) >= unconditional
    amounts = np.zeros((n, N_ATOMIC_NUMBERS), dtype=np.float32)
    np.add.at(amounts, (rows[:, None], tokens.elements.astype(int)), tokens.amounts)
    amounts[:, 0] = 0.0
    present = amounts > 0
    way = np.where(conditional & (rng.random(n) < 0.5), rng.integers(0, len(CHEMISTRY), n), -1)
    some = present & (rng.random(present.shape) < 0.5)
    table.chemistry[way == 0, 0] = some[way == 0]
    table.chemistry[way == 1, 1] = present[way == 1]
    table.chemistry[way == 2, 2] = (amounts / amounts.sum(axis=1, keepdims=True))[way == 2]
    others = rng.random(present.shape) < rng.random((n, 1))
    others[:, 0] = False
    table.chemistry[way == 3, 3] = (present | others)[way == 3]
    numbers = tokens.numbers.astype(int)
    symmetric = np.flatnonzero(conditional & (rng.random(n) < kept))
    table.groups[symmetric, numbers[symmetric]] = 1.0
    _widen(table.groups, numbers, symmetric[rng.random(len(symmetric)) < 0.4], rng)
    index = wyckoff_arrays().index[numbers[:, None], np.maximum(tokens.ranks, 0)] * (tokens.ranks >= 0)
    templated = np.flatnonzero(conditional & (rng.random(n) < 0.15))
    np.add.at(table.positions, (templated[:, None], index[templated]), 1.0)
    table.positions[:, 0] = 0.0
    return table


def _widen(groups: FloatArray, numbers: NDArray[np.int64], rows: Iterable[int], rng: np.random.Generator) -> None:
    """Replace the space group of some rows by a set that holds it."""
    for row in rows:
        others = rng.integers(2, N_GROUPS, int(rng.integers(1, 40)))
        members = np.unique([numbers[row], *others])
        groups[row] = 0.0
        groups[row, members] = 1.0 / len(members)
