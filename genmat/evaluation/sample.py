"""Samples: what is evaluated, one crystal each, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genmat.errors import RepresentationError
from genmat.representation import to_structure

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

    from genmat.representation import Crystal


@dataclass(frozen=True, slots=True)
class Sample:
    """One crystal of a set.

    Parameters
    ----------
    id
        What to call it in the rows of the result; need not be distinct.
    structure
        Ordered crystal; ``None`` where it could not be read.
    problem
        Why there is no structure; empty where there is one.
    published
        Distance to the hull that somebody published for it, eV/atom; ``None`` where nobody did.

    Raises
    ------
    ValueError
        If there is neither a structure nor a problem, or both.
    """

    id: str
    structure: Structure | None
    problem: str = ""
    published: float | None = None

    def __post_init__(self) -> None:
        """Check that a missing structure has a reason."""
        if (self.structure is None) != bool(self.problem):
            msg = f"sample {self.id} needs either a structure or the reason why there is none, got {self.problem!r}"
            raise ValueError(msg)

    @classmethod
    def from_crystal(cls, name: str, crystal: Crystal) -> Sample:
        """Return the sample of an x; one that cannot be reconstructed is a sample with a problem."""
        try:
            return cls(name, to_structure(crystal))
        except RepresentationError as err:
            return cls(name, None, str(err))
