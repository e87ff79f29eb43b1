"""What a campaign learns from its rounds."""

from genmat.learning.feedback import Outcome, learn_weights

__all__ = ["Outcome", "learn_weights"]
