"""What is refused before a campaign begins, and how relaxations become verdicts."""

from __future__ import annotations

import pytest

from genmat.errors import EnergyScaleError
from genmat.models.potentials import get_potential
from genmat.reference.io import load_reference
from workflows.run import check_judgeable


@pytest.mark.parametrize("name", ["chgnet-0.2.0", "chgnet-r2scan", "lennard-jones"])
def test_a_potential_on_another_scale_than_the_hull_is_refused_at_the_start(name):
    scale = load_reference().scale
    check_judgeable(get_potential("chgnet-0.3.0"), scale)
    with pytest.raises(EnergyScaleError, match=rf"screen.potential {name} gives energies on the scale .* on chgnet-0"):
        check_judgeable(get_potential(name), scale)
