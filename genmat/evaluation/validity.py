"""Validity of generated crystals as CDVAE defined it, for comparison with published numbers.

Xie et al., *Crystal Diffusion Variational Autoencoder*, ICLR 2022, https://arxiv.org/abs/2110.06197, appendix: a
composition is valid if SMACT finds a charge-neutral assignment of oxidation states in which no cation is more
electronegative than an anion, elements and alloys of metals pass; a structure is valid if no two atoms are closer than
0.5 Å and the cell has at least 0.1 Å^3. Its oxidation states were those of SMACT's first publication (``smact14``).
These tests are weaker than what a campaign asks of a candidate (:mod:`genmat.screening.validity`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pymatgen.core.composition import Composition
    from pymatgen.core.structure import Structure

OXIDATION_STATES = "smact14"
"""Set of oxidation states, in SMACT's words; the only one there was when CDVAE was published."""

MIN_DISTANCE = 0.5
"""Å; images of one atom are not compared, as in CDVAE."""

MIN_VOLUME = 0.1
"""Å^3, of the cell."""


@lru_cache(maxsize=1)
def composition_test_name() -> str:
    """Return the name of the composition test with its version and mode."""
    from importlib.metadata import version

    return f"CDVAE (smact {version('smact')}, {OXIDATION_STATES}, Pauling test, elements and alloys of metals pass)"


STRUCTURE_TEST = f"CDVAE (distances > {MIN_DISTANCE} Å, cell >= {MIN_VOLUME} Å^3)"
"""Name of the structure test."""


def is_composition_valid(composition: Composition) -> bool:
    """Return whether a composition of whole amounts is valid."""
    amounts = composition.get_el_amt_dict()
    return _is_composition_valid(tuple(sorted((symbol, round(amount)) for symbol, amount in amounts.items())))


def is_structure_valid(structure: Structure) -> bool:
    """Return whether the atoms keep their distance and the cell has a volume."""
    if abs(structure.volume) < MIN_VOLUME:
        return False
    distances = np.asarray(structure.distance_matrix)
    np.fill_diagonal(distances, np.inf)
    return bool(distances.min() >= MIN_DISTANCE)


@lru_cache(maxsize=65536)
def _is_composition_valid(amounts: tuple[tuple[str, int], ...]) -> bool:
    from pymatgen.core.composition import Composition
    from smact.screening import smact_validity

    return bool(smact_validity(Composition(dict(amounts)), oxidation_states_set=OXIDATION_STATES))
