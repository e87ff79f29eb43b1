"""What the README says about campaign files holds."""

from __future__ import annotations

import re

import pytest

from genmat.campaign.io import parse_campaign
from genmat.errors import CampaignError
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
(CAMPAIGN,) = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)


def test_campaign_of_the_readme_is_read() -> None:
    assert parse_campaign(CAMPAIGN, source="light-halides.yaml").learn.rounds == 2


def test_mistake_of_the_readme_is_told_as_it_says() -> None:
    with pytest.raises(CampaignError) as caught:
        parse_campaign(CAMPAIGN.replace("Mg,", "Mgg,"), source="light-halides.yaml")
    assert str(caught.value) in README
