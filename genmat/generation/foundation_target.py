"""What a target means for the foundation model: masks that every gene fulfils, a condition that steers the flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genmat.campaign.properties import PropertyName
from genmat.errors import CampaignError, InputError
from genmat.generation.constraints import Chemistry
from genmat.reference.entries import ATOMIC_NUMBERS, SYMBOLS
from genmat.representation.filling import GROUPS_ABOVE_P1, GeneConstraints

if TYPE_CHECKING:
    from genmat.campaign.target import Target
    from genmat.generation.parameters import FoundationParameters
    from genmat.models.bundle import ModelBundle
    from genmat.models.generator.conditions import Condition

MAX_ATOMS = 20
"""Atoms in the primitive cell of the largest crystal that the model was trained on."""
ALWAYS_PREDICTED = frozenset(
    {
        PropertyName.ENERGY_ABOVE_HULL,
        PropertyName.VOLUME_PER_ATOM,
        PropertyName.DENSITY,
        PropertyName.FORMATION_ENERGY_PER_ATOM,
    }
)
"""Properties that rank genes without a head of their own."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What all draws of one target share.

    Parameters
    ----------
    constraints
        What every gene fulfils.
    condition
        What the flow is told, y.
    warnings
        What is asked for beyond what the model was trained on, a line each.
    """

    constraints: GeneConstraints
    condition: Condition
    warnings: tuple[str, ...]


def ask(target: Target, *, settings: FoundationParameters, bundle: ModelBundle, known: frozenset[int]) -> Asked:
    """Return what a target means.

    Parameters
    ----------
    target
        Hard constraints, and properties aimed at.
    settings
        Template, and the distance to the hull that the flow is asked for.
    bundle
        Says which properties are known, in which ranges.
    known
        Atomic numbers of the crystals that the model was trained on.

    Raises
    ------
    CampaignError
        If no gene can satisfy the target; the message names the constraint that leaves nothing.
    """
    from genmat.models.generator.conditions import Condition

    _check_elements(target, known)
    chemistry = Chemistry.from_target(target, known=known)
    try:
        constraints = gene_constraints(target, chemistry, template=settings.template)
        constraints.check()
        asked = target.chemistry
        is_fixed = asked.composition is not None or asked.chemical_system is not None
        condition = Condition(
            ranges=_ranges(target, bundle.flow.config.properties, aim=settings.energy_above_hull),
            required=frozenset() if is_fixed else frozenset(chemistry.required),
            system=frozenset(chemistry.required) if asked.composition is None and is_fixed else frozenset(),
            allowed=frozenset() if is_fixed or asked.elements is None else frozenset(chemistry.allowed),
            composition=dict(chemistry.amounts),
            space_groups=_asked_groups(target),
        )
        warnings = [*bundle.check_condition(condition), *_warnings(target, bundle)]
    except InputError as err:
        msg = f"target: {err}"
        raise CampaignError(msg) from err
    return Asked(constraints, condition, tuple(warnings))


def gene_constraints(target: Target, chemistry: Chemistry, *, template: str | None) -> GeneConstraints:
    """Return the hard constraints of a target; P1 is in only if it is asked for.

    Raises
    ------
    InputError
        If they contradict each other.
    """
    asked = target.chemistry
    numbers = frozenset(target.symmetry.allowed)
    if target.symmetry.space_groups is None and target.symmetry.crystal_systems is None:
        numbers = GROUPS_ABOVE_P1
    most_atoms = target.n_atoms.max or MAX_ATOMS
    if asked.fixed is not None:
        n_elements = (len(chemistry.required), len(chemistry.required))
    else:
        most = min(len(chemistry.allowed), asked.n_elements.max or len(chemistry.allowed))
        n_elements = (max(asked.n_elements.min, len(chemistry.required), min(2, most)), most)
    return GeneConstraints(
        numbers=numbers,
        allowed=frozenset(chemistry.allowed),
        required=frozenset(chemistry.required),
        n_elements=n_elements,
        n_atoms=(target.n_atoms.min, most_atoms),
        amounts=dict(chemistry.amounts) or None,
        template=template,
    )


def _check_elements(target: Target, known: frozenset[int]) -> None:
    """Check that the model saw every element that must occur."""
    asked = target.chemistry
    wanted = asked.required if asked.fixed is None else asked.fixed
    if unseen := sorted({ATOMIC_NUMBERS[symbol] for symbol in wanted} - known):
        names = ", ".join(SYMBOLS[z] for z in unseen)
        msg = (
            f"target.chemistry: the foundation model never saw {names}: no crystal that it was trained on holds "
            f"{'it' if len(unseen) == 1 else 'them'}; take elements of known crystals"
        )
        raise CampaignError(msg)


def _ranges(target: Target, known: tuple[str, ...], *, aim: float) -> dict[str, tuple[float | None, float | None]]:
    """Return the ranges that the flow is told, a low distance to the hull always among them."""
    ranges: dict[str, tuple[float | None, float | None]] = {
        str(item.name): (item.min, item.max) for item in target.properties if item.has_range and item.name in known
    }
    hull = str(PropertyName.ENERGY_ABOVE_HULL)
    low, high = ranges.get(hull, (None, None))
    ranges[hull] = (low, aim if high is None or low is None else high)
    return ranges


def _warnings(target: Target, bundle: ModelBundle) -> list[str]:
    found = [
        f"{item.name}: the model cannot predict it, only the screening decides"
        for item in target.properties
        if item.has_range and item.name not in ALWAYS_PREDICTED | set(bundle.heads)
    ]
    if (target.n_atoms.max or 0) > MAX_ATOMS:
        found.append(f"n_atoms: asked for up to {target.n_atoms.max}, but the model was trained on 1 to {MAX_ATOMS}")
    return found


def _asked_groups(target: Target) -> frozenset[int]:
    symmetry = target.symmetry
    if symmetry.space_groups is None and symmetry.crystal_systems is None:
        return frozenset()
    return frozenset(symmetry.allowed)
