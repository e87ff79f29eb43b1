import pytest

from genmat.generation.prototypes import prototype_key, prototype_roles
from genmat.representation.gene import anonymous_gene, parse_gene
from genmat.representation.wyckoff import space_group
from tests.generation.textbook import textbook_crystals


def test_the_cation_comes_first_whichever_ion_is_on_the_origin() -> None:
    one = prototype_roles(225, [("Na", "a"), ("Cl", "b")])
    other = prototype_roles(225, [("Cl", "a"), ("Na", "b")])
    assert one == other
    assert one[1] == ("Na", "Cl")


def test_roles_of_different_letters_do_not_follow_electronegativity() -> None:
    fluorite = prototype_roles(225, [("Ca", "a"), ("F", "c")])
    antifluorite = prototype_roles(225, [("O", "a"), ("Li", "c")])
    assert fluorite[0] == antifluorite[0]
    assert (fluorite[1], antifluorite[1]) == (("Ca", "F"), ("O", "Li"))


@pytest.mark.parametrize("number", [2, 62, 152, 154, 166, 216, 221])
def test_every_description_has_the_same_roles(number: int) -> None:
    letters = list(space_group(number).positions)[:3]
    occupations = list(zip(("Na", "Ti", "O"), letters, strict=False))
    expected = prototype_roles(number, occupations)
    for permutation in space_group(number).normalizer:
        moved = [(element, permutation.letters[letter]) for element, letter in occupations]
        assert prototype_roles(number, moved) == expected


def test_mirror_images_are_one_prototype() -> None:
    number, letters = space_group(154).enantiomorph
    there = [("Si", letters["a"]), ("O", letters["c"])]
    assert prototype_roles(154, [("Si", "a"), ("O", "c")]) == prototype_roles(number, there)


def test_keys_are_as_fine_as_anonymous_genes() -> None:
    by_gene: dict[str, set[object]] = {}
    by_key: dict[object, set[str]] = {}
    for crystal in textbook_crystals():
        text = anonymous_gene(crystal)
        key, _ = prototype_roles(crystal.number, [(orbit.element, orbit.letter) for orbit in crystal.orbits])
        by_gene.setdefault(text, set()).add(key)
        by_key.setdefault(key, set()).add(text)
        assert prototype_key(*parse_gene(text)) == key
    assert all(len(found) == 1 for found in (*by_gene.values(), *by_key.values()))
