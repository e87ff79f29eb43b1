"""Reading ``campaign.yaml``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from genmat.campaign.explain import shown
from genmat.campaign.schema import Campaign
from genmat.errors import CampaignError, did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 100_000
"""Size beyond which a file is not a campaign file, bytes."""


def load_campaign(path: Path) -> Campaign:
    """Return the campaign that a YAML file describes.

    Parameters
    ----------
    path
        YAML 1.2 file, UTF-8, at most 100 kB.

    Raises
    ------
    CampaignError
        If the file cannot be read or is wrong: one line with file, place, value and what is allowed.
    """
    return parse_campaign(_read(path), source=str(path))


def parse_campaign(text: str, *, source: str) -> Campaign:
    """Return the campaign that YAML text describes.

    Parameters
    ----------
    text
        YAML 1.2.
    source
        Where the text comes from; begins the message of an error.

    Raises
    ------
    CampaignError
        If the text is no YAML, no mapping or no campaign.
    """
    try:
        data = YAML(typ="safe", pure=True).load(text)
    except YAMLError as err:
        msg = f"{source}{_syntax(err)}"
        raise CampaignError(msg) from err
    except (RecursionError, ValueError, TypeError) as err:
        msg = f"{source}: cannot be read as YAML ({type(err).__name__}: {shown(str(err))})"
        raise CampaignError(msg) from err
    return Campaign.from_dict(data, source=source)


def _read(path: Path) -> str:
    """Return the text of a campaign file."""
    try:
        if path.is_dir():
            msg = f"{path}: is a folder, expected a campaign file such as {path / 'campaign.yaml'}"
            raise CampaignError(msg)
        if not path.exists():
            msg = f"{path}: no such file{_near_file(path)}"
            raise CampaignError(msg)
        if not path.is_file():
            msg = f"{path}: is not a regular file, expected a campaign file in YAML"
            raise CampaignError(msg)
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as err:
        msg = f"{path}: cannot be read ({err.strerror or err})"
        raise CampaignError(msg) from err
    if len(content) > MAX_BYTES:
        msg = f"{path}: is larger than {MAX_BYTES // 1000} kB, expected a campaign file of a few kB"
        raise CampaignError(msg)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        msg = f"{path}: byte {err.start + 1} is not UTF-8, expected a text file in UTF-8"
        raise CampaignError(msg) from err


def _near_file(path: Path) -> str:
    """Return a hint at a file of similar name in the same folder."""
    if not path.parent.is_dir():
        return f"; the folder {path.parent} does not exist either"
    return "." + did_you_mean(path.name, [file.name for file in path.parent.glob("*.y*ml")])


def _syntax(err: YAMLError) -> str:
    """Return place and reason of a YAML error on one line."""
    if not isinstance(err, MarkedYAMLError) or err.problem_mark is None:
        return f": is not YAML ({shown(str(err))})"
    place = f", line {err.problem_mark.line + 1}, column {err.problem_mark.column + 1}"
    if isinstance(err, DuplicateKeyError):
        return f"{place}: {' '.join(str(err.problem).split())}; give every key once"
    context = f" {err.context}" if err.context else ""
    return f"{place}: is not YAML:{context} {' '.join(str(err.problem).split())}"
