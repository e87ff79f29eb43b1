"""What the packaged reference teaches the template generator: textbook chemistry, and errors as measured."""

import csv
from pathlib import Path

import numpy as np
import pytest

from genmat.campaign import Target
from genmat.errors import CampaignError
from genmat.generation import Generator, get_generator
from genmat.generation.library import TemplateLibrary, template_library
from genmat.generation.score import stability_score
from genmat.generation.volume import fit_volume_model
from genmat.reference.entries import ATOMIC_NUMBERS as Z
from genmat.reference.io import load_reference
from genmat.reference.table import Reference
from genmat.representation.gene import gene
from tests.generation.textbook import context

RELAXED = Path(__file__).parent / "data" / "relaxed_decorations.csv"


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference()


@pytest.fixture(scope="module")
def library(reference: Reference) -> TemplateLibrary:
    return template_library(reference)


@pytest.fixture(scope="module")
def generator(reference: Reference) -> Generator:
    return get_generator("template", {"oversample": 16}, reference=reference)


@pytest.mark.parametrize(
    ("symbol", "relatives"),
    [("Na", {"Li", "K"}), ("Fe", {"Co", "Mn"}), ("Cl", {"Br", "I"}), ("Ti", {"Zr", "Hf"}), ("Se", {"S", "Te"})],
)
def test_relatives_replace_each_other(library: TemplateLibrary, symbol: str, relatives: set[str]) -> None:
    nearest = np.argsort(-library.similarity[Z[symbol]])[:4]
    assert {Z[relative] for relative in relatives} <= set(nearest.tolist())


def test_volumes_of_unseen_chemical_systems_are_predicted(library: TemplateLibrary) -> None:
    amounts = [tuple(zip(t.elements, t.counts, strict=True)) for t in library.templates]
    volumes = np.array([t.volume_per_atom for t in library.templates])
    held_out = np.array([sum(t.elements) % 5 == 0 for t in library.templates])
    model = fit_volume_model([a for a, out in zip(amounts, held_out, strict=True) if not out], volumes[~held_out])
    predicted = np.array([model.volume_per_atom(a) for a, out in zip(amounts, held_out, strict=True) if out])
    error = np.abs(predicted / volumes[held_out] - 1.0)
    assert error.mean() < 0.065
    assert np.median(error) < 0.045


def test_the_score_orders_relaxed_decorations(library: TemplateLibrary) -> None:
    by_id = {template.material_id: template for template in library.templates}
    scores, energies = [], []
    with RELAXED.open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            if (template := by_id.get(line["template"])) is not None:
                pairs = dict(pair.split(":") for pair in line["substitution"].split())
                changes = {Z[old]: Z[new] for old, new in pairs.items()}
                scores.append(stability_score(library, template, tuple(changes.get(z, z) for z in template.elements)))
                energies.append(float(line["energy_above_hull"]))
    assert len(scores) > 500
    score, stable = np.array(scores), np.array(energies) <= 0.08
    assert (score[stable][:, None] > score[~stable][None, :]).mean() > 0.77


def test_draws_are_diverse(generator: Generator) -> None:
    made = [draw for draw in generator.draw(range(200), context=context()) if draw.crystal is not None]
    assert len(made) >= 195
    assert len({(draw.crystal.composition.reduced_formula, gene(draw.crystal)) for draw in made}) > 0.97 * len(made)
    assert len({draw.origin["anonymous_gene"] for draw in made}) > 100
    assert len({symbol for draw in made for symbol in draw.crystal.element_counts}) > 60


def test_draws_of_a_narrow_chemistry_stay_diverse(generator: Generator) -> None:
    target = Target(chemistry={"elements": ["Li", "Na", "Mg", "Al", "Si", "P", "O", "Fe"], "required": ["O"]})
    made = [draw for draw in generator.draw(range(100), context=context(target)) if draw.crystal is not None]
    assert len({(draw.crystal.composition.reduced_formula, gene(draw.crystal)) for draw in made}) > 0.8 * len(made)


def test_no_draw_is_a_known_crystal(generator: Generator, reference: Reference) -> None:
    known = set(zip(reference.formulas, reference.genes, strict=True))
    for draw in generator.draw(range(100), context=context(Target(chemistry={"n_elements": {"max": 2}}))):
        assert (draw.crystal.composition.reduced_formula, gene(draw.crystal)) not in known


def test_structure_prediction_tries_every_gene_once_before_repeating(generator: Generator) -> None:
    target = Target(chemistry={"composition": "LiFePO4"}, n_atoms={"max": 28})
    made = [draw for draw in generator.draw(range(60), context=context(target)) if draw.crystal is not None]
    assert len({gene(draw.crystal) for draw in made}) == len(made) == 60
    assert {draw.crystal.composition.reduced_formula for draw in made} == {"LiFePO4"}


def test_an_impossible_composition_is_refused(generator: Generator) -> None:
    with pytest.raises(CampaignError, match=r"composition Na3Cl5O11: no template with the anonymous formula A3B5C11"):
        generator.check_target(Target(chemistry={"composition": "Na3Cl5O11"}))
