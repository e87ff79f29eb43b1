"""Closed-loop generative design campaigns for inorganic crystals."""

__version__ = "0.1.0"
