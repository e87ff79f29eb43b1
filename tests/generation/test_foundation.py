"""What the foundation model adds to the contract: five tasks, warnings, refusals, origins."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from genmat.campaign import Target
from genmat.errors import CampaignError, ModelError
from genmat.generation import Generator, generator_names, get_generator
from genmat.generation.foundation import log_odds
from genmat.generation.library import template_library
from genmat.models.bundle import GENERATOR, packaged_models
from genmat.representation.gene import anonymous_gene
from tests.generation.conftest import make
from tests.generation.textbook import context

if TYPE_CHECKING:
    from pathlib import Path

    from genmat.reference.table import Reference

PEROVSKITE = "221:A.a,B.b,C.c"


def test_it_is_registered() -> None:
    assert "foundation" in generator_names()


@pytest.mark.parametrize(
    "target",
    [
        Target(),
        Target(chemistry={"composition": "SrTiO3"}, n_atoms={"max": 10}),
        Target(symmetry={"space_groups": [62, 194]}, n_atoms={"max": 12}),
        Target(properties=[{"name": "volume_per_atom", "min": 10, "max": 15}, {"name": "density", "max": 5}]),
    ],
    ids=["de novo", "composition", "space groups", "properties"],
)
def test_each_task_keeps_its_hard_constraints_in_every_draw(foundation: Generator, target: Target) -> None:
    made = [d.crystal for d in foundation.draw(range(10), context=context(target)) if d.crystal is not None]
    assert made
    assert all(target.allows_composition(crystal.composition) for crystal in made)
    assert all(target.allows_space_group(crystal.number) and crystal.number > 1 for crystal in made)
    assert all(target.allows_n_atoms(crystal.n_atoms) for crystal in made)


def test_a_template_is_kept_in_every_draw(textbook: Reference) -> None:
    generator = make("foundation", textbook, template=PEROVSKITE)
    draws = generator.draw(range(10), context=context())
    made = [draw for draw in draws if draw.crystal is not None]
    assert made
    assert len({anonymous_gene(draw.crystal) for draw in made}) == 1
    assert {draw.crystal.number for draw in made} == {221}


def test_p1_is_drawn_only_where_it_is_asked_for(foundation: Generator) -> None:
    target = Target(symmetry={"space_groups": [1]}, n_atoms={"max": 6})
    made = [draw for draw in foundation.draw(range(10), context=context(target)) if draw.crystal is not None]
    assert all(draw.crystal.number == 1 for draw in made)


def test_an_origin_tells_gene_prediction_and_geometry(foundation: Generator) -> None:
    made = [draw for draw in foundation.draw(range(10), context=context()) if draw.crystal is not None]
    for draw in made:
        assert draw.origin["gene"].startswith(f"{draw.crystal.number}:")
        assert draw.origin["predicted_uncertainty"] > 0
        assert draw.origin["start"] in {"template", "decoded", "random"}
        assert (draw.origin["start"] == "template") == ("template" in draw.origin)


def test_decoded_geometry_comes_where_it_is_asked_for(textbook: Reference) -> None:
    generator = make("foundation", textbook, start="decoded")
    made = [draw for draw in generator.draw(range(10), context=context()) if draw.crystal is not None]
    starts = [draw.origin["start"] for draw in made]
    assert "decoded" in starts
    assert "template" not in starts


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Target(symmetry={"space_groups": [227]}, n_atoms={"max": 2}), "cannot be placed in space group 227"),
        (
            Target(chemistry={"composition": "SrTiO3"}, symmetry={"space_groups": [227]}, n_atoms={"max": 5}),
            "composition SrTiO3 cannot be placed in space group 227.*nearest possible",
        ),
        (Target(chemistry={"required": ["Pu"]}), "the foundation model never saw Pu"),
        (Target(chemistry={"composition": "PuO2"}), "the foundation model never saw Pu"),
    ],
)
def test_an_impossible_target_is_refused_in_one_line(foundation: Generator, target: Target, words: str) -> None:
    with pytest.raises(CampaignError, match=words) as caught:
        foundation.check_target(target)
    assert "\n" not in str(caught.value)
    with pytest.raises(CampaignError, match=words):
        foundation.draw([0], context=context(target))


@pytest.mark.parametrize(
    ("template", "target", "words"),
    [
        ("perovskite", Target(), "template 'perovskite'"),
        ("221:A.a,B.q", Target(), "template '221:A.a,B.q'.*q"),
        (PEROVSKITE, Target(symmetry={"space_groups": [62]}), "of space group 221, which is not among the allowed"),
        (PEROVSKITE, Target(chemistry={"composition": "SrTi2O2"}), "no multiple of composition"),
        (PEROVSKITE, Target(n_atoms={"max": 4}), "has 5 atoms in the primitive cell, n_atoms is 1 to 4"),
    ],
)
def test_a_template_that_cannot_be_is_refused_in_one_line(
    textbook: Reference, template: str, target: Target, words: str
) -> None:
    generator = make("foundation", textbook, template=template)
    with pytest.raises(CampaignError, match=words) as caught:
        generator.check_target(target)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"guidence": 2}, "no parameter 'guidence'.*Did you mean 'guidance'"),
        ({"oversample": 0}, "oversample is 0, expected a whole number from 1 to 1000"),
        ({"noise_level": 1.5}, "noise_level is 1.5, expected a number from 0 to 1"),
        ({"temperature": True}, "temperature is True, expected a number"),
        ({"start": "templat"}, "start is 'templat'.*Did you mean 'template'"),
        ({"template": 221}, "template is 221, expected text or null"),
        ({"avoid_known": 1}, "avoid_known is 1, expected true or false"),
    ],
)
def test_a_wrong_parameter_is_refused_in_one_line(
    textbook: Reference, parameters: dict[str, object], words: str
) -> None:
    with pytest.raises(CampaignError, match=words) as caught:
        get_generator("foundation", parameters, reference=textbook)
    assert "\n" not in str(caught.value)


def test_a_range_that_the_model_never_saw_is_warned_of_with_the_range(foundation: Generator) -> None:
    far = Target(properties=[{"name": "volume_per_atom", "min": 1e5}])
    (line,) = foundation.provenance(far)["warnings"]
    assert "volume_per_atom: asked for 100000 to …, but the model was trained on" in line
    assert foundation.provenance(Target())["warnings"] == []


def test_more_atoms_than_the_model_saw_are_warned_of(foundation: Generator) -> None:
    (line,) = foundation.provenance(Target(n_atoms={"max": 30}))["warnings"]
    assert line.startswith("n_atoms: asked for up to 30")


def test_models_that_are_missing_damaged_or_strangers_are_refused_in_one_line(
    foundation: Generator, textbook: Reference, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"foundation\.safetensors"):
        get_generator("foundation", {"models": str(tmp_path)}, reference=textbook)
    folder = tmp_path / "damaged"
    shutil.copytree(packaged_models(), folder)
    whole = (folder / GENERATOR).read_bytes()
    (folder / GENERATOR).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"generator\.safetensors") as caught:
        get_generator("foundation", {"models": str(folder)}, reference=textbook)
    assert "\n" not in str(caught.value)
    assert foundation.configuration_id


def test_for_a_given_composition_the_structure_of_its_like_is_likelier_than_one_without_example(
    textbook: Reference,
) -> None:
    library = template_library(textbook)
    rock_salt = log_odds(225, [("K", "a"), ("Br", "b")], library=library)
    without_example = log_odds(216, [("K", "a"), ("Br", "b"), ("K", "c"), ("Br", "d")], library=library)
    assert rock_salt > without_example
