"""How much of what competes a hull of labels knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from genmat.errors import MissingReferenceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genmat.reference.hull import Hull
    from genmat.reference.table import Reference


@dataclass(frozen=True, slots=True)
class LabelCoverage:
    """Which phases of a reference's own hull have a label: without one a hull of labels calls too much stable.

    Parameters
    ----------
    hull
        The reference's own hull.
    formulas
        Reduced formulas that have a label. Ids of two sources need not agree, so that a polymorph's label counts.
    n_vertices, n_labelled
        Vertices of the own hull, and those of them with a label.
    """

    hull: Hull
    formulas: frozenset[str]
    n_vertices: int
    n_labelled: int

    @property
    def share(self) -> float:
        """Share of the own hull's vertices that have a label."""
        return self.n_labelled / self.n_vertices if self.n_vertices else 0.0

    def unlabelled(self, composition: Mapping[Any, float]) -> list[str]:
        """Return the formulas of the phases that compete at a composition and have no label, sorted.

        Elements that the reference itself lacks are none of them: whatever knows them is not told apart here.
        """
        try:
            phases = self.hull.decomposition(composition)
        except MissingReferenceError:
            return []
        return sorted({phase.formula for phase in phases} - self.formulas)

    def __str__(self) -> str:
        """Return the share in words."""
        return f"labels for {100 * self.share:.0f} % of the {self.n_vertices:,} phases on the reference's own hull"


def label_coverage(reference: Reference, labels: Reference, *, hull: Hull | None = None) -> LabelCoverage:
    """Return which phases of a reference have a label.

    Parameters
    ----------
    reference
        What a campaign knows.
    labels
        A reference of stated energies.
    hull
        That of ``reference``, where it is at hand.
    """
    known = frozenset(labels.formulas[row] for row in np.flatnonzero(~np.isnan(labels.energies)))
    vertices = [reference.formulas[row] for row in np.flatnonzero(reference.energies_above_hull == 0.0)]
    return LabelCoverage(
        reference.hull() if hull is None else hull,
        known,
        n_vertices=len(vertices),
        n_labelled=sum(formula in known for formula in vertices),
    )
