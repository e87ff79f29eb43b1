"""Hard constraints on genes, and which letter and element may come next so that they can be fulfilled.

A gene is built incrementally: space group, then orbits by ascending letter (a, …, z, A) and, within one letter, by
ascending atomic number; a position without free coordinates holds at most one orbit; atoms are counted in the
primitive cell. The masks are exact: what they allow can be completed to a gene that fulfils every constraint, what
they forbid cannot. A sampler that follows them never fails and loses nothing.

>>> constraints = GeneConstraints(amounts=((22, 1), (8, 2)), numbers=frozenset({136}))
>>> state = constraints.start(136)
>>> state = constraints.place(state, 0, 22)  # Ti on a
>>> ["abcdefghijk"[rank] for rank in constraints.letters(state).nonzero()[0]]
['b', 'c', 'd', 'e', 'f', 'g']
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core.periodic_table import Element

from genmat.errors import InputError, RepresentationError
from genmat.representation.fillers import CompositionFiller, OpenFiller, TemplateFiller
from genmat.representation.filling_masks import N_ELEMENTS, STOP, BoolArray, Filler, GeneState, bits_of
from genmat.representation.gene import parse_gene
from genmat.representation.room import MAX_ATOMS, site_atoms, site_is_free
from genmat.representation.wyckoff import space_group

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ALL_ELEMENTS", "GROUPS_ABOVE_P1", "N_GROUPS", "STOP", "GeneConstraints", "GeneState"]

N_GROUPS = 230
GROUPS_ABOVE_P1 = frozenset(range(2, N_GROUPS + 1))
ALL_ELEMENTS = frozenset(range(1, N_ELEMENTS + 1))

_NEIGHBOURS = 3  # groups that an error proposes


@dataclass(frozen=True, slots=True)
class GeneConstraints:
    """What every gene must fulfil.

    Parameters
    ----------
    numbers
        Allowed space groups; P1 only if it is named, here or by the template.
    allowed
        Allowed atomic numbers.
    required
        Atomic numbers that must occur.
    n_elements
        Least and most elements.
    n_atoms
        Least and most atoms of the primitive cell, up to 60.
    amounts
        Atomic number to atoms in the formula, as mapping or pairs; reduced and sorted on construction. The primitive
        cell holds any number of formula units that ``n_atoms`` permits.
    template
        Anonymous gene such as ``"225:A.a,B.b"``: letters, as they are written, and which orbits share an element are
        given. Its orbits are placed in the order of their letters; within one letter any order of elements will do.

    Raises
    ------
    InputError
        If a value is out of range or the constraints contradict each other, whatever the space group.
    """

    numbers: frozenset[int] = GROUPS_ABOVE_P1
    allowed: frozenset[int] = ALL_ELEMENTS
    required: frozenset[int] = frozenset()
    n_elements: tuple[int, int] = (1, N_ELEMENTS)
    n_atoms: tuple[int, int] = (1, 20)
    amounts: Mapping[int, int] | tuple[tuple[int, int], ...] | None = None
    template: str | None = None
    _filler: Filler = field(init=False, repr=False, compare=False)
    _feasible: BoolArray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check that the constraints do not contradict each other, prepare the masks."""
        for name in ("numbers", "allowed", "required"):
            object.__setattr__(self, name, frozenset(map(int, getattr(self, name))))
        self._check_ranges()
        if self.amounts is not None:
            object.__setattr__(self, "amounts", _reduced(self.amounts))
            self._check_amounts()
        filler: Filler
        if self.template is not None:
            filler = self._template_filler(self.template)
        elif self.amounts is not None:
            filler = CompositionFiller(self._pairs, self.n_atoms)
        else:
            filler = OpenFiller(self.allowed, self.required, self.n_elements, self.n_atoms)
        object.__setattr__(self, "_filler", filler)
        feasible = np.zeros(N_GROUPS + 1, dtype=np.bool_)
        feasible[[number for number in self.numbers if filler.holds(number)]] = True
        feasible.setflags(write=False)
        object.__setattr__(self, "_feasible", feasible)

    def __reduce__(self) -> tuple[type[GeneConstraints], tuple[Any, ...]]:
        """Pickle and copy without the masks."""
        fields = (self.numbers, self.allowed, self.required, self.n_elements, self.n_atoms, self.amounts, self.template)
        return GeneConstraints, fields

    def feasible_numbers(self) -> BoolArray:
        """Return in which space groups a gene fulfils everything: shape (231,), by number, read-only."""
        return self._feasible

    def check(self) -> None:
        """Raise if no allowed space group has a gene that fulfils everything.

        Raises
        ------
        InputError
            With the nearest numbers of atoms and space groups for which there is one.
        """
        if self._feasible.any():
            return
        least, most = self.n_atoms
        name = ", ".join(map(str, sorted(self.numbers)[:8])) + (", …" if len(self.numbers) > 8 else "")
        single = f" ({space_group(min(self.numbers)).symbol})" if len(self.numbers) == 1 else ""
        hints = [hint for hint in (self._nearest_size(), self._nearest_groups()) if hint]
        msg = (
            f"{self._subject()} cannot be placed in space group {name}{single}: no Wyckoff positions hold it with "
            f"{least} to {most} atoms in the primitive cell, nearest possible: {', or '.join(hints) or 'none'}"
        )
        raise InputError(msg)

    def start(self, number: int) -> GeneState:
        """Return the empty gene of a space group."""
        space_group(number)
        return self._filler.start(number)

    def place(self, state: GeneState, letter_rank: int, z: int) -> GeneState:
        """Return the gene with one orbit more; that the masks permit it is not checked again.

        Raises
        ------
        RepresentationError
            If the space group has no such letter.
        InputError
            If the composition lacks the element, or the template has no further orbit.
        """
        sizes = site_atoms(state.number)
        if not 0 <= letter_rank < len(sizes):
            msg = f"space group {state.number} has {len(sizes)} Wyckoff letters, got rank {letter_rank}"
            raise RepresentationError(msg)
        atoms = sizes[letter_rank]
        return GeneState(
            state.number,
            letter_rank,
            z,
            state.n_atoms + atoms,
            state.elements | 1 << z,
            (*state.orbits, (letter_rank, z)),
            self._filler.counts(state, z, atoms),
        )

    def letters(self, state: GeneState) -> BoolArray:
        """Return which letters may come next: shape (28,), letter ranks and :data:`STOP` (27), read-only."""
        return self._filler.letter_table.row(self._filler.letters(state))

    def elements(self, state: GeneState, letter_rank: int) -> BoolArray:
        """Return which elements may stand on the letter: shape (119,), by atomic number, read-only; none on STOP."""
        return self._filler.element_table.row(self._filler.elements(state, letter_rank))

    def letter_masks(self, states: Sequence[GeneState]) -> BoolArray:
        """Return :meth:`letters` of B states, shape (B, 28)."""
        self._filler.trim()
        letters = self._filler.letters
        indices = [letters(state) for state in states]
        return self._filler.letter_table.rows(indices)

    def element_masks(self, states: Sequence[GeneState], letter_ranks: Sequence[int]) -> BoolArray:
        """Return :meth:`elements` of B states, each on its own letter, shape (B, 119).

        Raises
        ------
        ValueError
            If there are not as many letters as states.
        """
        self._filler.trim()
        elements = self._filler.elements
        indices = [elements(state, rank) for state, rank in zip(states, map(int, letter_ranks), strict=True)]
        return self._filler.element_table.rows(indices)

    @property
    def _pairs(self) -> tuple[tuple[int, int], ...]:
        """Return the reduced composition, which construction has made of ``amounts``."""
        return () if self.amounts is None else tuple(self.amounts)  # type: ignore[arg-type]

    def _check_ranges(self) -> None:
        """Check every field but composition and template."""
        _check_subset("space group", self.numbers, N_GROUPS)
        _check_subset("atomic number", self.allowed, N_ELEMENTS)
        if not self.required <= self.allowed:
            msg = f"required elements {_symbols(self.required - self.allowed)} are not among the allowed ones"
            raise InputError(msg)
        _check_range("n_elements", self.n_elements, N_ELEMENTS)
        _check_range("n_atoms", self.n_atoms, MAX_ATOMS)
        (least, most), atoms = self.n_elements, self.n_atoms[1]
        if len(self.required) > min(most, atoms):
            limit = f"n_elements allows {most}" if most <= atoms else f"n_atoms allows {atoms} atoms"
            msg = f"{len(self.required)} elements are required ({_symbols(self.required)}), but {limit} at most"
            raise InputError(msg)
        if least > len(self.allowed):
            msg = f"n_elements asks for {least} elements at least, but only {_symbols(self.allowed)} are allowed"
            raise InputError(msg)
        if least > atoms:
            msg = f"n_elements asks for {least} elements at least, but n_atoms allows {atoms} atoms at most"
            raise InputError(msg)

    def _check_amounts(self) -> None:
        """Check the composition against every other field but the template."""
        elements, formula = {z for z, _ in self._pairs}, _formula(self._pairs)
        if not elements <= self.allowed:
            msg = f"composition {formula} holds {_symbols(elements - self.allowed)}, which is not allowed"
            raise InputError(msg)
        if not self.required <= elements:
            msg = f"composition {formula} lacks the required {_symbols(self.required - elements)}"
            raise InputError(msg)
        least, most = self.n_elements
        if not least <= len(elements) <= most:
            msg = f"composition {formula} has {len(elements)} elements, n_elements allows {least} to {most}"
            raise InputError(msg)
        unit = sum(amount for _, amount in self._pairs)
        least, most = self.n_atoms
        if most // unit * unit < least:
            msg = f"composition {formula} has {unit} atoms, no multiple of it fits n_atoms {least} to {most}"
            raise InputError(msg)

    def _template_filler(self, template: str) -> TemplateFiller:
        """Check the template against every other field, return its filler."""
        number, orbits, names = _parse_template(template)
        if self.numbers == GROUPS_ABOVE_P1:
            object.__setattr__(self, "numbers", frozenset({number}))
        if number not in self.numbers:
            msg = f"template {template!r} is of space group {number}, which is not among the allowed ones"
            raise InputError(msg)
        sizes = [0] * len(names)
        for rank, role in orbits:
            sizes[role] += site_atoms(number)[rank]
        least, most = self.n_atoms
        if not least <= sum(sizes) <= most:
            msg = f"template {template!r} has {sum(sizes)} atoms in the primitive cell, n_atoms is {least} to {most}"
            raise InputError(msg)
        least, most = self.n_elements
        if not least <= len(names) <= most:
            msg = f"template {template!r} has {len(names)} elements, n_elements allows {least} to {most}"
            raise InputError(msg)
        if len(self.required) > len(names):
            msg = f"template {template!r} has {len(names)} elements, {_symbols(self.required)} are required"
            raise InputError(msg)
        if len(names) > len(self.allowed):
            msg = f"template {template!r} has {len(names)} elements, only {_symbols(self.allowed)} are allowed"
            raise InputError(msg)
        if self.amounts is None:
            return TemplateFiller(number, orbits, [bits_of(self.allowed)] * len(names), self.required)
        cells = sum(sizes) // sum(amount for _, amount in self._pairs)
        if sorted(sizes) != sorted(cells * amount for _, amount in self._pairs):
            held = ", ".join(f"{n} {name}" for n, name in zip(sizes, names, strict=True))
            msg = (
                f"template {template!r} holds {held} atoms, which is no multiple of composition {_formula(self._pairs)}"
            )
            raise InputError(msg)
        candidates = [bits_of(z for z, amount in self._pairs if cells * amount == size) for size in sizes]
        return TemplateFiller(number, orbits, candidates, ())

    def _subject(self) -> str:
        """Return what has to be placed, for a message."""
        if self.amounts is not None:
            return f"composition {_formula(self._pairs)}"
        least = max(self.n_elements[0], len(self.required))
        parts = [f"a gene of {least} or more elements"]
        if self.required:
            parts.append(f"with {_symbols(self.required)}")
        return " ".join(parts)

    def _nearest_size(self) -> str:
        """Return the number of atoms nearest to the range for which an allowed group has a gene, for a message."""
        least, most = self.n_atoms
        unit = sum(amount for _, amount in self._pairs) or 1
        sizes = [n for n in range(unit, MAX_ATOMS + 1, unit) if not least <= n <= most]
        for n in sorted(sizes, key=lambda n: max(least - n, n - most)):
            filler = self._with_atoms(n)
            groups = [number for number in sorted(self.numbers) if filler.holds(number)]
            if groups:
                return f"{n} atoms in space group {groups[0]}"
        return ""

    def _nearest_groups(self) -> str:
        """Return groups nearest to the allowed ones that have a gene, for a message."""
        others = [number for number in GROUPS_ABOVE_P1 - self.numbers if self._filler.holds(number)]
        others.sort(key=lambda number: (min(abs(number - asked) for asked in self.numbers), number))
        if not others:
            return ""
        least, most = self.n_atoms
        return f"{least} to {most} atoms in space group {', '.join(map(str, others[:_NEIGHBOURS]))}"

    def _with_atoms(self, n_atoms: int) -> Filler:
        """Return the filler for exactly ``n_atoms`` atoms; there is no template."""
        if self.amounts is not None:
            return CompositionFiller(self._pairs, (n_atoms, n_atoms))
        return OpenFiller(self.allowed, self.required, self.n_elements, (n_atoms, n_atoms))


def _check_subset(name: str, values: frozenset[int], largest: int) -> None:
    """Check that there are values and that they are in 1 … ``largest``."""
    if not values:
        msg = f"no {name} is allowed, expected one at least"
        raise InputError(msg)
    wrong = sorted(value for value in values if not 1 <= value <= largest)
    if wrong:
        msg = f"{name} {wrong[0]} does not exist, expected 1 to {largest}"
        raise InputError(msg)


def _check_range(name: str, limits: tuple[int, int], largest: int) -> None:
    """Check an inclusive range."""
    least, most = limits
    if not 1 <= least <= most <= largest:
        msg = f"{name} is {least} to {most}, expected an ascending range within 1 to {largest}"
        raise InputError(msg)


def _reduced(amounts: Mapping[int, int] | tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """Return a composition by ascending atomic number, divided by the greatest common divisor."""
    pairs = sorted((int(z), n) for z, n in dict(amounts).items())
    if not pairs:
        msg = "the composition is empty, expected one element at least"
        raise InputError(msg)
    _check_subset("atomic number", frozenset(z for z, _ in pairs), N_ELEMENTS)
    for z, n in pairs:
        if n != int(n) or n < 1:
            msg = f"the composition has {n} {Element.from_Z(z).symbol}, expected a whole number from 1 upwards"
            raise InputError(msg)
    divisor = math.gcd(*(int(n) for _, n in pairs))
    return tuple((z, int(n) // divisor) for z, n in pairs)


def _parse_template(template: str) -> tuple[int, list[tuple[int, int]], list[str]]:
    """Return space group, (letter rank, role) in the order of the letters, and the names of the roles."""
    try:
        number, occupations = parse_gene(template)
        letters = "".join(space_group(number).positions)
        unknown = [letter for _, letter in occupations if letter not in letters]
        if unknown:
            space_group(number).position(unknown[0])
    except RepresentationError as err:
        msg = f"template {template!r}: {err}"
        raise InputError(msg) from err
    names = sorted({name for name, _ in occupations}, key=lambda name: (len(name), name))
    orbits = sorted((letters.index(letter), names.index(name)) for name, letter in occupations)
    ranks = [rank for rank, _ in orbits]
    for rank in ranks:
        if ranks.count(rank) > 1 and not site_is_free(number)[rank]:
            msg = (
                f"template {template!r} has {ranks.count(rank)} orbits on {letters[rank]}, "
                f"which has no free coordinate in space group {number} and holds one"
            )
            raise InputError(msg)
    return number, orbits, names


def _symbols(numbers: frozenset[int] | set[int]) -> str:
    """Return the symbols of atomic numbers for a message."""
    return ", ".join(Element.from_Z(z).symbol for z in sorted(numbers))


def _formula(amounts: tuple[tuple[int, int], ...]) -> str:
    """Return a formula such as ``TiO2``, electropositive elements first."""
    terms = sorted((Element.from_Z(z).iupac_ordering, Element.from_Z(z).symbol, n) for z, n in amounts)
    return "".join(f"{symbol}{n if n > 1 else ''}" for _, symbol, n in terms)
