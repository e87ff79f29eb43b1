"""MP2020's corrections of PBE(+U) energies, so that they meet the Materials Project's and nothing else.

A. Wang et al., Sci. Rep. 11, 15496 (2021), https://doi.org/10.1038/s41598-021-94550-5: pymatgen fits and applies them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from genmat.errors import InputError

if TYPE_CHECKING:
    from pymatgen.io.vasp.outputs import Vasprun


def mp2020_correction(run: Vasprun) -> float:
    """Return what MP2020 adds to the raw energy of a run, eV per cell.

    Raises
    ------
    InputError
        If the run's functional, U or pseudopotentials are not those that the corrections were fitted to.
    """
    from pymatgen.entries.compatibility import CompatibilityError

    entry = run.get_computed_entry(entry_id="run")
    try:
        return float(sum(adjustment.value for adjustment in _scheme().get_adjustments(entry)))
    except CompatibilityError as err:
        msg = f"MP2020 does not fit this run: {' '.join(str(err).split())}"
        raise InputError(msg) from err


@lru_cache(maxsize=1)
def _scheme() -> Any:
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility

    return MaterialsProject2020Compatibility()
