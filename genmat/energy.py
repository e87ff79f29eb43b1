"""Energy scales: which energies may meet."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from genmat.errors import EnergyScaleError, InputError
from genmat.ids import canonical_json

_NAME = re.compile(r"([^/+]+)/([^/+]+)\+U:([^/]+)/([^/]+)/([^/]+)")


@dataclass(frozen=True, slots=True)
class EnergyScale:
    """What must be equal for two total energies to be comparable.

    Parameters
    ----------
    engine
        Program or model with version, such as ``chgnet-0.3.0`` or ``vasp``.
    functional
        Exchange-correlation functional, such as ``PBE``.
    hubbard
        Hubbard U scheme, such as ``MP`` (U as in MPRelaxSet) or ``none``.
    pseudopotentials
        Pseudopotential set, such as ``PBE`` (VASP PAW PBE as in MPRelaxSet).
    correction
        Correction already contained in the energy, such as ``MP2020`` or ``none``.
    """

    engine: str
    functional: str
    hubbard: str
    pseudopotentials: str
    correction: str

    def __str__(self) -> str:
        """Return a short readable name."""
        return f"{self.engine}/{self.functional}+U:{self.hubbard}/{self.pseudopotentials}/{self.correction}"

    @classmethod
    def from_name(cls, name: str) -> EnergyScale:
        """Return the scale that is written as ``str`` writes it, such as ``vasp/PBE+U:MP/PBE/MP2020``.

        Raises
        ------
        InputError
            If it is written otherwise.
        """
        found = _NAME.fullmatch(name)
        if found is None:
            msg = (
                f"energy scale {name!r} is not written as engine/functional+U:hubbard/pseudopotentials/correction, "
                "such as vasp/PBE+U:MP/PBE/MP2020"
            )
            raise InputError(msg)
        return cls(*found.groups())

    def to_dict(self) -> dict[str, str]:
        """Return the scale as a plain mapping."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, str]) -> EnergyScale:
        """Return the scale that :meth:`to_dict` wrote."""
        return cls(**value)

    @property
    def key(self) -> str:
        """Canonical text of the scale, used as a cache key."""
        return canonical_json(asdict(self))


def check_same_scale(left: EnergyScale, right: EnergyScale, *, what: str) -> None:
    """Raise unless two energies lie on one scale.

    Parameters
    ----------
    left, right
        The two scales.
    what
        What was to be computed; part of the message.

    Raises
    ------
    EnergyScaleError
        If any field differs.
    """
    if left != right:
        msg = f"{what} needs one energy scale, got {left} and {right}: recompute one side with the other's method"
        raise EnergyScaleError(msg)
