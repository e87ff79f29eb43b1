"""What a campaign asks an engine for: by the target, by a list, and what it cannot have."""

from __future__ import annotations

import pytest

from genmat.campaign.io import parse_campaign
from genmat.errors import CampaignError


def campaign(validate: str, target: str = "{name: band_gap, min: 1.0}, {name: shear_modulus, direction: maximize}"):
    return parse_campaign(f"name: asked\ntarget: {{properties: [{target}]}}\nvalidate: {validate}\n", source="test")


@pytest.mark.parametrize(
    ("validate", "expected"),
    [
        ("{engine: vasp}", ("band_gap", "elastic")),
        ("{engine: vasp, properties: []}", ()),
        ("{engine: vasp, properties: [phonon, band_gap_hse]}", ("band_gap_hse", "phonon")),
        ("{engine: vasp-r2scan}", ()),
        ("{engine: vasp-r2scan, properties: [band_gap_hse]}", ("band_gap_hse",)),
        ("{engine: gpaw}", ()),
        ("null", ()),
    ],
)
def test_properties_are_what_the_target_needs_or_exactly_the_list(validate, expected):
    assert campaign(validate).computed_properties == expected


def test_target_that_no_engine_answers_asks_for_nothing():
    assert campaign("{engine: vasp}", "{name: density, max: 5}").computed_properties == ()


@pytest.mark.parametrize(
    ("validate", "expected"),
    [
        ("{engine: vasp, properties: [elastik]}", "Did you mean 'elastic'?"),
        (
            "{engine: gpaw, properties: [elastic]}",
            "it computes only energy, geometry and the gap on its mesh. Engines that do: vasp",
        ),
        (
            "{engine: vasp-r2scan, properties: [phonon]}",
            "does not compute phonon; it computes band_gap_hse",
        ),
        ("{engine: vasp, properties: [elastic, elastic]}", "properties name elastic 2 times; once is enough"),
        ("{engine: vasp, properties: elastic}", "validate.properties"),
    ],
)
def test_what_cannot_be_computed_is_one_line(validate, expected):
    with pytest.raises(CampaignError) as caught:
        campaign(validate)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
