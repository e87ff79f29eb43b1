"""Prototypes with roles: which element of one crystal corresponds to which of another of the same anonymous gene.

Crystals of one anonymous gene differ by a replacement of elements and by their description (origin, axes). A *role*
is one element of the prototype with all its orbits. The roles of a crystal are ordered by their Wyckoff letters,
minimal under the normaliser of the space group, and, where the letters leave a choice (both ions of rock salt can sit
on a), by electronegativity: the cation comes first, whatever the description.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby, islice, permutations, product
from typing import TYPE_CHECKING

from genmat.generation.charges import electronegativity
from genmat.representation.wyckoff import space_group

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from genmat.representation.gene import Occupation

type Signature = tuple[str, ...]
"""Letters of each role, each text sorted; ``A``, the 27th letter, is written ``{`` so that it sorts last."""

type PrototypeKey = tuple[int, Signature]
"""Space group (of an enantiomorphic pair the lower number) and sorted signature: equal for equal anonymous genes."""

MAX_ASSIGNMENTS = 5040
"""Assignments of elements to roles that are looked at: all of seven elements that share their letters."""

_TWENTY_SEVENTH = str.maketrans("A", "{")


def prototype_roles(number: int, occupations: Iterable[Occupation]) -> tuple[PrototypeKey, tuple[str, ...]]:
    """Return the prototype of a crystal and the element in each of its roles.

    Parameters
    ----------
    number
        Space group.
    occupations
        Element and Wyckoff letter of each orbit, in any description.

    Returns
    -------
    tuple
        Key of the prototype, and symbols in the order of its roles. Elements other than these on the same roles make
        a crystal of the same anonymous gene.
    """
    letters: dict[str, str] = {}
    for element, letter in occupations:
        letters[element] = letters.get(element, "") + letter
    elements = sorted(letters, key=lambda symbol: (electronegativity(symbol), symbol))
    common, signature, assignments = _canonical(number, tuple("".join(sorted(letters[e])) for e in elements))
    # Elements ascend in electronegativity: the smallest list of positions puts the most electropositive first.
    order = min(sorted(range(len(elements)), key=lambda i: (assignment[i], i)) for assignment in assignments)
    return (common, signature), tuple(elements[i] for i in order)


def role_assignments(number: int, occupations: Iterable[Occupation]) -> tuple[PrototypeKey, list[tuple[str, ...]]]:
    """Return the prototype of a gene, and every way in which its elements can take the prototype's roles.

    Roles of the same letters, or of letters that the normaliser exchanges, leave a choice: in rock salt either ion
    can be either. With any of the assignments a crystal of the prototype becomes one of the same gene.

    Parameters
    ----------
    number
        Space group.
    occupations
        Element and Wyckoff letter of each orbit, in any description.

    Returns
    -------
    tuple
        Key of the prototype, and for each assignment the symbols in the order of the roles; at most
        :data:`MAX_ASSIGNMENTS`, those in which electronegativity ascends first.
    """
    letters: dict[str, str] = {}
    for element, letter in occupations:
        letters[element] = letters.get(element, "") + letter
    elements = sorted(letters, key=lambda symbol: (electronegativity(symbol), symbol))
    common, signature, images = _canonical(number, tuple("".join(sorted(letters[e])) for e in elements))
    return (common, signature), list(islice(_role_orders(elements, images), MAX_ASSIGNMENTS))


def _role_orders(elements: list[str], images: tuple[Signature, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the elements in the order of their letters in each image, those of equal letters in every order."""
    for image in images:
        ordered = sorted(range(len(elements)), key=lambda i: (image[i], i))
        groups = [list(group) for _, group in groupby(ordered, key=lambda i: image[i])]
        for arrangement in product(*(permutations(group) for group in groups)):
            yield tuple(elements[i] for group in arrangement for i in group)


def prototype_key(number: int, occupations: Iterable[Occupation]) -> PrototypeKey:
    """Return the prototype of a crystal; labels such as A and B may stand for the elements."""
    letters: dict[str, str] = {}
    for label, letter in occupations:
        letters[label] = letters.get(label, "") + letter
    common, signature, _ = _canonical(number, tuple(sorted("".join(sorted(text)) for text in letters.values())))
    return common, signature


@lru_cache(maxsize=65536)
def _canonical(number: int, letters: Signature) -> tuple[int, Signature, tuple[Signature, ...]]:
    """Return the number that names the prototype, its signature, and what each element's letters can become there."""
    common, tables = _letter_tables(number, "".join(sorted(set("".join(letters)))))
    best: list[str] = []
    assignments: set[Signature] = set()
    for table in tables:
        assignment = ["".join(sorted(text.translate(table))) for text in letters]
        signature = sorted(assignment)
        if not best or signature < best:
            best, assignments = signature, {tuple(assignment)}
        elif signature == best:
            assignments.add(tuple(assignment))
    return common, tuple(best), tuple(sorted(assignments))


@lru_cache(maxsize=4096)
def _letter_tables(number: int, letters: str) -> tuple[int, list[dict[int, int]]]:
    """Return what the normaliser, and the mirror onto a group of lower number, can make of some letters.

    Returns
    -------
    tuple
        Number of the group whose letters result, and one translation table for each distinct outcome.
    """
    group = space_group(number)
    mirrored = letters
    if group.enantiomorph is not None:
        other, mapped = group.enantiomorph
        mirrored = "".join(mapped[letter] for letter in letters)
        group = space_group(other)
    images = {"".join([p.letters[letter] for letter in mirrored]) for p in group.normalizer}
    return group.number, [str.maketrans(letters, image.translate(_TWENTY_SEVENTH)) for image in sorted(images)]
