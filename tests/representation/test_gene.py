"""Genes are equal exactly where the descriptions are equivalent."""

from __future__ import annotations

import numpy as np
import pytest

from genmat.errors import RepresentationError
from genmat.representation.conversion import from_structure
from genmat.representation.gene import (
    anonymous_gene,
    anonymous_gene_of_occupations,
    gene,
    gene_of_occupations,
    parse_gene,
)
from genmat.representation.wyckoff import space_group


def test_prototype_has_its_gene(prototype):
    crystal = from_structure(prototype.structure)
    assert (gene(crystal), anonymous_gene(crystal)) == (prototype.gene, prototype.anonymous)


@pytest.mark.parametrize("seed", range(5))
def test_gene_does_not_depend_on_cell_origin_orientation_or_order(prototype, redescribe, seed):
    crystal = from_structure(redescribe(prototype.structure, seed))
    assert (gene(crystal), anonymous_gene(crystal)) == (prototype.gene, prototype.anonymous)


def test_gene_of_real_crystals_does_not_depend_on_their_description(real_structures, redescribe):
    differing = []
    for seed, structure in enumerate(real_structures[::2]):
        if gene(from_structure(structure)) != gene(from_structure(redescribe(structure, seed))):
            differing.append(structure.formula)
    assert len(differing) <= 0.01 * len(real_structures)  # those whose symmetry is a matter of the tolerance


def test_gene_survives_noise(prototype):
    noisy = prototype.structure.copy()
    noisy.perturb(1e-5, seed=3)
    assert gene(from_structure(noisy)) == prototype.gene


def test_gene_survives_a_supercell(prototype):
    assert gene(from_structure(prototype.structure.make_supercell([1, 2, 1], in_place=False))) == prototype.gene


def test_axes_of_an_orthorhombic_group_may_be_relabelled():
    assert gene_of_occupations(47, [("O", "i"), ("Ti", "a")]) == gene_of_occupations(47, [("O", "m"), ("Ti", "a")])


def test_origin_of_rock_salt_may_be_shifted():
    assert gene_of_occupations(225, [("Na", "a"), ("Cl", "b")]) == gene_of_occupations(225, [("Na", "b"), ("Cl", "a")])


def test_cell_of_a_monoclinic_crystal_may_be_chosen_otherwise():
    assert gene_of_occupations(14, [("Zr", "a"), ("O", "e")]) == gene_of_occupations(14, [("Zr", "d"), ("O", "e")])


def test_different_sites_have_different_genes():
    assert gene_of_occupations(225, [("Na", "a"), ("Cl", "b")]) != gene_of_occupations(225, [("Na", "a"), ("Cl", "c")])
    assert gene_of_occupations(216, [("Na", "a"), ("Cl", "b")]) != gene_of_occupations(216, [("Na", "a"), ("Cl", "c")])


@pytest.mark.parametrize("number", [2, 12, 47, 63, 123, 166, 216, 221])
def test_gene_is_invariant_under_the_normalizer(number):
    group = space_group(number)
    generator = np.random.default_rng(number)
    letters = list(group.positions)
    occupations = [(e, letters[i]) for e, i in zip("CNOFS", generator.integers(0, len(letters), 5), strict=True)]
    for element in group.normalizer[:: max(1, len(group.normalizer) // 30)]:
        moved = [(e, element.letters[letter]) for e, letter in occupations]
        assert gene_of_occupations(number, moved) == gene_of_occupations(number, occupations)
        assert anonymous_gene_of_occupations(number, moved) == anonymous_gene_of_occupations(number, occupations)


def test_mirror_images_share_a_gene(prototypes):
    assert gene(from_structure(prototypes["left quartz"].structure)) == gene(
        from_structure(prototypes["right quartz"].structure)
    )


def test_anonymous_gene_forgets_the_elements(prototypes):
    crystal = from_structure(prototypes["olivine"].structure)
    replaced = crystal.replace_elements({"Mg": "O", "O": "Zr", "Si": "Mg"})
    assert anonymous_gene(replaced) == anonymous_gene(crystal)
    assert gene(replaced) != gene(crystal)


def test_anonymous_gene_keeps_which_sites_share_an_element():
    one = anonymous_gene_of_occupations(62, [("Mg", "a"), ("Mg", "c"), ("O", "d")])
    other = anonymous_gene_of_occupations(62, [("Mg", "a"), ("Fe", "c"), ("O", "d")])
    assert one != other


def test_more_than_26_elements_have_names():
    text = anonymous_gene_of_occupations(1, [(element, "a") for element in map(str, range(30))])
    assert text.endswith("Z.a,AA.a,AB.a,AC.a,AD.a")


def test_gene_text_is_read_back():
    assert parse_gene("62:O.c2,O.d,Ti.c") == (62, [("O", "c"), ("O", "c"), ("O", "d"), ("Ti", "c")])
    assert gene_of_occupations(*parse_gene("62:O.c2,O.d,Ti.c")) == "62:O.c2,O.d,Ti.c"


@pytest.mark.parametrize("text", ["", "225", "225:Na", "225:Na.a;Cl.b", "x:Na.a", "225:na.a"])
def test_text_that_is_no_gene_is_refused(text):
    with pytest.raises(RepresentationError, match="is no gene"):
        parse_gene(text)
