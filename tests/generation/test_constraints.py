from itertools import repeat

import numpy as np
import pytest

from genmat.campaign import Target
from genmat.generation.constraints import Chemistry, TemplatePool, decorated_amounts, template_pool
from genmat.generation.decoration import Decorator, is_balanced
from genmat.generation.library import TemplateLibrary, template_library
from genmat.reference.entries import ATOMIC_NUMBERS as Z
from genmat.reference.table import Reference

NO_WEIGHTS = np.zeros(119)


@pytest.fixture(scope="module")
def library(textbook: Reference) -> TemplateLibrary:
    return template_library(textbook)


def pool_of(library: TemplateLibrary, target: Target, **changes: object) -> TemplatePool:
    given = {
        "max_energy_above_hull": 0.1,
        "prototype_exponent": 0.5,
        "temperature": 1.0,
        "element_weights": NO_WEIGHTS,
        "prototype_weights": np.zeros(len(library.prototypes)),
    }
    return template_pool(library, target, **{**given, **changes})


def shares(pool: TemplatePool) -> dict[int, float]:
    """Return the probability of each prototype."""
    found: dict[int, float] = {}
    for template, p in zip(pool.templates, np.diff(pool.cumulative, prepend=0.0).tolist(), strict=True):
        found[template.prototype] = found.get(template.prototype, 0.0) + p
    return found


def test_templates_have_roles_counts_and_volumes_of_their_crystals(library: TemplateLibrary) -> None:
    for template in library.templates:
        crystal = library.crystal(template)
        counts = {Z[symbol]: n for symbol, n in crystal.element_counts.items()}
        assert dict(zip(template.elements, template.counts, strict=True)) == counts
        assert template.volume_per_atom == pytest.approx(crystal.volume / crystal.n_atoms, rel=1e-5)


def test_single_elements_are_templates_only_for_targets_of_one_element(library: TemplateLibrary) -> None:
    assert all(len(t.elements) > 1 for t in pool_of(library, Target()).templates)
    single = pool_of(library, Target(chemistry={"n_elements": {"max": 1}}))
    assert all(len(t.elements) == 1 for t in single.templates)


def test_exponent_one_draws_templates_alike_and_zero_prototypes_alike(library: TemplateLibrary) -> None:
    by_template = np.diff(pool_of(library, Target(), prototype_exponent=1.0).cumulative, prepend=0.0)
    assert by_template == pytest.approx(np.full(len(by_template), 1.0 / len(by_template)))
    by_prototype = shares(pool_of(library, Target(), prototype_exponent=0.0))
    assert list(by_prototype.values()) == pytest.approx([1.0 / len(by_prototype)] * len(by_prototype))


def test_templates_of_similar_chemistry_are_preferred(library: TemplateLibrary) -> None:
    pool = pool_of(library, Target(chemistry={"elements": ["Li", "Na", "K", "Cl", "Br"], "n_elements": {"min": 2}}))
    odds = dict(zip(pool.templates, np.diff(pool.cumulative, prepend=0.0).tolist(), strict=True))
    of = {t.elements: p for t, p in odds.items()}
    assert of[Z["Na"], Z["Br"]] > of[Z["Rb"], Z["Br"]] > of[Z["Ca"], Z["S"]]


def test_a_pick_follows_the_probabilities(library: TemplateLibrary) -> None:
    pool = pool_of(library, Target())
    assert pool.pick(0.0) is pool.templates[0]
    assert pool.pick(np.nextafter(1.0, 0.0)) is pool.templates[-1]
    assert pool.pick(float(pool.cumulative[4])) is pool.templates[5]


def test_a_composition_needs_its_formula_type_in_any_number_of_formula_units(library: TemplateLibrary) -> None:
    target = Target(chemistry={"composition": "MgF2"})
    pool = pool_of(library, target)
    assert {t.number for t in pool.templates} == {136}
    assert {t.counts for t in pool.templates} == {(2, 4)}
    chemistry = Chemistry.from_target(target, known=library.elements)
    assert {decorated_amounts(t, chemistry) for t in pool.templates} == {(1, 2)}


def decorator(library: TemplateLibrary, target: Target) -> tuple[Decorator, TemplatePool]:
    pool = pool_of(library, target)
    return (
        Decorator.from_similarity(library.similarity, pool.chemistry, temperature=1.0, element_weights=NO_WEIGHTS),
        pool,
    )


def test_elements_of_a_composition_go_to_the_roles_of_their_amount(library: TemplateLibrary) -> None:
    decorate, pool = decorator(library, Target(chemistry={"composition": "CaSnO3"}))
    uniforms = iter(np.random.default_rng(0).random(10_000).tolist())
    for template in pool.templates:
        elements = decorate.decorate(template, uniforms)
        amounts = dict(zip(elements, template.counts, strict=True))
        assert amounts == {Z["Ca"]: 1, Z["Sn"]: 1, Z["O"]: 3}


def test_required_elements_prefer_the_roles_of_their_relatives(library: TemplateLibrary) -> None:
    decorate, pool = decorator(library, Target(chemistry={"required": ["K"], "n_elements": {"max": 2}}))
    salt = next(t for t in pool.templates if t.elements == (Z["Na"], Z["Br"]))
    uniforms = iter(np.random.default_rng(0).random(10_000).tolist())
    places = [decorate.decorate(salt, uniforms).index(Z["K"]) for _ in range(200)]
    assert places.count(0) > 150


def test_a_hopeless_decoration_ends(library: TemplateLibrary) -> None:
    decorate, pool = decorator(library, Target(chemistry={"n_elements": {"min": 3}}))
    perovskite = next(t for t in pool.templates if len(t.elements) == 3)
    assert decorate.decorate(perovskite, repeat(0.0)) is None


def test_decorations_of_alloys_need_no_balance() -> None:
    assert is_balanced([Z["Ni"], Z["Al"]], [1, 1])
    assert is_balanced([Z["Na"], Z["Cl"]], [4, 4])
    assert not is_balanced([Z["Na"], Z["Cl"]], [1, 2])
