"""Reading campaign files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from genmat.campaign.io import MAX_BYTES, load_campaign, parse_campaign
from genmat.errors import CampaignError

if TYPE_CHECKING:
    from pathlib import Path


def test_file_with_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "campaign.yaml"
    path.write_bytes("\ufeffname: halides\n".encode())
    assert load_campaign(path).name == "halides"


def test_missing_file_is_told_with_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "campaign.yaml").write_text("name: x\n")
    with pytest.raises(CampaignError, match=r"campain\.yaml: no such file\. Did you mean 'campaign\.yaml'?"):
        load_campaign(tmp_path / "campain.yaml")


def test_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match=r"the folder .*nowhere does not exist either"):
        load_campaign(tmp_path / "nowhere" / "campaign.yaml")


def test_folder_is_no_campaign(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="is a folder, expected a campaign file such as"):
        load_campaign(tmp_path)


def test_pipe_is_no_campaign(tmp_path: Path) -> None:
    path = tmp_path / "pipe.yaml"
    os.mkfifo(path)
    with pytest.raises(CampaignError, match="is not a regular file"):
        load_campaign(path)


def test_large_file_is_no_campaign(tmp_path: Path) -> None:
    path = tmp_path / "campaign.yaml"
    path.write_text("#" * (MAX_BYTES + 1))
    with pytest.raises(CampaignError, match="is larger than 100 kB"):
        load_campaign(path)


def test_other_encoding_is_no_campaign(tmp_path: Path) -> None:
    path = tmp_path / "campaign.yaml"
    path.write_bytes("name: x # Å".encode("latin-1"))
    with pytest.raises(CampaignError, match="byte 11 is not UTF-8"):
        load_campaign(path)


def test_path_through_a_file_is_no_campaign(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CampaignError, match=r"no such file|cannot be read"):
        load_campaign(tmp_path / "file" / "campaign.yaml")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_unreadable_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "campaign.yaml"
    path.write_text("name: x\n")
    path.chmod(0)
    with pytest.raises(CampaignError, match=r"cannot be read .Permission denied"):
        load_campaign(path)


def test_yaml_is_version_1_2() -> None:
    text = "name: no\nscreen: {relax: {fmax: 5e-2}}\ntarget: {chemistry: {elements: [N, Y]}}\n"
    campaign = parse_campaign(text, source="campaign.yaml")
    assert campaign.name == "no"
    assert campaign.screen.relax.fmax == 0.05
    assert campaign.target.chemistry.elements == ("N", "Y")
