"""What every generator must do: seeded, reproducible, indifferent to chunks and processes, faithful to the target."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from genmat.campaign import Target
from genmat.errors import CampaignError
from genmat.generation import Draw, Generator, ProposalWeights, get_generator
from genmat.representation.conversion import from_structure
from genmat.representation.gene import gene
from tests.conftest import REPOSITORY
from tests.generation.textbook import context

if TYPE_CHECKING:
    from genmat.reference.table import Reference

TARGETS = {
    "anything": Target(),
    "elements": Target(chemistry={"elements": ["Na", "K", "Mg", "Ca", "Cl", "F", "O"], "n_elements": {"min": 2}}),
    "excluded": Target(chemistry={"excluded": ["O", "F", "Ba"]}),
    "required": Target(chemistry={"required": ["Cd", "I"]}),
    "two elements": Target(chemistry={"n_elements": {"min": 2, "max": 2}}),
    "space group": Target(symmetry={"space_groups": [136]}),
    "crystal system": Target(symmetry={"crystal_systems": ["cubic"]}),
    "size": Target(n_atoms={"min": 5, "max": 6}),
}


CHALCOGENIDES = Target(chemistry={"elements": ["Mg", "Ca", "Sr", "Ba", "O", "S", "Se", "Te"]})


def many(generator: Generator) -> range:
    """Return the draws of a test that needs some statistics; networks get fewer, they are slower."""
    return range(60 if generator.name == "template" else 20)


def essence(draw: Draw) -> object:
    """Return everything of a draw, comparable."""
    crystal = None if draw.crystal is None else draw.crystal.to_dict()
    return draw.index, crystal, draw.score, dict(draw.origin), draw.failure


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
def test_every_proposal_satisfies_the_hard_constraints(generator: Generator, target: Target) -> None:
    draws = generator.draw(many(generator), context=context(target))
    made = [draw for draw in draws if draw.crystal is not None]
    assert len(made) >= len(draws) / 4
    for draw in made:
        assert target.allows_composition(draw.crystal.composition), draw.crystal
        assert target.allows_space_group(draw.crystal.number)
        assert target.allows_n_atoms(draw.crystal.n_atoms)


@pytest.mark.parametrize("chemistry", [{"chemical_system": "Ca-Sn-Se"}, {"composition": "BaSnSe3"}])
def test_given_elements_or_amounts_are_kept(generator: Generator, chemistry: dict[str, str]) -> None:
    target = Target(chemistry=chemistry)
    made = [draw.crystal for draw in generator.draw(range(20), context=context(target)) if draw.crystal is not None]
    assert made
    assert all(target.allows_composition(crystal.composition) for crystal in made)


def test_the_structure_is_the_crystal_with_its_symmetry(generator: Generator) -> None:
    for draw in generator.draw(many(generator)[:30], context=context()):
        if draw.crystal is not None:
            assert len(draw.structure) == draw.crystal.n_atoms
            assert draw.structure.volume == pytest.approx(draw.crystal.volume)
            if draw.origin.get("start") != "decoded":  # decoded coordinates may happen to have more symmetry
                found = from_structure(draw.structure)
                assert found.number == draw.crystal.number
                assert gene(found) == gene(draw.crystal)


def test_a_draw_does_not_depend_on_its_chunk(generator: Generator) -> None:
    whole = generator.draw(range(12), context=context())
    parts = generator.draw([11, 3, 4], context=context())
    assert [essence(draw) for draw in parts] == [essence(whole[i]) for i in (11, 3, 4)]
    assert [draw.index for draw in whole] == list(range(12))


@pytest.mark.parametrize("change", [{"seed": 8}, {"campaign": "other"}, {"round": 1}])
def test_seed_campaign_and_round_select_other_draws(generator: Generator, change: dict[str, object]) -> None:
    before = generator.draw(range(20), context=context())
    after = generator.draw(range(20), context=context(**change))
    same = sum(a.crystal is not None and a.crystal == b.crystal for a, b in zip(before, after, strict=True))
    assert same <= 5


def test_draws_are_not_all_alike(generator: Generator) -> None:
    made = [draw.crystal for draw in generator.draw(many(generator), context=context()) if draw.crystal is not None]
    assert len({gene(crystal) for crystal in made}) > 0.6 * len(made)


def test_scores_are_finite_and_origins_are_json(generator: Generator) -> None:
    for draw in generator.draw(many(generator)[:30], context=context()):
        if draw.crystal is not None:
            assert math.isfinite(draw.score)
            assert json.loads(json.dumps(dict(draw.origin))) == dict(draw.origin)


def test_element_weights_shift_the_proposals(generator: Generator) -> None:
    def share(symbol: str, weight: float) -> float:
        weights = ProposalWeights(elements={symbol: weight})
        draws = generator.draw(many(generator), context=context(CHALCOGENIDES, weights=weights))
        made = [draw.crystal for draw in draws if draw.crystal is not None]
        return sum(symbol in crystal.element_counts for crystal in made) / len(made)

    symbol = "Se" if generator.name == "template" else "Ba"  # the model seldom imagines selenides
    often, seldom, hardly = (share(symbol, weight) for weight in (3.0, 0.0, -3.0))
    assert often >= seldom >= hardly
    assert often > hardly
    if generator.name == "template":
        assert often > seldom > hardly


def test_template_weights_shift_the_proposals(generator: Generator) -> None:
    rutile = "136:A.a,B.f"
    target = Target(symmetry={"crystal_systems": ["cubic", "tetragonal"]}, n_atoms={"max": 6})
    if generator.name != "template":  # what a network seldom proposes no weight can bring
        target = Target(symmetry={"space_groups": [136]}, n_atoms={"max": 12}, chemistry={"n_elements": {"max": 2}})

    def share(weight: float) -> float:
        weights = ProposalWeights(templates={rutile: weight})
        draws = generator.draw(many(generator), context=context(target, weights=weights))
        made = [draw for draw in draws if draw.crystal is not None]
        return sum(draw.origin["anonymous_gene"] == rutile for draw in made) / len(made)

    often, seldom, hardly = (share(weight) for weight in (3.0, 0.0, -3.0))
    assert often >= seldom >= hardly
    assert often > hardly
    if generator.name == "template":
        assert often > seldom > hardly


def test_neutral_weights_change_nothing(generator: Generator) -> None:
    zeros = ProposalWeights(elements={"O": 0.0}, templates={"136:A.a,B.f": 0.0})
    plain = [essence(draw) for draw in generator.draw(range(10), context=context())]
    assert [essence(draw) for draw in generator.draw(range(10), context=context(weights=zeros))] == plain


def test_weights_of_unknown_names_are_ignored(generator: Generator) -> None:
    strange = ProposalWeights(elements={"Og": 2.0}, templates={"1:A.a7": 2.0})
    plain = [essence(draw) for draw in generator.draw(range(5), context=context())]
    assert [essence(draw) for draw in generator.draw(range(5), context=context(weights=strange))] == plain


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Target(symmetry={"space_groups": [227]}), "space_groups 227"),
        (Target(symmetry={"crystal_systems": ["triclinic"]}), "crystal_systems triclinic"),
        (Target(n_atoms={"min": 17, "max": 19}), "n_atoms 17 to 19"),
        (Target(chemistry={"composition": "NaCl3O7"}), "composition NaCl3O7.*AB3C7"),
        (Target(chemistry={"chemical_system": "Na-Mg-Cl-O"}), "chemical_system Cl-Mg-Na-O"),
        (Target(chemistry={"n_elements": {"min": 4}}), "n_elements at least 4"),
        (Target(chemistry={"elements": ["Xe"]}), "no template of the reference holds"),
        (Target(chemistry={"required": ["Pu"]}), "holds Pu"),
    ],
)
def test_a_target_without_template_is_refused_by_name(textbook: Reference, target: Target, words: str) -> None:
    generator = get_generator("template", {}, reference=textbook)
    with pytest.raises(CampaignError, match=words):
        generator.check_target(target)
    with pytest.raises(CampaignError, match=words):
        generator.draw([0], context=context(target))


def test_a_failed_draw_says_why(generator: Generator) -> None:
    only_known = Target(chemistry={"elements": ["K", "Cl"]}, symmetry={"space_groups": [225]}, n_atoms={"max": 2})
    draws = generator.draw(range(3), context=context(only_known))
    assert all(draw.crystal is None and draw.structure is None and draw.score == -math.inf for draw in draws)
    assert all(draw.failure for draw in draws)


def test_processes_with_other_hash_seeds_and_threads_draw_the_same() -> None:
    code = (
        "from textbook import context, reference_of, textbook_crystals\n"
        "from genmat.generation import get_generator\n"
        "generator = get_generator('template', {}, reference=reference_of(textbook_crystals()))\n"
        "for draw in generator.draw(range(15), context=context()):\n"
        "    print(draw.crystal and draw.crystal.to_dict(), draw.score, draw.origin, draw.failure)\n"
    )
    outputs = set()
    for seed, threads in (("0", "1"), ("12345", "2")):
        threading = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        path = os.pathsep.join([str(REPOSITORY), str(Path(__file__).parent)])
        environment = {**os.environ, **threading, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        outputs.add(run.stdout)
    assert len(outputs) == 1


def test_provenance_is_json(generator: Generator) -> None:
    found = dict(generator.provenance(Target()))
    assert json.loads(json.dumps(found)) == found
    assert all(len(sha256) == 64 for sha256 in found.get("models", {}).values())
