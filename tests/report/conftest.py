"""A campaign of two rounds to report on."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pymatgen.core import Composition, Lattice, Structure

from genmat.campaign import Campaign
from genmat.energy import EnergyScale
from genmat.reference.entries import HullEntries
from genmat.reference.hull import Hull
from genmat.report import CampaignReport, ReportedCandidate, RoundRecord, StageVerdict
from genmat.report.hull_data import chosen_systems, hull_system
from genmat.report.outcome import summaries
from genmat.screening.ssun import SsunDefinition
from genmat.screening.verdict import Reason, Stage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ELEMENTS = ["Li", "Na", "K", "Mg", "Ca", "Sr", "Ti", "Zr", "O", "F", "Cl"]

FORMATION_ENERGIES = {
    "NaCl": -2.05, "KCl": -2.21, "LiCl": -2.02, "NaF": -2.93, "KF": -2.87, "LiF": -3.12, "MgO": -2.96, "CaO": -3.24,
    "SrO": -3.03, "TiO2": -3.25, "Ti2O3": -3.17, "MgF2": -3.74, "CaF2": -4.17, "SrF2": -4.15, "ZrO2": -3.66,
    "CaTiO3": -3.52, "SrTiO3": -3.53, "MgTiO3": -3.22, "Mg2TiO4": -3.15, "Li2O": -2.02, "Na2O": -1.45, "K2O": -1.22,
    "KMgF3": -3.47, "NaMgF3": -3.41, "CaCl2": -2.69, "MgCl2": -2.18, "SrCl2": -2.83, "Li2TiO3": -2.89, "K2TiO3": -2.71,
    "Ti3O5": -3.2, "TiO": -2.72, "CaZrO3": -3.63, "SrZrO3": -3.61, "Na2TiO3": -2.72, "NaCl3": -0.9, "K3Cl": -0.6,
    "MgTi2O5": -3.13, "Mg3TiO5": -3.02, "LiTiO2": -2.81, "KCa2F5": -3.52,
    "K2CaF4": -3.29, "Ti4O7": -3.16, "KCl3": -0.85,
}  # fmt: skip
"""Plausible formation energies, eV/atom."""


def rocksalt(cation: str, anion: str, a: float) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def fluorite(cation: str, anion: str, a: float) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.25, 0.25, 0.25]])


def perovskite(large: str, small: str, anion: str, a: float) -> Structure:
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    return Structure.from_spacegroup("Pm-3m", Lattice.cubic(a), [large, small, anion], sites)


def elpasolite(large: str, first: str, second: str, anion: str, a: float) -> Structure:
    sites = [[0.25, 0.25, 0.25], [0, 0, 0], [0.5, 0.5, 0.5], [0.245, 0, 0]]
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [large, first, second, anion], sites)


def spinel(first: str, second: str, anion: str, a: float) -> Structure:
    sites = [[0.125, 0.125, 0.125], [0.5, 0.5, 0.5], [0.2624, 0.2624, 0.2624]]
    return Structure.from_spacegroup("Fd-3m", Lattice.cubic(a), [first, second, anion], sites)


def rutile(cation: str, anion: str, a: float, c: float) -> Structure:
    sites = [[0, 0, 0], [0.305, 0.305, 0]]
    return Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(a, c), [cation, anion], sites)


CRYSTALS = [
    (perovskite("K", "Ca", "F", 4.45), 221, 0.0),
    (spinel("Ti", "Mg", "O", 8.44), 227, 0.011),
    (perovskite("Sr", "Li", "F", 3.99), 221, 0.018),
    (elpasolite("K", "Na", "Ti", "F", 8.3), 225, 0.019),
    (rocksalt("K", "Cl", 6.3), 225, 0.02),
    (fluorite("Mg", "F", 5.1), 225, 0.026),
    (rutile("Ti", "O", 4.6, 2.96), 136, 0.03),
    (perovskite("Ca", "Zr", "O", 4.14), 221, 0.034),
    (spinel("Mg", "Ti", "O", 8.5), 227, 0.041),
    (rocksalt("Ca", "O", 4.8), 225, 0.05),
    (perovskite("Na", "Mg", "F", 3.97), 221, 0.055),
]
"""Crystals, space groups and distances to the hull (eV/atom) of accepted candidates."""


@pytest.fixture(scope="session")
def campaign() -> Campaign:
    """Return the configuration of a campaign."""
    return Campaign.from_dict(
        {
            "name": "light-oxides-and-halides",
            "target": {
                "properties": [
                    {"name": "energy_above_hull", "max": 0.06, "weight": 2},
                    {"name": "density", "max": 5},
                    {"name": "bulk_modulus", "min": 40, "direction": "maximize"},
                ],
                "chemistry": {"elements": ELEMENTS, "n_elements": {"min": 2, "max": 4}},
                "symmetry": {"crystal_systems": ["cubic", "tetragonal", "orthorhombic"]},
                "n_atoms": {"min": 2, "max": 16},
            },
            "generate": {"n": 120, "seed": 4},
            "screen": {"hull_tolerance": 0.06, "max_relaxed": 30},
        },
        source="test",
    )


@pytest.fixture(scope="session")
def hull() -> Hull:
    """Return a hull of the elements and the compounds above; those of the elements have the energy 0."""
    elements = dict.fromkeys(ELEMENTS, 0.0)
    energies = elements | FORMATION_ENERGIES
    names = [f"mp-{100 + 37 * place}" for place in range(len(energies))]
    entries = HullEntries.from_compositions(
        names, [Composition(formula) for formula in energies], np.array(list(energies.values()))
    )
    return Hull(entries, scale=EnergyScale("chgnet-0.3.0", "PBE", "MP", "PBE", "MP2020"))


def story(rng: random.Random, *, luck: float) -> tuple[list[StageVerdict], float | None]:  # noqa: PLR0911
    """Return the verdicts of a draw that is not accepted, and its distance to the hull (eV/atom)."""
    verdicts: list[StageVerdict] = []

    def passed(stage: Stage, detail: str = "") -> None:
        verdicts.append(StageVerdict(stage, passed=True, reason=Reason.OK, detail=detail))

    def fell(stage: Stage, reason: Reason, detail: str) -> None:
        verdicts.append(StageVerdict(stage, passed=False, reason=reason, detail=detail))

    dice = rng.random()
    if dice < 0.03:
        fell(Stage.GENERATE, Reason.GENERATOR_FAILED, "none of 160 decorations has balanced charges")
        return verdicts, None
    passed(Stage.GENERATE)
    if dice < 0.1:
        fell(
            Stage.VALIDITY, Reason.TOO_CLOSE, "Sr-O are 1.203 Å apart, 0.46 of their covalent radii's sum; allowed 0.6"
        )
        return verdicts, None
    passed(Stage.VALIDITY)
    if dice < 0.24:
        fell(Stage.NOVELTY, Reason.KNOWN, "known as mp-1265 by structure matcher")
        return verdicts, None
    passed(Stage.NOVELTY, "none of 4 known crystals of the formula among 85,598 is the same")
    if dice < 0.3:
        fell(Stage.UNIQUENESS, Reason.DUPLICATE, "the campaign drew it before as candidate 3f2a81c0")
        return verdicts, None
    passed(Stage.UNIQUENESS)
    if dice < 0.68:
        fell(Stage.SELECTION, Reason.NOT_SELECTED, "61 of 84 by score, the first 30 are relaxed")
        return verdicts, None
    passed(Stage.SELECTION, "7 of 84 by score")
    if dice < 0.72:
        fell(Stage.RELAX, Reason.NOT_CONVERGED, "not converged after 300 steps, fmax 0.31 eV/Å")
        return verdicts, None
    passed(Stage.RELAX, "41 steps, fmax 0.031 eV/Å, volume +2.3 %")
    above = rng.lognormvariate(-1.9 - luck, 0.7)
    if above > 0.06:
        fell(Stage.STABILITY, Reason.ABOVE_HULL, f"{above:.3f} eV/atom above the hull, tolerance 0.06 eV/atom")
        return verdicts, above
    passed(Stage.STABILITY, f"{above:.3f} eV/atom above the hull")
    passed(Stage.NOVELTY_RELAXED, "none of 4 known crystals among 85,598 is the same")
    fell(Stage.TARGET, Reason.OFF_TARGET, "density 5.9 g/cm^3 (asked: at most 5)")
    return verdicts, above


def accepted(place: int, hull: Hull) -> ReportedCandidate:
    """Return an accepted candidate."""
    structure, number, above = CRYSTALS[place]
    primitive = structure.get_primitive_structure()
    formation = hull.hull_energy_per_atom(structure.composition) + above
    passed = [
        StageVerdict(Stage.GENERATE, passed=True, reason="ok"),
        StageVerdict(Stage.VALIDITY, passed=True, reason="ok"),
        StageVerdict(Stage.NOVELTY, passed=True, reason="ok", detail="none of 3 known crystals is the same"),
        StageVerdict(Stage.UNIQUENESS, passed=True, reason="ok"),
        StageVerdict(Stage.SELECTION, passed=True, reason="ok", detail=f"{place + 1} of 84 by score"),
        StageVerdict(Stage.RELAX, passed=True, reason="ok", detail="38 steps, fmax 0.042 eV/Å, volume +1.4 %"),
        StageVerdict(Stage.STABILITY, passed=True, reason="ok", detail=f"{above:.3f} eV/atom above the hull"),
        StageVerdict(
            Stage.NOVELTY_RELAXED,
            passed=True,
            reason="ok",
            detail=f"none of 3 known crystals of {structure.composition.reduced_formula} among 85,598 is the same",
        ),
        StageVerdict(Stage.TARGET, passed=True, reason="ok", detail=f"density {structure.density:.3g} g/cm^3"),
        StageVerdict(Stage.UNIQUENESS_RELAXED, passed=True, reason="ok"),
        StageVerdict(Stage.RANK, passed=True, reason="ok"),
    ]
    return ReportedCandidate(
        id=f"{place:02x}" * 16,
        round=1 if place % 5 else 0,
        index=200 + place,
        verdicts=tuple(passed),
        formula=structure.composition.reduced_formula,
        elements=tuple(sorted(element.symbol for element in structure.composition.elements)),
        number_drawn=number if place % 3 else 62,
        number_relaxed=number,
        energy_above_hull=above,
        properties={
            "energy_above_hull": above,
            "formation_energy_per_atom": formation,
            "volume_per_atom": structure.volume / len(structure),
            "density": float(structure.density),
            "bulk_modulus": 60.0 + 17 * place,
        },
        rank=place + 1,
        template=f"mp-{1265 + 311 * place}",
        substitution={"Ba": "Sr", "Al": "Mg"} if place % 2 else {"Mn": "Ti"},
        n_atoms=len(primitive),
        structure=primitive,
        cif=str(primitive.to(fmt="cif")),
    )


@pytest.fixture(scope="session")
def report(campaign: Campaign, hull: Hull) -> CampaignReport:
    """Return a report of two rounds with eleven accepted candidates."""
    rng = random.Random(7)  # noqa: S311 - dice for a test
    draws = []
    for number in (0, 1):
        for index in range(112):
            verdicts, above = story(rng, luck=0.4 * number)
            elements = tuple(sorted([*rng.sample(ELEMENTS[:8], 2), rng.choice(ELEMENTS[8:])]))
            drawn = rng.choice([225, 225, 221, 227, 136, 62, 139, 194, 166, 14, 15, 129, 63, 12, 99, 216, 2])
            is_converged = any(v.stage == Stage.RELAX and v.passed for v in verdicts)
            draws.append(
                ReportedCandidate(
                    id=f"{number}{index:031x}",
                    round=number,
                    index=index,
                    verdicts=tuple(verdicts),
                    formula="".join(elements),
                    elements=elements,
                    number_drawn=drawn,
                    number_relaxed=(drawn if rng.random() < 0.8 else 12) if is_converged else None,
                    energy_above_hull=above,
                    properties={"density": rng.gauss(4.2, 0.9), "bulk_modulus": rng.gauss(85, 30)}
                    if above is not None and above < 0.06
                    else {},
                )
            )
    draws += [accepted(place, hull) for place in range(len(CRYSTALS))]
    draws.sort(key=lambda candidate: (candidate.round, candidate.index))
    best = sorted((c for c in draws if c.rank is not None), key=lambda c: c.rank or 0)
    definition = SsunDefinition(
        hull_tolerance=0.06,
        hull="chgnet-0.3.0/PBE+U:MP/PBE/MP2020, 43,536 crystals, 40,790 of them relaxed",
        potential="chgnet-0.3.0",
        potential_sha256="ab" * 32,
        relaxation="L-BFGS then FIRE without symmetry constraints, fmax 0.05 eV/Å, smax 0.5 GPa, at most 300 steps",
        reference_id="cd" * 32,
        snapshot_id="ef" * 16,
        matcher="pymatgen StructureMatcher, ltol 0.2, stol 0.3, angle_tol 5°",
        symprec=0.01,
    )
    rounds = []
    for number, weights in (
        (0, {}),
        (1, {"K": 0.8, "F": 0.6, "Mg": 0.3, "Ti": 0.1, "Li": -0.2, "Zr": -0.9, "Cl": -0.4}),
    ):
        mine = [c for c in draws if c.round == number]
        hits = sum(c.is_accepted for c in mine)
        rounds.append(
            RoundRecord(
                number=number,
                snapshot_id=f"{number}a" * 16,
                n_added=2 * number,
                definition=definition,
                ssun={"ssun_after": (hits, len(mine))},
                element_weights=weights,
                finished_at=datetime(2025, 5, 4, 12 + number, 30, tzinfo=UTC),
            )
        )
    made = CampaignReport(
        campaign=campaign,
        state="finished",
        code_version="0.1.0",
        created_at=datetime(2025, 5, 4, 11, 2, tzinfo=UTC),
        rounds=tuple(rounds),
        candidates=tuple(draws),
        reference_id="cd" * 32,
        attribution="Materials Project, CC BY 4.0",
        systems=tuple(hull_system(hull, elements, best) for elements in chosen_systems(best, limit=6)),
    )
    assert len(summaries(made)) == 2
    return made


@pytest.fixture
def write_page(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes a page to a file."""

    def write(text: str) -> Path:
        path = tmp_path / "report.html"
        path.write_text(text, encoding="utf-8")
        return path

    return write
