import pytest

from genmat.errors import InputError
from genmat.generation import NEUTRAL
from genmat.learning import Outcome, learn_weights
from genmat.learning.feedback import MAX_WEIGHT, credit
from genmat.screening.verdict import Reason

ROCK_SALT, RUTILE = "225:A.a,B.b", "136:A.a,B.f"


def outcome(
    elements: str = "Na-Cl",
    gene: str = ROCK_SALT,
    energy: float | None = 0.0,
    reason: Reason | None = None,
    score: float = 0.0,
) -> Outcome:
    if reason is None:
        reason = Reason.OK if energy is not None and energy <= 0.08 else Reason.ABOVE_HULL
    return Outcome(tuple(elements.split("-")), gene, reason, score, energy)


def campaign() -> list[Outcome]:
    """Return a round in which whatever holds Fe failed and rutile did better than rock salt."""
    found = []
    for metal, energy in (("Na", 0.0), ("K", 0.02), ("Fe", 0.4), ("Mg", 0.03)):
        for anion in ("O", "S", "Cl", "F"):
            found.append(outcome(f"{metal}-{anion}", RUTILE, energy))
            found.append(outcome(f"{metal}-{anion}", ROCK_SALT, energy + 0.1))
    return found


def learnt(outcomes: list[Outcome], strength: float = 1.0):
    return learn_weights(outcomes, hull_tolerance=0.08, strength=strength)


def test_a_failing_element_loses_and_a_good_template_gains() -> None:
    weights = learnt(campaign())
    assert weights.elements["Fe"] == min(weights.elements.values()) < 0.0
    assert weights.templates[RUTILE] > 0.0 > weights.templates[ROCK_SALT]


def test_an_element_is_not_blamed_for_its_company() -> None:
    weights = learnt([*campaign(), *[outcome(f"Fe-{x}", RUTILE, 0.5) for x in ("O", "O", "O")]])
    assert weights.elements["O"] > weights.elements["Fe"] + 0.5


def test_the_order_of_outcomes_does_not_matter() -> None:
    shuffled = campaign()
    assert learnt(shuffled[::-1]) == learnt([*shuffled[7:], *shuffled[:7]]) == learnt(shuffled)


def test_more_evidence_moves_a_weight_further() -> None:
    once = learnt([outcome("Na-Cl", energy=0.0), outcome("Fe-Cl", energy=0.5)])
    often = learnt([outcome("Na-Cl", energy=0.0), outcome("Fe-Cl", energy=0.5)] * 10)
    assert often.elements["Fe"] < once.elements["Fe"] < 0.0


def test_weights_are_bounded_and_scale_with_strength() -> None:
    outcomes = [outcome("Na-Cl", energy=0.0), outcome("Fe-Cl", energy=0.5)] * 2000
    full, half = learnt(outcomes), learnt(outcomes, strength=0.5)
    assert max(map(abs, full.elements.values())) <= MAX_WEIGHT
    assert half.elements["Fe"] == pytest.approx(0.5 * full.elements["Fe"], abs=1e-5)
    assert learnt(outcomes, strength=0.0) == NEUTRAL


@pytest.mark.parametrize("energy", [0.0, 0.5])
def test_a_round_without_contrast_teaches_little(energy: float) -> None:
    weights = learnt([outcome("Na-Cl", energy=energy), outcome("K-Cl", energy=energy)])
    assert max(map(abs, (*weights.elements.values(), *weights.templates.values()))) < 0.5


def test_success_that_the_score_foresaw_teaches_less() -> None:
    surprising = [outcome("Na-Cl", energy=0.0), outcome("Fe-Cl", energy=0.5)] * 5
    foreseen = [outcome("Na-Cl", energy=0.0, score=2.0), outcome("Fe-Cl", energy=0.5, score=-2.0)] * 5
    assert abs(learnt(foreseen).elements["Fe"]) < abs(learnt(surprising).elements["Fe"])


def test_nothing_is_learnt_from_nothing() -> None:
    assert learnt([]) == NEUTRAL
    assert (
        learnt([outcome(energy=None, reason=Reason.DUPLICATE), outcome(energy=None, reason=Reason.NOT_SELECTED)])
        == NEUTRAL
    )


@pytest.mark.parametrize("reason", [Reason.VALIDATION_FAILED, Reason.PROPERTY_FAILED, Reason.JOB_FAILED])
def test_a_calculation_that_failed_is_not_blamed_on_the_elements(reason: Reason) -> None:
    failed = [outcome("Fe-Cl", energy=0.0, reason=reason)] * 3
    assert learnt([*campaign(), *failed]) == learnt(campaign())


def test_credit_falls_smoothly_with_the_energy_above_the_hull() -> None:
    energies = (-0.05, 0.0, 0.08, 0.1, 0.3)
    found = [credit(outcome(energy=energy), hull_tolerance=0.08) for energy in energies]
    assert found == sorted(found, reverse=True)
    assert found[2] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "reason", [Reason.OFF_TARGET, Reason.TOO_CLOSE, Reason.KNOWN_AFTER_RELAXATION, Reason.EXPLODED]
)
def test_what_failed_otherwise_has_no_credit(reason: Reason) -> None:
    assert credit(outcome(energy=0.0, reason=reason), hull_tolerance=0.08) == 0.0


def test_numbers_must_be_finite() -> None:
    with pytest.raises(InputError, match="energy_above_hull nan"):
        outcome(energy=float("nan"))
    with pytest.raises(InputError, match="score inf"):
        outcome(score=float("inf"))
