"""What the composition asks of a calculation: spin, and a Hubbard U where the Materials Project uses one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

MOMENTS: dict[str, float] = {
    **dict.fromkeys(("V", "Cr", "Mn", "Fe", "Co", "Ni", "Mo", "W"), 3.0),
    **dict.fromkeys(("Cu", "Ru", "Rh", "Pd", "Os", "Ir", "Re", "Tc"), 1.0),
    **dict.fromkeys(("Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb"), 5.0),
    **dict.fromkeys(("Pa", "U", "Np", "Pu"), 3.0),
}
"""Initial magnetic moment of elements with open d or f shells, Bohr magnetons; high, for moments only shrink."""

OXYGEN_MOMENT = 1.0
"""Initial moment of oxygen in O2 and superoxides, Bohr magnetons."""
LONGEST_MAGNETIC_OXYGEN_BOND = 1.42
"""O-O distance below which a pair is O2 (1.21 Å) or superoxide (1.33 Å), not peroxide (1.49 Å, no moment), Å."""

HUBBARD_METALS = frozenset({"Co", "Cr", "Fe", "Mn", "Mo", "Ni", "V", "W"})
"""Metals that MPRelaxSet gives a U in oxides and fluorides (A. Jain et al., Phys. Rev. B 84, 045115 (2011))."""


def initial_moments(structure: Structure) -> list[float]:
    """Return the initial magnetic moment of every site, Bohr magnetons; all zero where no spin is needed."""
    moments = [MOMENTS.get(site.specie.symbol, 0.0) for site in structure]
    for index in _paired_oxygen(structure):
        moments[index] = OXYGEN_MOMENT
    return moments


def _paired_oxygen(structure: Structure) -> set[int]:
    oxygen = [index for index, site in enumerate(structure) if site.specie.symbol == "O"]
    if not oxygen:
        return set()
    first, second, _, distances = structure.get_neighbor_list(LONGEST_MAGNETIC_OXYGEN_BOND)
    pairs = zip(first, second, distances, strict=True)
    return {int(i) for i, j, distance in pairs if distance > 0.1 and {int(i), int(j)} <= set(oxygen)}


def hubbard_metals(structure: Structure) -> list[str]:
    """Return the metals that the Materials Project treats with a Hubbard U in this compound, sorted."""
    symbols = {site.specie.symbol for site in structure}
    return sorted(HUBBARD_METALS & symbols) if symbols & {"O", "F"} else []
