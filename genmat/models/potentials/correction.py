"""MP2020's corrections as a function of a crystal, for potentials that learnt the Materials Project's raw energies.

A. Wang et al., Sci. Rep. 11, 15496 (2021), https://doi.org/10.1038/s41598-021-94550-5: pymatgen fits and applies them.
They depend on the composition and, for oxygen and sulphur, on the bonds (peroxide, superoxide, sulphate), so that
energy differences at one composition keep their slope but for a step where such a bond breaks.
"""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from genmat.errors import InputError

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure
    from pymatgen.entries.computed_entries import ComputedEntry


def mp2020_correction(structure: Structure) -> float:
    """Return what MP2020 adds to a raw energy, eV per cell.

    The energy is taken as one of the Materials Project's inputs: PBE, with its U where the most electronegative element
    is oxygen or fluorine.

    Parameters
    ----------
    structure
        Ordered crystal at the geometry of the energy.

    Raises
    ------
    InputError
        If it is disordered.
    """
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    if not structure.is_ordered:
        msg = f"MP2020 corrects ordered crystals, got {structure.composition.formula}"
        raise InputError(msg)
    # The scheme sorts elements by electronegativities, and finds the largest one only if what has none comes first.
    structure = structure.get_sorted_structure(key=lambda site: _electronegativity(site.specie))
    composition = structure.composition
    hubbards = _hubbards(composition)
    parameters = {"run_type": "GGA+U" if any(hubbards.values()) else "GGA", "hubbards": hubbards, "software": "model"}
    data: dict[str, Any] = {"oxidation_states": _oxidation_states(composition.reduced_formula)}
    try:
        return entry_correction(ComputedStructureEntry(structure, 0.0, parameters=parameters, data=data))
    except IndexError:  # sulphur without a neighbour: no bond says that it is anything else
        data["sulfide_type"] = "sulfide"
        return entry_correction(ComputedStructureEntry(structure, 0.0, parameters=parameters, data=data))


def entry_correction(entry: ComputedEntry) -> float:
    """Return what MP2020 adds to the raw energy of an entry, eV per cell.

    Raises
    ------
    InputError
        If the entry's functional, U or pseudopotentials are not those that the corrections were fitted to.
    """
    from pymatgen.entries.compatibility import CompatibilityError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # told of each formula whose oxidation states cannot be guessed
            return float(sum(adjustment.value for adjustment in _scheme().get_adjustments(entry)))
    except CompatibilityError as err:
        reason = " ".join(str(err).partition(" for {")[0].split())  # what follows is the whole entry
        msg = f"MP2020 does not fit this run: {reason}"
        raise InputError(msg) from err


def _electronegativity(element: Any) -> float:
    """Return Pauling's electronegativity, 0 for noble gases, which have none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = float(element.X)
    return value if math.isfinite(value) else 0.0


@lru_cache(maxsize=1)
def _scheme() -> Any:
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility

    return MaterialsProject2020Compatibility()


def _hubbards(composition: Any) -> dict[str, float]:
    """Return the U that the Materials Project's inputs give each element, eV."""
    from pymatgen.io.vasp.sets import MPRelaxSet

    anion = max(composition.elements, key=_electronegativity).symbol
    values = MPRelaxSet.CONFIG["INCAR"]["LDAUU"].get(anion, {})
    return {element.symbol: float(values.get(element.symbol, 0.0)) for element in composition.elements}


@lru_cache(maxsize=4096)
def _oxidation_states(reduced_formula: str) -> dict[str, float]:
    """Return what pymatgen guesses, which takes it up to a second; nothing for a formula that is too large."""
    from pymatgen.core.composition import Composition

    try:
        found = Composition(reduced_formula).oxi_state_guesses(max_sites=-20)
    except ValueError:
        return {}
    return dict(found[0]) if found else {}
