"""The generators that the contract suite runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from genmat.errors import ModelError
from genmat.generation import Generator, get_generator
from genmat.models.bundle import FOUNDATION, packaged_models
from tests.generation.textbook import reference_of, textbook_crystals

if TYPE_CHECKING:
    from genmat.reference.table import Reference


@pytest.fixture(scope="session")
def textbook() -> Reference:
    """Return the reference of textbook prototypes."""
    return reference_of(textbook_crystals())


PARAMETERS = {"template": {}, "foundation": {"oversample": 4}}
"""What each generator is tested with: whoever adds one adds it here."""


def make(name: str, reference: Reference, **parameters: object) -> Generator:
    """Return a generator; skip where the trained models are absent."""
    try:
        return get_generator(name, {**PARAMETERS[name], **parameters}, reference=reference)
    except ModelError as err:
        if packaged_models().joinpath(FOUNDATION).is_file():
            raise
        pytest.skip(f"no trained model is shipped: {err}")


@pytest.fixture(scope="session", params=PARAMETERS)
def generator(request: pytest.FixtureRequest, textbook: Reference) -> Generator:
    """Return each generator in turn."""
    return make(request.param, textbook)


@pytest.fixture(scope="session")
def foundation(textbook: Reference) -> Generator:
    """Return the generator of the foundation model."""
    return make("foundation", textbook)
