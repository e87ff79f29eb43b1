"""A small reference of textbook prototypes, built in a second."""

from __future__ import annotations

from itertools import product

from genmat.campaign import Target
from genmat.energy import EnergyScale
from genmat.generation import DrawContext
from genmat.reference.fingerprint import fingerprint
from genmat.reference.table import Reference, ReferenceMetadata, ReferenceRow
from genmat.representation.conversion import to_structure
from genmat.representation.crystal import Crystal, Orbit
from genmat.representation.gene import gene

CUBIC = (90.0, 90.0, 90.0)
RADII = {
    "Li": 0.9, "Na": 1.16, "K": 1.52, "Rb": 1.66, "Mg": 0.86, "Ca": 1.14, "Sr": 1.32, "Ba": 1.49, "Ti": 0.75,
    "Zr": 0.86, "Sn": 0.83, "Zn": 0.88, "Cd": 1.09, "F": 1.19, "Cl": 1.67, "Br": 1.82, "I": 2.06, "O": 1.26, "S": 1.7,
    "Se": 1.84, "Te": 2.07, "Ni": 1.25, "Co": 1.25, "Fe": 1.26, "Al": 1.43, "Ga": 1.35,
}  # fmt: skip
"""Å; ionic after Shannon, metallic for the last five."""

ALKALI, ALKALINE_EARTH = ("Li", "Na", "K", "Rb"), ("Mg", "Ca", "Sr", "Ba")
HALOGENS, CHALCOGENS = ("F", "Cl", "Br", "I"), ("O", "S", "Se", "Te")


def cubic(number: int, edge: float, *orbits: Orbit) -> Crystal:
    return Crystal(number, orbits, (edge, edge, edge, *CUBIC))


def rock_salt(cation: str, anion: str) -> Crystal:
    return cubic(225, 2.0 * (RADII[cation] + RADII[anion]), Orbit(cation, "a"), Orbit(anion, "b"))


def caesium_chloride(first: str, second: str) -> Crystal:
    return cubic(221, 1.15 * (RADII[first] + RADII[second]), Orbit(first, "a"), Orbit(second, "b"))


def perovskite(large: str, small: str, anion: str) -> Crystal:
    edge = 2.0 * (RADII[small] + RADII[anion])
    return cubic(221, edge, Orbit(large, "b"), Orbit(small, "a"), Orbit(anion, "d"))


def rutile(cation: str, anion: str) -> Crystal:
    edge = 2.3 * (RADII[cation] + RADII[anion])
    lattice = (edge, edge, 0.64 * edge, *CUBIC)
    return Crystal(136, (Orbit(cation, "a"), Orbit(anion, "f", (0.305,))), lattice)


def textbook_crystals() -> list[Crystal]:
    """Return some 90 crystals of five prototypes; gaps are left for a generator to find."""
    pairs = [*product(ALKALI, HALOGENS), *product(ALKALINE_EARTH, CHALCOGENS)]
    found = [rock_salt(a, x) for i, (a, x) in enumerate(pairs) if i % 5]
    found += [
        caesium_chloride(a, b)
        for a, b in product(("Ni", "Co", "Fe"), ("Al", "Ga", "Ti", "Zr"))
        if (a, b) != ("Fe", "Ga")
    ]
    found += [
        perovskite(a, b, x)
        for a, b, x in product(("Ca", "Sr", "Ba"), ("Ti", "Zr", "Sn"), ("O", "S"))
        if (a, b) != ("Ba", "Sn")
    ]
    found += [
        perovskite(a, b, x)
        for a, b, x in product(("Na", "K", "Rb"), ("Mg", "Zn", "Cd"), ("F", "Cl"))
        if (a, x) != ("Rb", "Cl")
    ]
    found += [rutile(a, x) for a, x in product(("Ti", "Zr", "Sn"), CHALCOGENS) if (a, x) != ("Sn", "S")]
    found += [rutile(a, x) for a, x in product(("Mg", "Zn", "Cd"), HALOGENS) if (a, x) != ("Cd", "F")]
    return found


def reference_of(crystals: list[Crystal]) -> Reference:
    """Return a reference in which elements have the energy 0, the given crystals −1 eV/atom."""
    elements = sorted({orbit.element for crystal in crystals for orbit in crystal.orbits})
    elemental = [cubic(229, 2.3 * RADII[symbol], Orbit(symbol, "a")) for symbol in elements]
    rows = []
    for index, crystal in enumerate([*elemental, *crystals]):
        structure = to_structure(crystal)
        rows.append(
            ReferenceRow(
                material_id=f"book-{index:03d}",
                formula=crystal.composition.reduced_formula,
                gene=gene(crystal),
                fingerprint=fingerprint(structure),
                n_sites=len(structure),
                energy_per_atom=0.0 if len(crystal.composition) == 1 else -1.0,
                relaxed=True,
                crystal=crystal,
            )
        )
    scale = EnergyScale("textbook", "none", "none", "none", "none")
    return Reference.from_rows(
        rows,
        metadata=ReferenceMetadata(
            "textbook", "0" * 64, scale, {}, {}, source="textbook prototypes", attribution="none"
        ),
    )


def context(target: Target | None = None, **changes: object) -> DrawContext:
    """Return a context; ``changes`` replace its fields."""
    given = {"target": target or Target(), "campaign": "test", "round": 0, "seed": 7}
    return DrawContext(**{**given, **changes})
