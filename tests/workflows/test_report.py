"""Writing what a campaign found, from a database with a small campaign of real crystals in it."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from ase.io import read
from pymatgen.core import Composition, Lattice, Structure

from genmat.campaign import Campaign
from genmat.database.candidates import Decision
from genmat.database.documents import (
    CampaignDocument,
    CampaignState,
    CandidateDocument,
    CandidateStatus,
    RoundState,
    SnapshotRecord,
    VerdictRecord,
)
from genmat.database.store import Store, connect
from genmat.energy import EnergyScale
from genmat.errors import CampaignError, StorageError
from genmat.reference.fingerprint import SIZE
from genmat.reference.io import write_reference
from genmat.reference.table import Reference, ReferenceMetadata, ReferenceRow
from genmat.screening.ssun import DrawOutcome, SsunDefinition, ssun
from genmat.screening.verdict import Stage
from genmat.settings import Settings
from workflows.description import describe, structure_document
from workflows.identity import candidate_id, drawn_structure_id
from workflows.report import write_outputs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCALE = EnergyScale("chgnet-0.3.0", "PBE", "MP", "PBE", "MP2020")

KNOWN = {"Na": 0.0, "K": 0.0, "Mg": 0.0, "F2": 0.0, "Cl2": 0.0, "NaF": -2.9, "KF": -2.9, "MgF2": -3.7, "NaCl": -2.0}
"""Energies of the reference's crystals, eV/atom."""

FUNNEL = [Stage.GENERATE, Stage.VALIDITY, Stage.NOVELTY, Stage.UNIQUENESS, Stage.SELECTION, Stage.RELAX]
AFTER = [Stage.STABILITY, Stage.NOVELTY_RELAXED, Stage.TARGET, Stage.UNIQUENESS_RELAXED, Stage.RANK]


@dataclass(frozen=True)
class Filled:
    """A database with a campaign in it."""

    store: Store
    name: str
    accepted: list[str]


def perovskite(large: str, small: str, a: float) -> Structure:
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    return Structure.from_spacegroup("Pm-3m", Lattice.cubic(a), [large, small, "F"], sites)


def rocksalt(cation: str, anion: str, a: float) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


DRAWS = [
    (perovskite("K", "Mg", 4.0), -3.41, True),
    (rocksalt("K", "Cl", 6.3), -2.2, True),
    (perovskite("Na", "Mg", 3.9), -3.2, False),
    (rocksalt("Na", "Cl", 5.7), -1.98, True),
    (rocksalt("Mg", "F", 4.3), -1.0, False),
]
"""Crystals, their formation energies (eV/atom) and whether they are accepted."""


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> tuple[Path, Reference]:
    """Write a reference of a few crystals."""
    rows = [
        ReferenceRow(
            material_id=f"mp-{number}",
            formula=Composition(formula).reduced_formula,
            gene="",
            fingerprint=np.zeros(SIZE, dtype=np.uint16),
            n_sites=int(Composition(formula).num_atoms),
            energy_per_atom=energy,
            relaxed=True,
        )
        for number, (formula, energy) in enumerate(KNOWN.items(), start=10)
    ]
    metadata = ReferenceMetadata(
        potential="chgnet-0.3.0",
        potential_sha256="ab" * 32,
        scale=SCALE,
        protocol={},
        versions={},
        source="test",
        attribution="Materials Project, CC BY 4.0",
    )
    made = Reference.from_rows(rows, metadata=metadata)
    path = tmp_path_factory.mktemp("reference") / "reference.parquet"
    write_reference(made, path)
    return path, made


@pytest.fixture(scope="module", autouse=True)
def _environment(tmp_path_factory, reference) -> Iterator[None]:
    """Keep the developer's settings out, and name the small reference."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("GENMAT_"):
                patch.delenv(name)
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        patch.setenv("GENMAT_REFERENCE", str(reference[0]))
        yield


@pytest.fixture(scope="module")
def campaign() -> Campaign:
    return Campaign.from_dict(
        {
            "name": "fluorides",
            "target": {"properties": [{"name": "energy_above_hull", "max": 0.08}, {"name": "density", "max": 5}]},
            "generate": {"n": 3, "seed": 1},
        },
        source="test",
    )


@pytest.fixture(scope="module")
def filled(tmp_path_factory, campaign, reference) -> Iterator[Filled]:
    """Fill a database in this process through its own interface; no test changes it."""
    settings = Settings(data_folder=tmp_path_factory.mktemp("data"), mongod="/bin/false")
    hull, identifier = reference[1].hull(), reference[1].id
    with connect(settings) as store:
        store.campaigns.create(
            CampaignDocument(
                id=campaign.name, config=campaign.to_dict(), config_hash=campaign.config_hash, code_version="0.1.0"
            )
        )
        accepted = []
        for place, (structure, formation, good) in enumerate(DRAWS):
            candidate = add_draw(store, campaign, place, structure)
            above = hull.energy_above_hull(structure.composition, formation, scale=SCALE)
            judge(store, candidate, above, formation, float(structure.density), good=good)
            if good:
                accepted.append(candidate)
        store.candidates.set_fields({key: {"rank": rank} for rank, key in enumerate(accepted, start=1)})
        for number in (0, 1):
            close_round(store, campaign, number, identifier)
        store.campaigns.set_state(campaign.name, CampaignState.FINISHED)
        yield Filled(store, campaign.name, accepted)


def add_draw(store: Store, campaign: Campaign, place: int, structure: Structure) -> str:
    """Store a draw with its structures; return its id."""
    number, index = divmod(place, 3)
    identifier = candidate_id(campaign=campaign.name, round_number=number, generator_configuration="g", index=index)
    primitive = structure.get_primitive_structure()
    drawn = structure_document(describe(primitive), identifier=drawn_structure_id(identifier), parents=[])
    relaxed = structure_document(describe(primitive), identifier=f"relaxed-{place}", parents=[drawn.id])
    store.structures.insert_if_absent([drawn, relaxed])
    candidate = CandidateDocument(
        id=identifier,
        campaign=campaign.name,
        round=number,
        index=index,
        generator="template",
        generator_hash="g",
        seed=1,
        origin={"template": "mp-999", "substitution": {"Ca": "K"}, "anonymous_gene": "x"},
        structure_id=drawn.id,
        formula_pretty=drawn.formula_pretty,
        elements=drawn.elements,
        nelements=drawn.nelements,
        chemsys=drawn.chemsys,
        nsites=drawn.nsites,
        space_group_number=drawn.space_group_number,
    )
    store.candidates.insert_if_absent([candidate])
    fields = {"relaxed_structure_id": relaxed.id}
    decisions = [
        Decision(
            identifier, VerdictRecord(stage=stage, passed=True, reason="ok"), fields if stage == Stage.RELAX else {}
        )
        for stage in FUNNEL
    ]
    for decision in decisions:
        store.candidates.record([decision])
    return identifier


def judge(store: Store, candidate: str, above: float, formation: float, density: float, *, good: bool) -> None:
    """Record the verdicts after relaxation."""
    values = {"energy_above_hull": above, "formation_energy_per_atom": formation, "density": density}
    fields = {"energy_above_hull": above, "properties": values}
    if not good:
        verdict = VerdictRecord(stage=Stage.STABILITY, passed=False, reason="above_hull", detail=f"{above:.3f} eV/atom")
        store.candidates.record([Decision(candidate, verdict, fields)])
        return
    for stage in AFTER:
        verdict = VerdictRecord(stage=stage, passed=True, reason="ok")
        more = {"status": CandidateStatus.ACCEPTED} if stage == Stage.RANK else {}
        store.candidates.record([Decision(candidate, verdict, {**fields, **more})])


def close_round(store: Store, campaign: Campaign, number: int, reference_id: str) -> None:
    """Store a finished round with its snapshot."""
    snapshot = SnapshotRecord(id=f"snapshot-{number}", round=number, reference_id=reference_id)
    store.campaigns.add_snapshot(campaign.name, snapshot)
    definition = SsunDefinition(
        hull_tolerance=0.08,
        hull="test",
        potential="chgnet-0.3.0",
        potential_sha256="ab" * 32,
        relaxation="none",
        reference_id=reference_id,
        snapshot_id=snapshot.id,
        matcher="StructureMatcher",
        symprec=0.01,
    )
    outcomes = [DrawOutcome(symmetric_after=True, stable=True, unique=True, novel=True)]
    state = RoundState(
        round=number,
        phase="done",
        snapshot_id=snapshot.id,
        weights={"elements": {"K": 0.5 * number}, "templates": {}},
        ssun=ssun(outcomes, definition=definition).to_dict(),
    )
    store.campaigns.set_round(campaign.name, state)


def test_outputs_are_report_table_and_relaxed_crystals(filled, tmp_path):
    paths = write_outputs(filled.store, filled.name, tmp_path / "out")
    names = [path.relative_to(tmp_path / "out").as_posix() for path in paths]
    assert names[:3] == ["report.html", "candidates.csv", "structures.extxyz"]
    assert [name[:15] for name in names[3:]] == ["structures/001-", "structures/002-", "structures/003-"]
    assert all(path.is_file() for path in paths)


def test_report_tells_best_candidate_hull_and_rounds(filled, tmp_path):
    write_outputs(filled.store, filled.name, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "3 new crystals on target out of 5 draws" in page
    assert "KMgF<sub>3</sub>" in page
    assert 'id="data-hull-0"' in page
    assert "Materials Project, CC BY 4.0" in page
    assert "Did learning help?" in page


def test_table_holds_every_draw(filled, tmp_path):
    write_outputs(filled.store, filled.name, tmp_path)
    with (tmp_path / "candidates.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(DRAWS)
    assert [row["rank"] for row in rows] == ["1", "2", "3", "", ""]


def test_crystals_come_back_as_they_were_stored(filled, tmp_path):
    paths = write_outputs(filled.store, filled.name, tmp_path)
    frames = read(tmp_path / "structures.extxyz", index=":")
    assert [frame.info["id"] for frame in frames] == filled.accepted
    cif = Structure.from_file(next(path for path in paths if path.name.startswith("001-")))
    assert cif.composition.reduced_formula == "KMgF3"


def test_writing_twice_changes_nothing(filled, tmp_path):
    first = {path: path.read_bytes() for path in write_outputs(filled.store, filled.name, tmp_path)}
    second = {path: path.read_bytes() for path in write_outputs(filled.store, filled.name, tmp_path)}
    assert first == second


def test_no_part_of_a_file_is_left_behind(filled, tmp_path):
    paths = write_outputs(filled.store, filled.name, tmp_path / "out")
    found = {path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found == set(paths)


def test_crystals_that_lost_their_rank_go_and_strangers_stay(filled, tmp_path):
    folder = tmp_path / "structures"
    folder.mkdir()
    (folder / "007-NaCl-0123abcd.cif").write_text("old")
    (folder / "mine.cif").write_text("mine")
    write_outputs(filled.store, filled.name, tmp_path)
    assert not (folder / "007-NaCl-0123abcd.cif").exists()
    assert (folder / "mine.cif").read_text() == "mine"


def test_campaign_that_has_not_begun_has_outputs(campaign, tmp_path):
    settings = Settings(data_folder=tmp_path / "data", mongod="/bin/false")
    with connect(settings) as store:
        store.campaigns.create(
            CampaignDocument(
                id=campaign.name, config=campaign.to_dict(), config_hash=campaign.config_hash, code_version="0.1.0"
            )
        )
        paths = write_outputs(store, campaign.name, tmp_path / "out")
    assert len(paths) == 3
    assert "Nothing has been drawn yet" in paths[0].read_text(encoding="utf-8")


def test_missing_reference_costs_only_the_hull_diagrams(filled, tmp_path, monkeypatch):
    monkeypatch.setenv("GENMAT_REFERENCE", str(tmp_path / "absent.parquet"))
    write_outputs(filled.store, filled.name, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "There are no hull diagrams" in page
    assert 'id="data-hull-0"' not in page


def test_unknown_campaign_is_refused(filled, tmp_path):
    with pytest.raises(CampaignError, match="Did you mean 'fluorides'"):
        write_outputs(filled.store, "flourides", tmp_path)


def test_folder_that_is_a_file_is_told(filled, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StorageError, match="cannot be written"):
        write_outputs(filled.store, filled.name, tmp_path / "out")
