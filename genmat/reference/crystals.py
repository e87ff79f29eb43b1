"""x of many crystals in a few arrays, decoded one by one.

A crystal is its space group, the text of its orbits (``Na.a Cl.b``: element and Wyckoff letter), its free coordinates
in units of ``COORDINATE_UNIT`` and its conventional lattice in single precision. What is lost by that, 1e-6 of a cell
edge, is four orders of magnitude below the tolerance of a symmetry search.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np

from genmat.errors import ReferenceDataError
from genmat.representation.crystal import Crystal, Orbit
from genmat.representation.wyckoff import wyckoff_positions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

COORDINATE_UNIT = 1e-6
"""Resolution of a stored free coordinate (fraction of a cell edge)."""

_UNITS = round(1.0 / COORDINATE_UNIT)


@dataclass(frozen=True, slots=True, eq=False)
class CrystalColumns:
    """The x of some crystals.

    Parameters
    ----------
    numbers
        Space groups, shape (n,), int16.
    orbits
        Element and letter of each orbit, length n.
    offsets
        Where the free coordinates of each crystal begin, shape (n + 1,), int32.
    coordinates
        Free coordinates of all crystals, orbit after orbit, in ``COORDINATE_UNIT``, int32.
    lattices
        Conventional a, b, c (Å), alpha, beta, gamma (degrees), shape (n, 6), float32.

    Raises
    ------
    ReferenceDataError
        If the columns do not fit together.
    """

    numbers: NDArray[np.int16]
    orbits: tuple[str, ...]
    offsets: NDArray[np.int32]
    coordinates: NDArray[np.int32]
    lattices: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check the columns against each other."""
        n_crystals = len(self.orbits)
        shapes = (self.numbers.shape, self.offsets.shape, self.lattices.shape)
        if shapes != ((n_crystals,), (n_crystals + 1,), (n_crystals, 6)):
            msg = (
                f"columns of {n_crystals} crystals have shapes {shapes}, expected one row a crystal: rebuild the table"
            )
            raise ReferenceDataError(msg)
        ends = (int(self.offsets[0]), int(self.offsets[-1]))
        if ends != (0, len(self.coordinates)) or (np.diff(self.offsets) < 0).any():
            msg = f"the offsets of {n_crystals} crystals do not cover their {len(self.coordinates)} coordinates"
            raise ReferenceDataError(msg)

    @classmethod
    def from_crystals(cls, crystals: Sequence[Crystal]) -> CrystalColumns:
        """Return the columns of ``crystals``, coordinates rounded to ``COORDINATE_UNIT``."""
        free = [[round(value * _UNITS) % _UNITS for orbit in item.orbits for value in orbit.free] for item in crystals]
        return cls(
            numbers=np.asarray([crystal.number for crystal in crystals], dtype=np.int16),
            orbits=tuple(
                " ".join(f"{orbit.element}.{orbit.letter}" for orbit in crystal.orbits) for crystal in crystals
            ),
            offsets=np.cumsum([0, *(len(values) for values in free)], dtype=np.int32),
            coordinates=np.asarray([value for values in free for value in values], dtype=np.int32),
            lattices=np.asarray([crystal.lattice for crystal in crystals], dtype=np.float32).reshape(-1, 6),
        )

    def __len__(self) -> int:
        """Return the number of crystals."""
        return len(self.orbits)

    @overload
    def __getitem__(self, index: int) -> Crystal: ...
    @overload
    def __getitem__(self, index: slice) -> list[Crystal]: ...
    def __getitem__(self, index: int | slice) -> Crystal | list[Crystal]:
        """Return one crystal, or several; decoding one takes microseconds."""
        if isinstance(index, slice):
            return [self._decode(item) for item in range(*index.indices(len(self)))]
        return self._decode(index if index >= 0 else index + len(self))

    def __iter__(self) -> Iterator[Crystal]:
        """Iterate over the crystals."""
        return (self._decode(index) for index in range(len(self)))

    def _decode(self, index: int) -> Crystal:
        number = int(self.numbers[index])
        positions = wyckoff_positions(number)
        free = [int(value) / _UNITS for value in self.coordinates[self.offsets[index] : self.offsets[index + 1]]]
        orbits = []
        for text in self.orbits[index].split():
            element, _, letter = text.partition(".")
            dof = positions[letter].dof if letter in positions else len(free) + 1
            if dof > len(free):
                msg = (
                    f"crystal {index} of the reference has the orbit {text!r}, which space group {number} does not fit"
                )
                raise ReferenceDataError(msg)
            orbits.append(Orbit(element, letter, tuple(free[:dof])))
            free = free[dof:]
        a, b, c, alpha, beta, gamma = (float(value) for value in self.lattices[index])
        return Crystal.from_parts(number, orbits, (a, b, c, alpha, beta, gamma))
