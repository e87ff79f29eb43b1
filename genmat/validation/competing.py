"""Competing phases: what a crystal may decompose into, with energies of the same engine and settings.

Energies of different engines do not mix, so every competitor is computed as the candidate is. Which ones are needed is
asked of the reference: the phases that its hull consists of at the composition. Their lowest mixture lies on or above
the engine's whole hull, so that the distance to it is a lower bound: a phase left out can only raise it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import linprog

from genmat.energy import EnergyScale, check_same_scale
from genmat.errors import MissingReferenceError, ReferenceDataError
from genmat.reference.entries import fractions_of
from genmat.reference.formula import parse_formula

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from genmat.reference.hull import Hull

SHIPPED = "competing_phases.json"
"""Energies that this project computed with benchmarks/build_competing_phases.py, to spare others the calculation."""


@dataclass(frozen=True, slots=True)
class Competitor:
    """A computed phase.

    Parameters
    ----------
    material_id, formula
        Id in the reference, and reduced formula.
    energy_per_atom
        eV/atom, on ``scale``.
    scale
        Scale of the energy.
    """

    material_id: str
    formula: str
    energy_per_atom: float
    scale: EnergyScale


def needed_phases(hull: Hull, composition: Mapping[Any, float]) -> list[str]:
    """Return the ids of the phases that a reference's hull consists of at a composition, sorted.

    Raises
    ------
    MissingReferenceError
        If the reference lacks an element.
    """
    return sorted(phase.material_id for phase in hull.decomposition(composition))


def energy_above_mixture(
    composition: Mapping[Any, float], energy_per_atom: float, competitors: Sequence[Competitor], *, scale: EnergyScale
) -> float:
    """Return the distance to the lowest mixture of some phases, eV/atom.

        min Σ x_i e_i  with  Σ x_i c_i = c,  x_i ≥ 0

    over the shares x_i of the atoms, with the energies e_i and atomic fractions c_i of the phases.

    Parameters
    ----------
    composition
        Amounts of the elements.
    energy_per_atom
        eV/atom, on ``scale``.
    competitors
        Computed phases; those with other elements take no part.
    scale
        Scale of the energy, and of every competitor.

    Raises
    ------
    EnergyScaleError
        If a competitor is on another scale.
    MissingReferenceError
        If no mixture of the phases has the composition.
    """
    wanted = fractions_of(composition)
    columns = {z: row for row, z in enumerate(wanted.numbers)}
    shares, energies = [], []
    for competitor in competitors:
        check_same_scale(scale, competitor.scale, what="the distance to competing phases")
        fractions = fractions_of(parse_formula(competitor.formula))
        if set(fractions.numbers) <= set(columns):
            share = np.zeros(len(columns))
            share[[columns[z] for z in fractions.numbers]] = fractions.values
            shares.append(share)
            energies.append(competitor.energy_per_atom)
    target = np.asarray(wanted.values)
    found = linprog(energies, A_eq=np.column_stack(shares), b_eq=target, method="highs") if shares else None
    if found is None or not found.success:
        names = ", ".join(sorted(competitor.formula for competitor in competitors)) or "none"
        msg = f"the computed competing phases ({names}) do not add up to the composition"
        raise MissingReferenceError(msg)
    return float(energy_per_atom - found.fun)


def shipped_competitors(scale: EnergyScale) -> dict[str, Competitor]:
    """Return the shipped energies of a scale by material id; empty for a scale of which none are shipped."""
    return dict(_shipped()) if _shipped_scale() == scale else {}


def shipped_table() -> dict[str, Any]:
    """Return the shipped table: scale, parameters, phases.

    Raises
    ------
    ReferenceDataError
        If it is damaged.
    """
    text = (resources.files("genmat.validation") / "data" / SHIPPED).read_text(encoding="utf-8")
    try:
        table = json.loads(text)
        EnergyScale.from_dict(table["scale"])
    except (ValueError, KeyError, TypeError) as err:
        msg = f"the shipped energies of competing phases ({SHIPPED}) are damaged: reinstall genmat"
        raise ReferenceDataError(msg) from err
    return dict(table)


@lru_cache(maxsize=1)
def _shipped_scale() -> EnergyScale:
    return EnergyScale.from_dict(shipped_table()["scale"])


@lru_cache(maxsize=1)
def _shipped() -> dict[str, Competitor]:
    scale = _shipped_scale()
    return {
        name: Competitor(name, entry["formula"], float(entry["energy_per_atom"]), scale)
        for name, entry in shipped_table()["phases"].items()
    }
