"""Properties of relaxed crystals that no potential gives: predicted by the heads P_f of the foundation model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genmat.campaign.properties import PROPERTY_KINDS, PropertyName
from genmat.errors import InputError, RepresentationError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from genmat.representation import Crystal

PREDICTED = frozenset(name for name, kind in PROPERTY_KINDS.items() if kind.is_predicted)
"""Properties that a head gives."""

LEVEL = 0.9
"""Share of the crystals whose value lies in the interval, as calibrated on the heads' validation rows."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A property as a head sees it.

    Parameters
    ----------
    value, standard_deviation
        In the property's unit.
    low, high
        Ends of the 90 % interval, same unit.
    model_sha256
        SHA-256 of the heads' weights.
    """

    value: float
    standard_deviation: float
    low: float
    high: float
    model_sha256: str


def predict_properties(
    crystal: Crystal, names: Iterable[PropertyName], *, models: Path | None = None
) -> dict[PropertyName, Prediction | str]:
    """Return what the heads say about a relaxed crystal; where one cannot say anything, why.

    Parameters
    ----------
    crystal
        x after relaxation.
    names
        Of ``PREDICTED``.
    models
        Folder of trained models; ``None`` for those that genmat ships.

    Raises
    ------
    ModelError
        If the models are missing or damaged.
    """
    from genmat.models.bundle import HEADS, load_bundle
    from genmat.models.foundation.sample import encode
    from genmat.models.foundation.tokens import TokenTable
    from genmat.models.property.features import head_features

    wanted = sorted(names)
    bundle = load_bundle(models)
    try:
        tokens = TokenTable.from_crystals([crystal])
        latent = encode(bundle.foundation, tokens)
        found: dict[PropertyName, Prediction | str] = {}
        for name in wanted:
            head = bundle.heads.get(name.value)
            if head is None:
                found[name] = f"the models have no head for {name.value}"
                continue
            features = head_features(latent, tokens, features=head.config.features)
            value, deviation = head.predict(features)
            low, high = head.interval(features)
            numbers = (float(value[0]), float(deviation[0]), float(low[0]), float(high[0]))
            found[name] = Prediction(*numbers, bundle.sha256[HEADS])
    except (InputError, RepresentationError) as err:
        return dict.fromkeys(wanted, " ".join(str(err).split()))
    return found
