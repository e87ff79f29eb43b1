"""What proposes candidates, behind one interface: :class:`Generator`, found by name with :func:`get_generator`."""

from genmat.generation.draw import NEUTRAL, Draw, DrawContext, Generator, ProposalWeights
from genmat.generation.registry import generator_names, get_generator

__all__ = [
    "NEUTRAL",
    "Draw",
    "DrawContext",
    "Generator",
    "ProposalWeights",
    "generator_names",
    "get_generator",
]
