"""What the words of an evaluation mean: everything that must be equal for two results to be comparable."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from genmat.errors import InputError
from genmat.models.protocol import USUAL_RATTLE, RelaxProtocol


@dataclass(frozen=True, slots=True)
class Options:
    """How samples are judged.

    Parameters
    ----------
    relax
        Number of samples that are relaxed, drawn at random with ``seed``; ``None`` for all, 0 for none. A larger
        number keeps the samples of a smaller one.
    seed
        Seed of the subset.
    hull_tolerance
        τ: largest distance to the hull that counts as stable, eV/atom.
    symprec
        Tolerance of the space group of a sample, Å: as drawn and after relaxation.
    protocol
        Convergence, limits and stages of the relaxation.
    covered_hull
        Whether a compound that competes with elements alone is not stable: its distance would be its formation energy.

    Raises
    ------
    InputError
        If a number is out of range.
    """

    relax: int | None = None
    seed: int = 0
    hull_tolerance: float = 0.08
    symprec: float = 0.1
    protocol: RelaxProtocol = field(default_factory=lambda: RelaxProtocol(rattle=USUAL_RATTLE))
    covered_hull: bool = True

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.relax is not None and self.relax < 0:
            msg = f"the number of samples to relax is {self.relax}, expected 0 or more"
            raise InputError(msg)
        for name, unit, most in (("hull_tolerance", "eV/atom", 10.0), ("symprec", "Å", 1.0)):
            value = getattr(self, name)
            if not (0.0 <= value <= most) or (name == "symprec" and value == 0.0):
                msg = f"{name} is {value} {unit}, expected 0 to {most:g} {unit}"
                raise InputError(msg)

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON-serialisable mapping."""
        return asdict(self)
