import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from genmat.errors import RepresentationError
from genmat.generation.library import TemplateLibrary, template_library
from genmat.generation.prototypes import prototype_roles, role_assignments
from genmat.generation.starts import likeness, template_starts
from genmat.reference.entries import SYMBOLS
from genmat.reference.io import load_reference
from genmat.reference.table import Reference
from genmat.representation.contacts import distances_ok
from genmat.representation.conversion import to_structure
from genmat.representation.crystal import Crystal, Orbit
from genmat.representation.gene import gene, gene_of_occupations
from genmat.representation.wyckoff import space_group
from tests.generation.textbook import CUBIC, reference_of, rock_salt, textbook_crystals


def matlockite(
    metal: str, inner: str, outer: str, *, edge: float = 4.1, ratio: float = 1.8, z: float = 0.65
) -> Crystal:
    """Return a crystal of the PbFCl type: metal and outer anion stand on the same letter."""
    orbits = (Orbit(inner, "a"), Orbit(metal, "c", (0.2,)), Orbit(outer, "c", (z,)))
    return Crystal(129, orbits, (edge, edge, ratio * edge, *CUBIC))


@pytest.fixture(scope="module")
def library(textbook: Reference) -> TemplateLibrary:
    return template_library(textbook)


@pytest.fixture(scope="module")
def layered() -> TemplateLibrary:
    """Return a library with two shapes of the PbFCl type, one of them twice."""
    return template_library(
        reference_of(
            [
                *textbook_crystals(),
                matlockite("Ba", "F", "Cl"),
                matlockite("Sr", "F", "Cl", edge=3.9),
                matlockite("Ca", "F", "Br", ratio=2.3, z=0.72),
            ]
        )
    )


def by_element(crystal: Crystal) -> dict[str, Orbit]:
    return {orbit.element: orbit for orbit in crystal.orbits}


@pytest.mark.parametrize("number", [136, 221, 225])
def test_a_start_has_the_gene_in_whatever_description_it_is_asked_for(library: TemplateLibrary, number: int) -> None:
    wanted = {
        136: [("Sn", "a"), ("S", "f")],
        221: [("Ba", "b"), ("Sn", "a"), ("O", "d")],
        225: [("Li", "b"), ("F", "a")],
    }
    for permutation in space_group(number).normalizer:
        moved = [(element, permutation.letters[letter]) for element, letter in wanted[number]]
        (start, *_) = template_starts(number, moved, library=library)
        assert gene(start.crystal) == gene_of_occupations(number, wanted[number])


def test_the_chemically_nearest_crystal_gives_the_geometry(library: TemplateLibrary) -> None:
    (start,) = template_starts(225, [("Rb", "a"), ("Br", "b")], library=library, exclude=holds("Rb", "Br"))
    source = next(t for t in library.templates if t.material_id == start.source)
    assert {SYMBOLS[z] for z in source.elements} & {"Rb", "Br"}
    (exact,) = template_starts(225, [("Li", "a"), ("Cl", "b")], library=library)
    assert exact.score > start.score
    assert exact.crystal.volume == pytest.approx(rock_salt("Li", "Cl").volume, rel=0.25)


def holds(*symbols: str):
    return lambda template: set(symbols) == {SYMBOLS[z] for z in template.elements}


@pytest.mark.parametrize("swapped", [False, True])
def test_elements_on_one_letter_take_the_places_of_their_like(layered: TemplateLibrary, *, swapped: bool) -> None:
    letters = [("F", "a"), ("Sr", "c"), ("Br", "c")]
    (start,) = template_starts(129, letters[::-1] if swapped else letters, library=layered)
    orbits = by_element(start.crystal)
    assert orbits["Sr"].free == pytest.approx((0.2,))
    assert orbits["Br"].free[0] > 0.6


def test_likeness_decides_about_places_even_against_the_order_of_electronegativity() -> None:
    library = template_library(reference_of([*textbook_crystals(), matlockite("Mg", "O", "Zr")]))
    (start,) = template_starts(129, [("O", "a"), ("Ti", "c"), ("Zn", "c")], library=library)
    orbits = by_element(start.crystal)
    assert orbits["Zn"].free == pytest.approx((0.2,))
    assert orbits["Ti"].free == pytest.approx((0.65,))


def test_starts_differ_in_shape_and_none_is_told_twice(layered: TemplateLibrary) -> None:
    starts = template_starts(129, [("F", "a"), ("Ba", "c"), ("Br", "c")], library=layered, n=2)
    shapes = {round(start.crystal.lattice[2] / start.crystal.lattice[0], 3) for start in starts}
    assert shapes == {1.8, 2.3}
    assert [start.score for start in starts] == sorted((start.score for start in starts), reverse=True)
    assert len(template_starts(225, [("K", "a"), ("Cl", "b")], library=layered, n=5)) == 1


def test_the_volume_is_that_of_the_new_elements(library: TemplateLibrary) -> None:
    small, large = rock_salt("Li", "Cl"), rock_salt("Rb", "Br")
    is_small = holds("Li", "Cl")
    (start,) = template_starts(225, [("Rb", "a"), ("Br", "b")], library=library, exclude=lambda t: not is_small(t))
    assert start.crystal.volume == pytest.approx(large.volume, rel=0.2)
    assert start.crystal.volume > 1.5 * small.volume


def test_excluded_crystals_and_unknown_genes_give_nothing(library: TemplateLibrary) -> None:
    assert template_starts(136, [("Sn", "a"), ("S", "f")], library=library, exclude=lambda _: True) == []
    assert template_starts(1, [("Na", "a"), ("Cl", "a")], library=library) == []


def test_a_crystal_whose_atoms_overlap_is_no_start() -> None:
    library = template_library(reference_of([*textbook_crystals(), matlockite("Ba", "F", "Cl", z=0.25)]))
    assert template_starts(129, [("F", "a"), ("Sr", "c"), ("Cl", "c")], library=library, n=3) == []


@pytest.mark.parametrize(
    ("occupations", "message"),
    [
        ([("Na", "a"), ("Cl", "z")], "space group 225 .* has no Wyckoff letter 'z'"),
        ([("Xx", "a")], "'Xx' is no element"),
        ([("Na", "a"), ("Cl", "a")], "letter a of space group 225 is a point"),
        ([], "needs at least one orbit"),
    ],
)
def test_an_impossible_gene_is_refused(library: TemplateLibrary, occupations: list, message: str) -> None:
    with pytest.raises(RepresentationError, match=message):
        template_starts(225, occupations, library=library)


def test_the_usual_roles_are_among_all_assignments() -> None:
    occupations = [("O", "c"), ("O", "d"), ("Ti", "c"), ("Ca", "a")]
    key, assignments = role_assignments(62, occupations)
    usual_key, usual = prototype_roles(62, occupations)
    assert key == usual_key
    assert usual in assignments
    assert len(set(assignments)) == len(assignments)


def test_geometries_of_known_crystals_are_recovered_without_their_chemical_system() -> None:
    library = template_library(load_reference())
    matcher = StructureMatcher(stol=0.5, angle_tol=10, ltol=0.3)
    rng = np.random.default_rng(1)
    found = []
    for place in rng.permutation(len(library))[:110].tolist():
        template = library.templates[place]
        crystal = library.crystal(template)
        if crystal.degrees_of_freedom and len(template.elements) > 1:
            occupations = [(orbit.element, orbit.letter) for orbit in crystal.orbits]
            system = set(template.elements)
            starts = template_starts(
                crystal.number, occupations, library=library, exclude=lambda t, s=system: set(t.elements) == s
            )
            if starts:
                assert gene(starts[0].crystal) == gene(crystal)
                assert distances_ok(starts[0].crystal, min_ratio=0.5)
                found.append(matcher.fit(to_structure(starts[0].crystal), to_structure(crystal)))
    assert len(found) > 40
    assert np.mean(found) > 0.8


def test_a_known_crystal_is_most_like_itself_and_an_unknown_prototype_like_nothing(library: TemplateLibrary) -> None:
    known = library.crystal(next(template for template in library.templates if template.position == 0))
    itself = likeness(known.number, [(orbit.element, orbit.letter) for orbit in known.orbits], library=library)
    assert itself is not None
    assert itself == pytest.approx(3.0)
    similar = likeness(225, [("K", "a"), ("Br", "b")], library=library)
    assert similar is not None
    assert similar < itself
    assert likeness(225, [("Na", "a"), ("Cl", "e")], library=library) is None


def test_likeness_names_an_element_that_is_none(library: TemplateLibrary) -> None:
    with pytest.raises(RepresentationError, match="'Xx' is no element"):
        likeness(225, [("Xx", "a"), ("Cl", "b")], library=library)
