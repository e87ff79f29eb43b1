"""Generators by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genmat.errors import CampaignError, did_you_mean
from genmat.generation.foundation import FoundationGenerator
from genmat.generation.template import TemplateGenerator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from genmat.campaign.target import Target
    from genmat.generation.draw import Generator
    from genmat.reference.table import Reference

_FACTORIES: dict[str, Callable[[Mapping[str, Any], Reference], Generator]] = {
    FoundationGenerator.name: FoundationGenerator.from_parameters,
    TemplateGenerator.name: TemplateGenerator.from_parameters,
}


def generator_names() -> tuple[str, ...]:
    """Return the names of all generators, sorted."""
    return tuple(sorted(_FACTORIES))


def get_generator(
    name: str, parameters: Mapping[str, Any], *, reference: Reference, target: Target | None = None
) -> Generator:
    """Return a generator.

    Parameters
    ----------
    name
        One of :func:`generator_names`.
    parameters
        Its parameters; those left out have their defaults.
    reference
        Known crystals to learn from and to avoid.
    target
        If given, the generator is checked to be able to satisfy it.

    Raises
    ------
    CampaignError
        If the name or a parameter is unknown, a value is out of range, or nothing can satisfy ``target``.
    """
    factory = _FACTORIES.get(name)
    if factory is None:
        msg = f"generate: generator {name!r} is unknown, expected {' or '.join(generator_names())}."
        raise CampaignError(msg + did_you_mean(name, generator_names()))
    generator = factory(parameters, reference)
    if target is not None:
        generator.check_target(target)
    return generator
