import pytest

from genmat.campaign import Target
from genmat.errors import CampaignError
from genmat.generation import Draw, ProposalWeights, get_generator
from genmat.reference.table import Reference
from genmat.representation.gene import gene
from tests.generation.textbook import context, perovskite, reference_of, textbook_crystals

STANNATE = Target(chemistry={"composition": "BaSnSe3"})


def draws(reference: Reference, n: int, target: Target = STANNATE, **changes: object) -> list[Draw]:
    parameters = changes.pop("parameters", {})
    generator = get_generator("template", parameters, reference=reference)
    return generator.draw(range(n), context=context(target, **changes))


def test_every_gene_has_its_turn_before_any_has_its_second(textbook: Reference) -> None:
    made = [draw for draw in draws(textbook, 200, Target(chemistry={"chemical_system": "Na-Se"})) if draw.crystal]
    genes = [gene(draw.crystal) for draw in made]
    n_distinct = len(set(genes))
    assert n_distinct >= 2
    assert len(set(genes[:n_distinct])) == n_distinct
    assert len({draw.origin["template"] + str(draw.origin["substitution"]) for draw in made}) == len(made)


def test_the_same_option_is_never_drawn_twice_and_then_none_is_left(textbook: Reference) -> None:
    found = draws(textbook, 500)
    made = [draw for draw in found if draw.crystal]
    assert len({draw.origin["template"] + str(draw.origin["substitution"]) for draw in made}) == len(made) < 500
    assert found[-1].failure == f"the target leaves {len(made)} options, all of which were drawn"


def test_without_noise_scores_fall_within_a_turn(textbook: Reference) -> None:
    made = [d for d in draws(textbook, 5, parameters={"selection_temperature": 0.0}) if d.crystal]
    first_turn = []
    for draw in made:
        if gene(draw.crystal) in {gene(d.crystal) for d in first_turn}:
            break
        first_turn.append(draw)
    scores = [draw.score for draw in first_turn]
    assert scores == sorted(scores, reverse=True)


def test_another_round_has_another_order(textbook: Reference) -> None:
    one, other = ([d.origin.get("template") for d in draws(textbook, 30, round=r)] for r in (0, 1))
    assert one != other
    assert sorted(map(str, one)) != []


def test_weights_order_the_options(textbook: Reference) -> None:
    target = Target(chemistry={"chemical_system": "Na-Se"})
    rutile = ProposalWeights(templates={"136:A.a,B.f": 20.0})
    parameters = {"charge_balanced": False}
    assert draws(textbook, 1, target, weights=rutile, parameters=parameters)[0].crystal.number == 136


def test_a_target_of_known_crystals_only_is_refused(textbook: Reference) -> None:
    target = Target(chemistry={"composition": "KCl"}, symmetry={"space_groups": [225]})
    with pytest.raises(CampaignError, match=r"known crystal.*avoid_known"):
        get_generator("template", {}, reference=textbook, target=target)
    again = get_generator("template", {"avoid_known": False}, reference=textbook).draw([0], context=context(target))
    assert again[0].crystal.composition.reduced_formula == "KCl"


def test_a_target_that_cannot_balance_its_charges_is_refused() -> None:
    reference = reference_of([*textbook_crystals(), perovskite("Ca", "Ti", "O")])
    target = Target(chemistry={"composition": "CaNaO3"})
    with pytest.raises(CampaignError, match=r"balances its charges.*charge_balanced"):
        get_generator("template", {}, reference=reference, target=target)
