"""What a campaign says, and its identity."""

from __future__ import annotations

import json
import subprocess
import sys

import jsonschema
import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from genmat.campaign import Campaign, json_schema
from genmat.campaign.io import load_campaign, parse_campaign
from genmat.database.campaigns import differences
from tests.conftest import REPOSITORY

EXAMPLES = sorted((REPOSITORY / "examples").glob("*.yaml"))


def campaign(text: str = "") -> Campaign:
    return parse_campaign(f"name: x\n{text}", source="campaign.yaml")


def test_name_alone_is_a_campaign() -> None:
    made = campaign()
    assert made.screen.hull_tolerance == 0.08
    assert made.screen.potential == "chgnet-0.3.0"
    assert made.validation is None
    assert made.learn.rounds == 2


def test_campaign_comes_back_from_its_mapping() -> None:
    text = "target: {symmetry: {space_groups: [Pnma, 225]}, properties: [{name: density, max: 5}]}\nvalidate: null"
    made = campaign(text)
    again = Campaign.from_dict(made.to_dict(), source="database")
    assert again == made
    assert again.config_hash == made.config_hash


def test_campaign_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        campaign().name = "y"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("", "resources: {workers: 7, generate_chunk: 9, screen_chunk: 2}"),
        ("", "screen: {hull_tolerance: 0.08}"),
        ("target: {chemistry: {elements: [Li, O]}}", "target: {chemistry: {elements: [O, Li, O]}}"),
        ("target: {symmetry: {space_groups: [225, 62]}}", "target: {symmetry: {space_groups: [Pnma, Fm-3m]}}"),
        ("target: {chemistry: {composition: Fe2Li2O4}}", "target: {chemistry: {composition: LiFeO2}}"),
        ("target: {chemistry: {chemical_system: O-Li}}", "target: {chemistry: {chemical_system: Li-O}}"),
        (
            "target: {properties: [{name: density, max: 5}, {name: volume_per_atom, min: 9}]}",
            "target: {properties: [{name: volume_per_atom, unit: Å³/atom, min: 9.0}, {name: density, max: 5}]}",
        ),
    ],
)
def test_equal_campaigns_have_equal_hashes(left: str, right: str) -> None:
    assert campaign(left).config_hash == campaign(right).config_hash


@pytest.mark.parametrize(
    ("text", "difference"),
    [
        ("generate: {seed: 1}", "generate.seed: 0 → 1"),
        ("screen: {hull_tolerance: 0.1}", "screen.hull_tolerance: 0.08 → 0.1"),
        ("learn: {rounds: 3}", "learn.rounds: 2 → 3"),
        ("budget: {max_hours: 1}", "budget.max_hours: None → 1.0"),
        ("target: {chemistry: {elements: [O]}}", r"target.chemistry.elements: None → ['O']"),
    ],
)
def test_what_changes_a_result_changes_the_hash(text: str, difference: str) -> None:
    assert campaign(text).config_hash != campaign().config_hash
    assert list(differences(campaign().to_dict(), campaign(text).to_dict())) == [difference]


def test_name_does_not_change_the_hash() -> None:
    assert parse_campaign("name: y", source="campaign.yaml").config_hash == campaign().config_hash


def test_every_key_is_described() -> None:
    models = [json_schema(), *json_schema()["$defs"].values()]
    bare = [
        (model["title"], key)
        for model in models
        for key, field in model.get("properties", {}).items()
        if not field.get("description") and "$ref" not in field
    ]
    assert bare == []


def test_json_schema_is_valid_and_refuses_unknown_keys() -> None:
    schema = json_schema()
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    assert not validator(schema).is_valid({"name": "x", "tarjet": {}})
    assert validator(schema).is_valid(
        {"name": "x", "validate": None, "target": {"symmetry": {"space_groups": ["Pnma", 1]}}}
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_is_a_campaign_and_fits_the_json_schema(path) -> None:
    assert load_campaign(path).name == path.stem
    jsonschema.validate(YAML(typ="safe", pure=True).load(path.read_text()), json_schema())


def test_committed_json_schema_is_current() -> None:
    committed = json.loads((REPOSITORY / "docs" / "campaign.schema.json").read_text())
    assert committed == json_schema(), "write it anew with: make schema"


def test_examples_exist() -> None:
    assert "quickstart.yaml" in [path.name for path in EXAMPLES]


def test_import_and_a_plain_campaign_load_no_science_package() -> None:
    code = (
        "import sys; from genmat.campaign.io import parse_campaign; "
        "parse_campaign('name: x\\ntarget: {symmetry: {space_groups: [225]}}', source='x'); "
        "print([name for name in ('torch', 'atomate2', 'pymatgen', 'spglib', 'numpy') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
