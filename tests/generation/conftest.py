"""The generators that the contract suite runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from genmat.generation import Generator, get_generator
from tests.generation.textbook import reference_of, textbook_crystals

if TYPE_CHECKING:
    from genmat.reference.table import Reference


@pytest.fixture(scope="session")
def textbook() -> Reference:
    """Return the reference of textbook prototypes."""
    return reference_of(textbook_crystals())


@pytest.fixture(scope="session", params=["template"])
def generator(request: pytest.FixtureRequest, textbook: Reference) -> Generator:
    """Return each generator in turn: whoever adds one adds its name here."""
    return get_generator(request.param, {}, reference=textbook)
