import pytest

from genmat.errors import CampaignError, ReferenceDataError
from genmat.generation import generator_names, get_generator
from genmat.reference.table import Reference
from tests.generation.textbook import reference_of, rock_salt


def test_the_template_generator_is_registered() -> None:
    assert "template" in generator_names()


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("tempalte", {}, "'tempalte' is unknown.*Did you mean 'template'"),
        ("template", {"oversampel": 3}, "no parameter 'oversampel'.*Did you mean 'oversample'"),
        ("template", {"oversample": 0}, "oversample is 0, expected a whole number from 1 to 1000"),
        ("template", {"oversample": 2.5}, "oversample is 2.5, expected a whole number"),
        ("template", {"oversample": True}, "oversample is True, expected a whole number"),
        ("template", {"substitution_temperature": float("nan")}, "substitution_temperature is nan"),
        ("template", {"substitution_temperature": "hot"}, "substitution_temperature is 'hot', expected a number"),
        ("template", {"prototype_exponent": -1}, "prototype_exponent is -1.0, expected a number from 0 to 1"),
        ("template", {"avoid_known": "yes"}, "avoid_known is 'yes', expected true or false"),
    ],
)
def test_a_wrong_name_or_value_is_refused_in_one_line(
    textbook: Reference, name: str, parameters: dict[str, object], words: str
) -> None:
    with pytest.raises(CampaignError, match=words) as caught:
        get_generator(name, parameters, reference=textbook)
    assert "\n" not in str(caught.value)


def test_defaults_are_written_out(textbook: Reference) -> None:
    generator = get_generator("template", {"oversample": 3}, reference=textbook)
    assert generator.parameters["oversample"] == 3
    assert set(generator.parameters) >= {"avoid_known", "selection_temperature"}


def test_configuration_id_depends_on_parameters_and_reference(textbook: Reference) -> None:
    smaller = reference_of([rock_salt("Na", "Cl"), rock_salt("K", "Cl")])
    ids = [
        get_generator("template", parameters, reference=reference).configuration_id
        for parameters, reference in (({}, textbook), ({"oversample": 9}, textbook), ({}, smaller))
    ]
    assert len(set(ids)) == 3
    assert get_generator("template", {}, reference=textbook).configuration_id == ids[0]


def test_whole_and_real_numbers_are_one_configuration(textbook: Reference) -> None:
    one, other = ({"selection_temperature": value} for value in (1, 1.0))
    left, right = (get_generator("template", given, reference=textbook) for given in (one, other))
    assert left.configuration_id == right.configuration_id


def test_a_reference_without_templates_is_refused() -> None:
    with pytest.raises(ReferenceDataError, match=r"none of the .* crystals"):
        get_generator("template", {}, reference=reference_of([]))
