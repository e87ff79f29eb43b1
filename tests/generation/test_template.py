import math

import pytest

from genmat.campaign import Target
from genmat.generation import Draw, get_generator
from genmat.generation.charges import is_charge_balanced, is_ionic
from genmat.generation.library import template_library
from genmat.generation.score import features, stability_score
from genmat.generation.target_score import TargetScore
from genmat.reference.entries import ATOMIC_NUMBERS as Z
from genmat.reference.table import Reference
from genmat.representation.gene import anonymous_gene, gene
from tests.generation.textbook import context


def draws(textbook: Reference, n: int = 80, target: Target | None = None, **parameters: object) -> list[Draw]:
    generator = get_generator("template", parameters, reference=textbook)
    return [draw for draw in generator.draw(range(n), context=context(target)) if draw.crystal is not None]


def is_known(textbook: Reference, draw: Draw) -> bool:
    return (draw.crystal.composition.reduced_formula, gene(draw.crystal)) in set(
        zip(textbook.formulas, textbook.genes, strict=True)
    )


def test_known_crystals_are_passed_over_unless_wanted(textbook: Reference) -> None:
    assert not any(is_known(textbook, draw) for draw in draws(textbook))
    assert any(is_known(textbook, draw) for draw in draws(textbook, avoid_known=False))


def test_ionic_proposals_balance_their_charges_unless_told_otherwise(textbook: Reference) -> None:
    def unbalanced(draw: Draw) -> bool:
        counts = draw.crystal.element_counts
        return is_ionic(counts) and not is_charge_balanced(tuple(counts.items()))

    assert not any(unbalanced(draw) for draw in draws(textbook))
    assert any(unbalanced(draw) for draw in draws(textbook, charge_balanced=False, substitution_temperature=5.0))


def test_the_origin_leads_back_to_the_template(textbook: Reference) -> None:
    crystals = {textbook.material_ids[row]: x for row, x in zip(textbook.crystal_rows, textbook.crystals, strict=True)}
    for draw in draws(textbook, n=20):
        template = crystals[draw.origin["template"]]
        factor = draw.origin["volume_factor"]
        rebuilt = template.replace_elements(draw.origin["substitution"]).scale_volume(factor)
        assert rebuilt.orbits == draw.crystal.orbits
        assert rebuilt.lattice == pytest.approx(draw.crystal.lattice, rel=1e-5)
        assert draw.origin["anonymous_gene"] == anonymous_gene(template)


def test_more_options_make_better_scores(textbook: Reference) -> None:
    def mean_score(oversample: int) -> float:
        found = draws(textbook, oversample=oversample, selection_temperature=0.0)
        return sum(draw.score for draw in found) / len(found)

    assert mean_score(16) > mean_score(4) > mean_score(1)


def test_selection_temperature_trades_score_for_diversity(textbook: Reference) -> None:
    cold, hot = (draws(textbook, oversample=16, selection_temperature=t) for t in (0.0, 5.0))
    assert sum(d.score for d in cold) / len(cold) > sum(d.score for d in hot) / len(hot)
    assert len({gene(d.crystal) for d in cold}) < len({gene(d.crystal) for d in hot})


def test_a_target_for_density_draws_proposals_into_its_range(textbook: Reference) -> None:
    light = Target(properties=[{"name": "density", "max": 3.0}])

    def share(target: Target) -> float:
        found = draws(textbook, n=40, target=target)
        return sum(draw.structure.density <= 3.0 for draw in found) / len(found)

    assert share(light) > share(Target()) + 0.2


def test_probability_of_a_range_is_a_half_at_its_end() -> None:
    score = TargetScore.from_target(Target(properties=[{"name": "volume_per_atom", "max": 10.0}]))
    assert score.log_probability([(11, 1), (17, 1)], 10.0) == pytest.approx(math.log(0.5))
    assert score.log_probability([(11, 1), (17, 1)], 9.0) > score.log_probability([(11, 1), (17, 1)], 11.0)
    assert math.isfinite(score.log_probability([(11, 1), (17, 1)], 1000.0))


def test_a_direction_alone_asks_for_no_range() -> None:
    score = TargetScore.from_target(Target(properties=[{"name": "density", "direction": "minimize"}]))
    assert score.log_probability([(11, 1), (17, 1)], 20.0) == 0.0


def test_a_template_is_closest_to_itself(textbook: Reference) -> None:
    library = template_library(textbook)
    for template in library.templates:
        same = features(library, template, template.elements)
        assert (same.similarity, same.changed, same.size_mismatch, same.unseen) == (0, 0, 0, 0)


def test_relatives_score_better_than_strangers(textbook: Reference) -> None:
    library = template_library(textbook)
    salt = next(t for t in library.templates if t.elements == (Z["Na"], Z["Br"]))
    relative, stranger = (stability_score(library, salt, (Z[a], Z[x])) for a, x in (("K", "Br"), ("O", "Ba")))
    assert relative > stranger
