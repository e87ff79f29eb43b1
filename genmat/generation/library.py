"""Templates: known crystals whose sites can be given to other elements, grouped by prototype."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from genmat.errors import ReferenceDataError
from genmat.generation.mixing import N_ATOMIC_NUMBERS
from genmat.generation.prototypes import PrototypeKey, prototype_roles
from genmat.generation.substitution import compatibility, replaceability
from genmat.generation.volume import VolumeModel, fit_volume_model
from genmat.reference.entries import ATOMIC_NUMBERS
from genmat.representation.lattice import conventional_volume
from genmat.representation.wyckoff import space_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from genmat.reference.table import Reference
    from genmat.representation.crystal import Crystal


@dataclass(frozen=True, slots=True)
class Template:
    """A known crystal as a pattern of roles.

    Parameters
    ----------
    position
        Position among the crystals of the reference.
    material_id
        Id at the source.
    prototype
        Number of its prototype within the library.
    elements
        Atomic number in each role.
    counts
        Atoms of each role in the primitive cell.
    number
        Space group.
    volume_per_atom
        Å³/atom, of the relaxed crystal.
    energy_above_hull
        eV/atom, in the reference's own hull.
    """

    position: int
    material_id: str
    prototype: int
    elements: tuple[int, ...]
    counts: tuple[int, ...]
    number: int
    volume_per_atom: float
    energy_above_hull: float

    @property
    def n_atoms(self) -> int:
        """Atoms in the primitive cell."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True, eq=False)
class TemplateLibrary:
    """All templates of a reference, with what they teach about elements.

    Parameters
    ----------
    reference
        Where the templates come from.
    templates
        In the order of the reference.
    prototypes
        Number of each prototype.
    known_roles
        (prototype, role, atomic number) of every template.
    similarity
        Log-odds that one element can stand for another, by atomic numbers, shape (119, 119).
    compatibility
        Log-odds that two elements occur in one compound, by atomic numbers, shape (119, 119).
    volume
        Volume of a composition.
    elements
        Atomic numbers that some template holds; nothing is known of others.
    """

    reference: Reference
    templates: tuple[Template, ...]
    prototypes: dict[PrototypeKey, int]
    known_roles: frozenset[tuple[int, int, int]]
    similarity: NDArray[np.float64]
    compatibility: NDArray[np.float64]
    volume: VolumeModel
    elements: frozenset[int]

    def __len__(self) -> int:
        """Return the number of templates."""
        return len(self.templates)

    def crystal(self, template: Template) -> Crystal:
        """Return x of a template."""
        return self.reference.crystals[template.position]


@lru_cache(maxsize=2)
def template_library(reference: Reference) -> TemplateLibrary:
    """Return the templates of a reference; computed once for each (some seconds).

    Parameters
    ----------
    reference
        Its crystals with x and an energy become templates.

    Raises
    ------
    ReferenceDataError
        If no crystal can be a template.
    """
    prototypes: dict[PrototypeKey, int] = {}
    templates = _templates(reference, prototypes)
    if not templates:
        msg = (
            f"none of the {len(reference)} crystals of the reference has x, an energy and two or more elements, "
            "expected some as templates: rebuild it (genmat data build-reference)"
        )
        raise ReferenceDataError(msg)
    volume = fit_volume_model(
        [tuple(zip(t.elements, t.counts, strict=True)) for t in templates],
        np.asarray([t.volume_per_atom for t in templates]),
    )
    return TemplateLibrary(
        reference=reference,
        templates=templates,
        prototypes=prototypes,
        known_roles=frozenset((t.prototype, role, z) for t in templates for role, z in enumerate(t.elements)),
        similarity=replaceability(
            ((t.prototype, t.elements) for t in templates),
            volumes=np.asarray([volume.element_volume(z) for z in range(N_ATOMIC_NUMBERS)]),
        ),
        compatibility=compatibility(t.elements for t in templates),
        volume=volume,
        elements=frozenset(z for t in templates for z in t.elements),
    )


def _templates(reference: Reference, prototypes: dict[PrototypeKey, int]) -> tuple[Template, ...]:
    """Return the crystals that can be templates; ``prototypes`` is filled on the way."""
    columns = reference.crystals
    templates = []
    for position, row in enumerate(reference.crystal_rows.tolist()):
        above = float(reference.energies_above_hull[row])
        if np.isnan(above):
            continue
        number = int(columns.numbers[position])
        occupations = [_split(text) for text in columns.orbits[position].split()]
        key, symbols = prototype_roles(number, occupations)
        if any(ATOMIC_NUMBERS.get(symbol, N_ATOMIC_NUMBERS) >= N_ATOMIC_NUMBERS for symbol in symbols):
            continue
        group = space_group(number)
        atoms = dict.fromkeys(symbols, 0)
        for symbol, letter in occupations:
            atoms[symbol] += group.positions[letter].multiplicity // group.n_centring
        counts = tuple(atoms[symbol] for symbol in symbols)
        templates.append(
            Template(
                position=position,
                material_id=reference.material_ids[row],
                prototype=prototypes.setdefault(key, len(prototypes)),
                elements=tuple(ATOMIC_NUMBERS[symbol] for symbol in symbols),
                counts=counts,
                number=number,
                volume_per_atom=_volume(columns.lattices[position].tolist()) / group.n_centring / sum(counts),
                energy_above_hull=above,
            )
        )
    return tuple(templates)


def _split(occupation: str) -> tuple[str, str]:
    element, _, letter = occupation.partition(".")
    return element, letter


def _volume(lattice: Sequence[float]) -> float:
    a, b, c, alpha, beta, gamma = lattice
    return conventional_volume((a, b, c, alpha, beta, gamma))
