"""P_f: application properties of crystals from the frozen encoder's latent vectors (Stage 2).

``config`` (properties, hyperparameters) and ``io`` (tables) need no torch; ``train``, ``sample`` and ``checkpoint`` do.
"""

from genmat.models.property.config import (
    PROPERTIES,
    FeatureSet,
    HeadConfig,
    Likelihood,
    PropertyDefinition,
    Transform,
    get_property,
    shipped_config,
)

__all__ = [
    "PROPERTIES",
    "FeatureSet",
    "HeadConfig",
    "Likelihood",
    "PropertyDefinition",
    "Transform",
    "get_property",
    "shipped_config",
]
