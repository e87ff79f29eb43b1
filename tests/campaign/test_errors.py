"""Bad campaign files get one clear line."""

from __future__ import annotations

import pytest

from genmat.campaign.io import parse_campaign
from genmat.errors import CampaignError

WRONG = {
    "unknown key": ("nme: x", "nme: unknown key 'nme'; allowed are name, target, .* Did you mean 'name'?"),
    "unknown nested key": (
        "name: x\nscreen: {max_relaxd: 3}",
        r"screen.max_relaxd: unknown key .* allowed are potential, hull, .* Did you mean 'max_relaxed'?",
    ),
    "key that is a number": ("name: x\n1: 2", "unknown key 1; allowed are name, target"),
    "number beyond all bounds": (
        f"name: x\nscreen: {{relax: {{fmax: 1{'0' * 400}}}}}",
        "screen.relax.fmax: got 10+…, expected",
    ),
    "name missing": ("target: {}", "name: is missing"),
    "name with a slash": ("name: a/b", "name: got 'a/b', expected 1 to 64 letters, .* Did you mean 'a-b'?"),
    "name that is a number": ("name: 12", "name: got 12, expected .*quote a number.* Did you mean '12'?"),
    "name that is too long": (f"name: {'x' * 65}", "name: got 'x+', expected 1 to 64 letters"),
    "misspelt element": (
        "name: x\ntarget: {chemistry: {elements: [O, Fee]}}",
        r"target.chemistry.elements\[1\]: 'Fee' is not a chemical element; .* Did you mean 'Fe'?",
    ),
    "element by name": (
        "name: x\ntarget: {chemistry: {excluded: [Lead]}}",
        r"target.chemistry.excluded\[0\]: 'Lead' is not .* Did you mean 'Pb'?",
    ),
    "element without reference": (
        "name: x\ntarget: {chemistry: {elements: [Po]}}",
        r"elements\[0\]: element 'Po' has no reference energy; usable are H to Pu",
    ),
    "element that is no text": (
        "name: x\ntarget: {chemistry: {elements: [true]}}",
        r"elements\[0\]: got True, expected",
    ),
    "elements that are no list": (
        "name: x\ntarget: {chemistry: {elements: Fe}}",
        "elements: got 'Fe', expected a list",
    ),
    "no element": ("name: x\ntarget: {chemistry: {elements: []}}", "target.chemistry: no element is left"),
    "every element excluded": (
        "name: x\ntarget: {chemistry: {elements: [Fe], excluded: [Fe]}}",
        "target.chemistry: no element is left: excluded takes away all of Fe",
    ),
    "required element not allowed": (
        "name: x\ntarget: {chemistry: {elements: [Fe], required: [O]}}",
        "target.chemistry: required O is not allowed; allowed are Fe",
    ),
    "required element excluded": (
        "name: x\ntarget: {chemistry: {excluded: [O], required: [O]}}",
        "target.chemistry: required O is not allowed; allowed are all except O",
    ),
    "more elements than allowed": (
        "name: x\ntarget: {chemistry: {elements: [Fe, O], n_elements: {min: 3}}}",
        "n_elements is at least 3, but only 2 elements are allowed: Fe, O",
    ),
    "fewer elements than required": (
        "name: x\ntarget: {chemistry: {required: [Fe, O], n_elements: {max: 1}}}",
        "n_elements is 1 to 1, but 2 elements are required: Fe, O",
    ),
    "chemical system with an element twice": (
        "name: x\ntarget: {chemistry: {chemical_system: Li-Li-O}}",
        "chemical_system: 'Li-Li-O' names an element twice",
    ),
    "chemical system outside the elements": (
        "name: x\ntarget: {chemistry: {chemical_system: Li-Fe-O, elements: [Li, O]}}",
        "chemical_system Fe-Li-O holds Fe, which is not allowed; allowed are Li, O",
    ),
    "composition that cannot be read": (
        "name: x\ntarget: {chemistry: {composition: 'Li(O'}}",
        "composition: 'Li\\(O' is not a formula; expected one such as 'LiFePO4'",
    ),
    "composition with a fraction": (
        "name: x\ntarget: {chemistry: {composition: Li0.5CoO2}}",
        "'Li0.5CoO2' is not a formula of whole numbers of atoms",
    ),
    "composition of a dummy species": (
        "name: x\ntarget: {chemistry: {composition: X2O3}}",
        "'X' is not a chemical element",
    ),
    "composition against the chemical system": (
        "name: x\ntarget: {chemistry: {composition: LiFeO2, chemical_system: Li-O}}",
        "composition LiFeO2 does not hold exactly the elements of chemical_system Li-O",
    ),
    "composition against the elements": (
        "name: x\ntarget: {chemistry: {composition: LiFeO2, elements: [Li, O]}}",
        "composition LiFeO2 holds Fe, which is not allowed",
    ),
    "composition without a required element": (
        "name: x\ntarget: {chemistry: {composition: LiFeO2, required: [S]}}",
        "composition LiFeO2 lacks S, which is required",
    ),
    "composition against the number of elements": (
        "name: x\ntarget: {chemistry: {composition: LiFeO2, n_elements: {max: 2}}}",
        "composition LiFeO2 holds 3 elements, but n_elements is 1 to 2",
    ),
    "composition that does not fit the cell": (
        "name: x\ntarget: {chemistry: {composition: LiFeO2}, n_atoms: {min: 5, max: 7}}",
        "target: composition LiFeO2 has 4 atoms in a formula unit, but n_atoms is 5 to 7",
    ),
    "space group 231": (
        "name: x\ntarget: {symmetry: {space_groups: [231]}}",
        r"target.symmetry.space_groups\[0\]: 231 is not a space group; expected a number from 1 to 230",
    ),
    "space group 0": ("name: x\ntarget: {symmetry: {space_groups: [0]}}", "0 is not a space group"),
    "misspelt space group": (
        "name: x\ntarget: {symmetry: {space_groups: [Fm-3x]}}",
        "'Fm-3x' is not a space group; .* Did you mean 'Fm-3m'?",
    ),
    "space group outside the crystal systems": (
        "name: x\ntarget: {symmetry: {space_groups: [225], crystal_systems: [hexagonal]}}",
        "target.symmetry: space group 225 is cubic, but crystal_systems allows only hexagonal",
    ),
    "misspelt crystal system": (
        "name: x\ntarget: {symmetry: {crystal_systems: [cubik]}}",
        r"crystal_systems\[0\]: got 'cubik', expected 'triclinic', .* Did you mean 'cubic'?",
    ),
    "number of atoms upside down": (
        "name: x\ntarget: {n_atoms: {min: 4, max: 2}}",
        "target.n_atoms: min 4 is above max 2",
    ),
    "property range upside down": (
        "name: x\ntarget: {properties: [{name: density, min: 4, max: 2}]}",
        r"target.properties\[0\]: min 4 is above max 2",
    ),
    "gate upside down": (
        "name: x\nscreen: {gates: {volume_per_atom: {min: 9, max: 3}}}",
        "screen.gates.volume_per_atom: min 9 is above max 3",
    ),
    "not a number": (
        "name: x\ntarget: {properties: [{name: density, min: .nan}]}",
        r"target.properties\[0\].min: got nan, expected a finite number",
    ),
    "infinite number": (
        "name: x\nscreen: {hull_tolerance: .inf}",
        "screen.hull_tolerance: got inf, expected a finite number",
    ),
    "wrong unit": (
        "name: x\ntarget: {properties: [{name: energy_above_hull, unit: meV/atom, max: 80}]}",
        r"target.properties\[0\]: unit 'meV/atom' is wrong for energy_above_hull; expected 'eV/atom'",
    ),
    "unknown property": (
        "name: x\ntarget: {properties: [{name: bulk_modulus_vrh, min: 1}]}",
        r"properties\[0\].name: got 'bulk_modulus_vrh', expected 'energy_above_hull', .* Did you mean 'bulk_modulus'?",
    ),
    "property without a wish": (
        "name: x\ntarget: {properties: [{name: density}]}",
        "density has neither min, max nor direction",
    ),
    "property twice": (
        "name: x\ntarget: {properties: [{name: density, max: 1}, {name: density, min: 0}]}",
        "target.properties: density is given 2 times",
    ),
    "no property": ("name: x\ntarget: {properties: []}", r"target.properties: got \[\], expected at least one entry"),
    "weight of zero": (
        "name: x\ntarget: {properties: [{name: density, max: 1, weight: 0}]}",
        r"properties\[0\].weight: got 0, expected more than 0",
    ),
    "no draws": ("name: x\ngenerate: {n: 0}", "generate.n: got 0, expected at least 1 .Number of draws"),
    "fraction of a draw": ("name: x\ngenerate: {n: 2.5}", "generate.n: got 2.5, expected a whole number"),
    "draws as text": ("name: x\ngenerate: {n: '200'}", "generate.n: got '200', expected a whole number"),
    "draws as truth": ("name: x\ngenerate: {n: true}", "generate.n: got True, expected a whole number"),
    "nested parameters": (
        "name: x\ngenerate: {parameters: {a: {b: 1}}}",
        "generate.parameters: parameter 'a' is a dict",
    ),
    "parameter not finite": (
        "name: x\ngenerate: {parameters: {a: [1, .nan]}}",
        "parameter 'a' is nan, expected a finite",
    ),
    "tolerance in meV": ("name: x\nscreen: {hull_tolerance: 80}", "got 80, expected at most 1 .τ: .* eV/atom"),
    "unknown hull": ("name: x\nscreen: {hull: mp}", "screen.hull: got 'mp', expected 'own' or 'dft'"),
    "unknown engine": (
        "name: x\nvalidate: {engine: vsap}",
        "validate.engine: got 'vsap', expected 'gpaw', 'vasp' or 'vasp-r2scan'",
    ),
    "no candidate to validate": ("name: x\nvalidate: {top: 0}", "validate.top: got 0, expected at least 1"),
    "workers in words": ("name: x\nresources: {workers: all}", "resources.workers: got 'all', expected .* 'auto'"),
    "part that is no mapping": (
        "name: x\nscreen: 3",
        "screen: got 3, expected a mapping with the keys potential, hull,",
    ),
    "hull distance that screening forbids": (
        "name: x\ntarget: {properties: [{name: energy_above_hull, min: 0.1}]}",
        "energy_above_hull 0.1 eV/atom or more, but screen.hull_tolerance lets only 0.08 pass",
    ),
    "volume that the gate forbids": (
        "name: x\ntarget: {properties: [{name: volume_per_atom, max: 2}]}",
        "volume_per_atom at most 2 Å\\^3/atom, but screen.gates.volume_per_atom lets only 3 to 120",
    ),
    "list": ("- name: x", r"is not|holds \[\{'name': 'x'\}\], expected a mapping with the keys name, target"),
    "empty": ("", "is empty, expected a mapping"),
    "syntax": ("name: x\ntarget: [", "line 2, column 10: is not YAML"),
    "tab": ("name: x\n\ttarget: 1", "line 2, column 1: is not YAML"),
    "key twice": ("name: x\nname: y", "line 2, column 1: found duplicate key .name.*give every key once"),
    "Python object": (
        "!!python/object/apply:os.getpid []",
        "line 1, column 1: is not YAML: could not determine a constructor",
    ),
    "control character": ("name: \x00", "is not YAML"),
    "bottomless nesting": ("[" * 2_000, "cannot be read as YAML .RecursionError"),
    "endless number": (f"name: x\ngenerate: {{seed: {'9' * 5000}}}", "cannot be read as YAML .ValueError"),
    "two documents": ("name: x\n---\nname: y\n", "line 2, column 1: is not YAML"),
}


@pytest.mark.parametrize(("text", "expected"), WRONG.values(), ids=WRONG)
def test_wrong_campaign_is_told_on_one_line_with_its_file(text: str, expected: str) -> None:
    with pytest.raises(CampaignError, match=expected) as caught:
        parse_campaign(text, source="bad.yaml")
    message = str(caught.value)
    assert message.startswith("bad.yaml")
    assert "\n" not in message
    assert "  " not in message


def test_further_errors_are_counted_behind_the_first() -> None:
    with pytest.raises(CampaignError, match=r"generate\.n: .* \(1 more error in this file\)$"):
        parse_campaign("name: x\ngenerate: {n: 0}\nscreen: {hull: mp}", source="bad.yaml")


def test_misspelt_key_is_told_before_the_missing_one() -> None:
    with pytest.raises(CampaignError, match=r"unknown key 'nam'.*Did you mean 'name'"):
        parse_campaign("nam: x", source="bad.yaml")


def test_long_value_is_cut_short() -> None:
    with pytest.raises(CampaignError, match="…") as caught:
        parse_campaign(f"name: x\nscreen: {{hull: {'m' * 5000}}}", source="bad.yaml")
    assert len(str(caught.value)) < 300


def test_alias_that_contains_itself_is_told() -> None:
    with pytest.raises(CampaignError, match=r"elements\[0\]: got \[\[\.\.\.\]\]"):
        parse_campaign("name: x\ntarget: {chemistry: {elements: &a [*a]}}", source="bad.yaml")
