"""Genes: which element stands on which Wyckoff position, one text for every description of a crystal.

A gene is the multiset of (element, letter) of a crystal, minimal under the affine normaliser of its space group
(:mod:`genmat.representation.normalizer`): another origin, axis order, cell choice or handedness, which the symmetry
search chooses by details of the input, gives the same gene. The eleven enantiomorphic pairs share the gene of the
lower number, because distances, energies and StructureMatcher do not tell mirror images apart.

``"225:Cl.a,Na.b"`` is rock salt; ``"62:O.c2,O.d,Ti.c"`` has two oxygen orbits on c.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from string import ascii_uppercase
from typing import TYPE_CHECKING

from genmat.errors import RepresentationError
from genmat.representation.wyckoff import space_group

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from genmat.representation.crystal import Crystal

Occupation = tuple[str, str]
"""Element and Wyckoff letter of one orbit."""

_GENE = re.compile(r"\d+:[A-Z][A-Za-z]*\.[A-Za-z]\d*(,[A-Z][A-Za-z]*\.[A-Za-z]\d*)*")
_CACHED_LETTER_SETS = 4096


def gene(crystal: Crystal) -> str:
    """Return the canonical gene of ``crystal``, such as ``"225:Cl.a,Na.b"``.

    Equal for equivalent descriptions; mirror images are equal. Elements are in alphabetical order.
    """
    return gene_of_occupations(crystal.number, [(orbit.element, orbit.letter) for orbit in crystal.orbits])


def gene_of_occupations(number: int, occupations: Iterable[Occupation]) -> str:
    """Return the canonical gene of elements on Wyckoff letters of space group ``number``."""
    pairs = list(occupations)
    common, maps = _letter_maps(number, "".join(sorted({letter for _, letter in pairs})))
    best = min(sorted((element, _rank(images[letter])) for element, letter in pairs) for images in maps)
    return _format(common, Counter(best))


def anonymous_gene(crystal: Crystal) -> str:
    """Return the gene with the elements replaced by A, B, …, such as ``"225:A.a,B.b"`` for rock salt.

    Equal for crystals that differ only by a one-to-one replacement of elements (and by description).
    """
    return anonymous_gene_of_occupations(crystal.number, [(orbit.element, orbit.letter) for orbit in crystal.orbits])


def anonymous_gene_of_occupations(number: int, occupations: Iterable[Occupation]) -> str:
    """Return the canonical anonymous gene of elements on Wyckoff letters of space group ``number``."""
    letters_of: dict[str, list[str]] = {}
    for element, letter in occupations:
        letters_of.setdefault(element, []).append(letter)
    used = "".join(sorted({letter for letters in letters_of.values() for letter in letters}))
    common, maps = _letter_maps(number, used)
    best = min(
        sorted(sorted(_rank(images[letter]) for letter in letters) for letters in letters_of.values())
        for images in maps
    )
    named = Counter((_anonymous_name(i), rank) for i, ranks in enumerate(best) for rank in ranks)
    return _format(common, named)


def parse_gene(text: str) -> tuple[int, list[Occupation]]:
    """Return space group number and occupations of a gene, one entry for each orbit.

    Raises
    ------
    RepresentationError
        If the text is no gene.
    """
    if _GENE.fullmatch(text) is None:
        msg = f"{text!r} is no gene, expected a text such as '225:Cl.a,Na.b' or '62:O.c2,O.d,Ti.c'"
        raise RepresentationError(msg)
    number, _, body = text.partition(":")
    occupations = []
    for term in body.split(","):
        element, _, site = term.partition(".")
        occupations.extend([(element, site[0])] * int(site[1:] or 1))
    return int(number), occupations


@lru_cache(maxsize=_CACHED_LETTER_SETS)
def _letter_maps(number: int, letters: str) -> tuple[int, Sequence[dict[str, str]]]:
    """Return the number that names the gene and the distinct images of a set of letters under the normaliser."""
    group = space_group(number)
    mirror = {letter: letter for letter in letters}
    if group.enantiomorph is not None:
        other, images = group.enantiomorph
        mirror = {letter: images[letter] for letter in letters}
        group = space_group(other)
    distinct = {tuple(element.letters[mirror[letter]] for letter in letters) for element in group.normalizer}
    return group.number, [dict(zip(letters, images, strict=True)) for images in sorted(distinct)]


def _rank(letter: str) -> tuple[bool, str]:
    """Return the sorting key of a Wyckoff letter: a to z, then A."""
    return (letter.isupper(), letter)


def _anonymous_name(index: int) -> str:
    """Return the name of element ``index``: A, B, …, Z, AA, AB and so on."""
    name = ""
    index += 1
    while index:
        index, digit = divmod(index - 1, len(ascii_uppercase))
        name = ascii_uppercase[digit] + name
    return name


def _format(number: int, counts: Counter[tuple[str, tuple[bool, str]]]) -> str:
    """Return the text of a gene; ``counts`` is in the order of the terms."""
    terms = [f"{name}.{rank[1]}{count if count > 1 else ''}" for (name, rank), count in counts.items()]
    return f"{number}:{','.join(terms)}"
