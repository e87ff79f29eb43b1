"""A small finished campaign in a database of its own, and a way to run commands on it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import pytest
from pymatgen.core import Lattice, Structure

from genmat.campaign.io import parse_campaign
from genmat.cli.entry import run
from genmat.database.campaigns import this_process
from genmat.database.candidates import Decision
from genmat.database.documents import (
    ActivityDocument,
    CampaignDocument,
    CampaignState,
    CandidateDocument,
    ModelDocument,
    PropertyDocument,
    RoundState,
    SnapshotRecord,
    StructureDocument,
    VerdictRecord,
    utc_now,
)
from genmat.database.store import connect
from genmat.ids import stable_id
from genmat.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CAMPAIGN = """\
name: salts
target:
  properties:
    - {name: energy_above_hull, max: 0.08}
  chemistry: {elements: [Li, Na, K, Mg, O, F, Cl]}
generate: {n: 4, seed: 3}
learn: {rounds: 2}
"""
SCALE = {
    "engine": "chgnet-0.3.0",
    "functional": "PBE",
    "hubbard": "MP",
    "pseudopotentials": "PBE",
    "correction": "MP2020",
}
SHA256 = "d14ab7c0" * 8
SNAPSHOTS = [stable_id("snapshot", number) for number in range(2)]
ACTIVITIES = {
    (number, stage): stable_id("activity", number, stage)
    for number in range(2)
    for stage in ("generate", "relax", "assess")
}


@dataclass(frozen=True)
class Result:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line on standard error, besides warnings about the database in this process."""
        lines = [line for line in self.err.splitlines() if not line.startswith("genmat: warning: USING THE IN-PROCESS")]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("genmat: "), self.err
        return lines[0]


@pytest.fixture
def genmat(capfd) -> Callable[..., Result]:
    """Return a function that runs a command in this process."""

    def call(*arguments: object) -> Result:
        capfd.readouterr()
        code = run([str(item) for item in arguments])
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture(autouse=True)
def clean_environment(tmp_path, monkeypatch) -> None:
    """Keep the developer's settings, data and folder out of the tests."""
    for name in os.environ:
        if name.startswith("GENMAT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


@pytest.fixture(scope="session")
def filled(tmp_path_factory) -> Path:
    """Fill an in-process store with a finished campaign and return its data folder."""
    folder = tmp_path_factory.mktemp("filled")
    with connect(Settings(data_folder=folder, mongod="/bin/false")) as store:
        fill(store)
    return folder


@pytest.fixture
def salts(filled, tmp_path, monkeypatch) -> Path:
    """Make a copy of that store the database of this test and return its data folder."""
    folder = tmp_path / "salts"
    shutil.copytree(filled, folder)
    monkeypatch.setenv("GENMAT_DATA_FOLDER", str(folder))
    monkeypatch.setenv("GENMAT_MONGOD", "/bin/false")
    return folder


@pytest.fixture
def campaign_file() -> Path:
    """Write the campaign's file into the current folder."""
    from pathlib import Path

    path = Path("salts.yaml")
    path.write_text(CAMPAIGN)
    return path


@pytest.fixture
def ids(salts) -> dict[int, str]:
    """Return the ids of the candidates of the first round by draw."""
    return {index: candidate_id(0, index) for index in range(4)}


def hold_by_another_process(folder: Path) -> None:
    """Let a live process, the one that started the tests, run the campaign."""
    parent = psutil.Process(os.getppid())
    with connect(Settings(data_folder=folder, mongod="/bin/false")) as store:
        lease = this_process(utc_now()).model_copy(update={"pid": parent.pid, "process_start": parent.create_time()})
        store.campaigns.set_fields({"salts": {"owner": lease, "state": "running"}})


def set_state(folder: Path, state: str) -> None:
    """Set the state of the campaign."""
    with connect(Settings(data_folder=folder, mongod="/bin/false")) as store:
        store.campaigns.set_state("salts", CampaignState(state))


def candidate_id(round_number: int, index: int) -> str:
    """Return the id of a draw."""
    return stable_id("candidate", "salts", round_number, index)


def rocksalt(cation: str, anion: str, a: float) -> Structure:
    """Return a rock salt in its primitive cell."""
    lattice = Lattice([[0, a / 2, a / 2], [a / 2, 0, a / 2], [a / 2, a / 2, 0]])
    return Structure(lattice, [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def fill(store) -> None:
    """Write a campaign of two rounds with four draws each through the store."""
    campaign = parse_campaign(CAMPAIGN, source="test")
    document = CampaignDocument(
        id="salts", config=campaign.to_dict(), config_hash=campaign.config_hash, code_version="0.1.0"
    )
    store.campaigns.create(document)
    store.models.insert_if_absent(
        [
            ModelDocument(
                id="chgnet-0.3.0",
                name="chgnet",
                version="0.3.0",
                kind="potential",
                sha256=SHA256,
                license="BSD-3-Clause",
                location="package chgnet",
                energy_scale=SCALE,
            )
        ]
    )
    for number in range(2):
        store.campaigns.add_snapshot(
            "salts",
            SnapshotRecord(id=SNAPSHOTS[number], round=number, reference_id="f" * 64, structure_ids=["s"] * number),
        )
        store.campaigns.set_round("salts", RoundState(round=number, phase="done", snapshot_id=SNAPSHOTS[number]))
        _fill_round(store, number)
    store.campaigns.set_state("salts", CampaignState.FINISHED)


def _fill_round(store, number: int) -> None:
    drawn = [rocksalt("Na", "Cl", 5.6), rocksalt("K", "F", 5.3), rocksalt("Mg", "O", 2.0)]
    structures = [
        StructureDocument.from_structure(
            structure, identifier=stable_id("drawn", number, index), space_group_number=225
        )
        for index, structure in enumerate(drawn)
    ]
    store.structures.insert_if_absent(structures)
    candidates = [_candidate(number, index, structure) for index, structure in enumerate(structures)]
    candidates.append(_candidate(number, 3, None))
    store.candidates.insert_if_absent(candidates)
    _activity(store, number, "generate", [*(c.id for c in candidates), *(s.id for s in structures)], seed=3)
    _judge(store, number, 2, "validity", "too_close", "Mg-O 1.00 Å, expected at least 1.2 Å")
    _judge(store, number, 3, "generate", "generator_failed", "all 8 options are known crystals")
    for index in (0, 1):
        for stage in ("generate", "validity", "novelty", "uniqueness", "selection"):
            _judge(store, number, index, stage)
    relaxed = [_relax(store, number, index, drawn[index]) for index in (0, 1)]
    _activity(store, number, "relax", relaxed, model="chgnet-0.3.0", model_sha256=SHA256)
    _judge(store, number, 1, "stability", "above_hull", "0.2 eV/atom above the hull", energy_above_hull=0.2)
    _judge(store, number, 0, "stability", detail="0.01 eV/atom above the hull", energy_above_hull=0.01 + number / 100)
    for stage in ("novelty_relaxed", "target", "uniqueness_relaxed"):
        _judge(store, number, 0, stage)
    fields = {"status": "accepted", "rank": number + 1, "on_target": True}
    fields["properties"] = {"energy_above_hull": 0.01 + number / 100, "density": 2.1}
    _judge(store, number, 0, "rank", **fields)
    _activity(store, number, "assess", [], model="chgnet-0.3.0", model_sha256=SHA256)


def _candidate(number: int, index: int, structure: StructureDocument | None) -> CandidateDocument:
    known = {}
    if structure is not None:
        names = ("formula_pretty", "elements", "nelements", "chemsys", "nsites", "space_group_number")
        known = {name: getattr(structure, name) for name in names} | {"structure_id": structure.id}
    return CandidateDocument(
        id=candidate_id(number, index),
        campaign="salts",
        round=number,
        index=index,
        generator="template",
        generator_hash="abcdef012345",
        seed=3,
        score=1.0 - index / 10,
        origin={"template": "mp-22862", "substitution": {"K": "Na"}, "volume_factor": 1.02},
        **known,
    )


def _relax(store, number: int, index: int, drawn: Structure) -> str:
    identifier = stable_id("relaxed", number, index)
    parent = stable_id("drawn", number, index)
    structure = drawn.copy()
    structure.scale_lattice(0.98 * structure.volume)
    document = StructureDocument.from_structure(
        structure, identifier=identifier, space_group_number=225, parents=[parent]
    )
    store.structures.insert_if_absent([document])
    store.properties.insert_if_absent(
        [
            PropertyDocument(
                id=stable_id("property", identifier, name),
                structure_id=identifier,
                name=name,
                value=value,
                unit="eV/atom",
                fidelity="mlip:chgnet-0.3.0",
                method="chgnet-0.3.0",
                energy_scale=SCALE,
                activity_id=ACTIVITIES[number, "relax"],
            )
            for name, value in (("energy_per_atom", -3.4), ("energy_above_hull", 0.01))
        ]
    )
    _judge(store, number, index, "relax", detail="12 steps, fmax 0.020 eV/Å", relaxed_structure_id=identifier)
    return identifier


def _judge(store, number: int, index: int, stage: str, reason: str = "ok", detail: str = "", **fields) -> None:
    work = {"relax": "relax", "stability": "assess", "target": "assess"}.get(stage, "generate")
    values = {key: value for key, value in fields.items() if key == "energy_above_hull"}
    verdict = VerdictRecord(
        stage=stage,
        passed=reason == "ok",
        reason=reason,
        detail=detail,
        values=values,
        snapshot_id=SNAPSHOTS[number],
        activity_id=ACTIVITIES[number, work],
    )
    assert store.candidates.record([Decision(candidate_id(number, index), verdict, fields)])


def _activity(store, number: int, stage: str, generated: list[str], **fields) -> None:
    identifier = ACTIVITIES[number, stage]
    activity = ActivityDocument(
        id=identifier, campaign="salts", round=number, stage=stage, code_version="0.1.0", **fields
    )
    store.provenance.insert_if_absent([activity])
    attempt = store.provenance.begin_attempt(identifier)
    store.provenance.complete(identifier, attempt.id, generated=generated, counts={})
