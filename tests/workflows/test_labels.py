"""Campaigns that judge by labels: which hull, both distances, what never enters it, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pymatgen.core.composition import Composition

from genmat.campaign.io import parse_campaign
from genmat.cli.entry import run
from genmat.database.documents import CampaignDocument, SnapshotRecord
from genmat.energy import EnergyScale
from genmat.errors import CampaignError, EnergyScaleError
from genmat.models.potentials import get_potential
from genmat.reference.build import describe_known
from genmat.reference.crystals import CrystalColumns
from genmat.reference.formula import parse_formula
from genmat.reference.io import load_reference, write_reference
from genmat.reference.journal import Journal
from genmat.reference.labels import assemble_labelled, label_energies, read_elements
from genmat.reference.sources.io import read_source
from genmat.reference.table import LABELS
from genmat.screening.stability import HullName
from genmat.screening.verdict import Stage
from genmat.validation.vasp import Vasp
from workflows import session
from workflows.computation import Computed, hull_distance
from workflows.run import check_labelled, create_campaign, run_campaign
from workflows.snapshot import freeze, load_snapshot

from .conftest import CAMPAIGN, Place

SCALE = EnergyScale("vasp", "PBE", "MP", "PBE", "MP2020")
CHGNET = get_potential("chgnet-0.3.0")
ELEMENTS = frozenset(["Li", "Na", "K", "Mg", "Ca", "Sr", "Ba", "O", "S", "Se", "F", "Cl", "Br"])


def as_labels(rows):
    """Return rows of the shipped reference as if their energies were labels."""
    reference = load_reference()
    rows = np.asarray(rows)
    return replace(
        reference,
        metadata=replace(reference.metadata, scale=SCALE, potential=LABELS),
        **{
            name: tuple(getattr(reference, name)[row] for row in rows) for name in ("material_ids", "formulas", "genes")
        },
        **{
            name: getattr(reference, name)[rows].copy()
            for name in ("fingerprints", "n_sites", "energies", "energies_above_hull", "relaxed")
        },
        crystal_rows=np.zeros(0, dtype=np.int32),
        crystals=CrystalColumns.from_crystals([]),
    )


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """Return a file of labels for the chemistry of the small campaign, all of it but the fluorides of magnesium."""
    formulas = load_reference().formulas
    rows = [
        row
        for row, formula in enumerate(formulas)
        if ELEMENTS.issuperset(symbols := parse_formula(formula)) and not symbols.keys() >= {"Mg", "F"}
    ]
    path = tmp_path_factory.mktemp("labels") / "labels.parquet"
    write_reference(as_labels(rows), path)
    return path


@pytest.fixture
def named(labels, monkeypatch):
    monkeypatch.setenv("GENMAT_LABELS", str(labels))
    return session.current_labels()


@pytest.fixture
def store(tmp_path):
    with Place(tmp_path).open() as store:
        yield store


def begin(store, name="labelled", screen="hull: dft"):
    """Store a campaign and freeze its first snapshot."""
    campaign = parse_campaign(CAMPAIGN.format(name=name).replace("screen: {", f"screen: {{{screen}, "), source="test")
    store.campaigns.create(
        CampaignDocument(id=name, config=campaign.to_dict(), config_hash=campaign.config_hash, code_version="0.1.0")
    )
    return freeze(store, name, round_number=0, structure_ids=[])


def test_the_hull_of_the_labels_is_theirs_and_says_what_it_lacks(store, named):
    snapshot = load_snapshot(store, begin(store))
    own, dft = (snapshot.judging(name, CHGNET) for name in HullName)
    assert (own.scale, dft.scale) == (CHGNET.scale, named.scale)
    salt = Composition("NaCl")
    energy = float(load_reference().hull().hull_energy_per_atom(salt)) + 0.1
    assert dft.hull.energy_above_hull(salt, energy, scale=dft.scale) == pytest.approx(0.1)
    assert snapshot.other_distance(HullName.OWN, CHGNET, salt, energy) == {"energy_above_dft_hull": pytest.approx(0.1)}
    assert snapshot.other_distance(HullName.DFT, CHGNET, salt, energy) == {"energy_above_own_hull": pytest.approx(0.1)}
    assert dft.coverage.unlabelled(Composition("MgF2")) == ["MgF2"]
    assert snapshot.other_distance(HullName.OWN, CHGNET, Composition("MgF2"), energy) == {}
    assert 0.0 < dft.coverage.share < 1.0


def test_a_potential_that_predicts_no_labels_has_no_hull_of_them(store, named):
    snapshot = load_snapshot(store, begin(store))
    raw = replace(CHGNET, name="raw", scale=replace(CHGNET.scale, engine="mace-0", correction="none"))
    assert raw.label_scale == replace(SCALE, correction="none")
    for potential in (raw, replace(CHGNET, labels="")):
        with pytest.raises(EnergyScaleError, match=f"no dft hull for the energies of {potential.name}"):
            snapshot.judging("dft", potential)
    with pytest.raises(EnergyScaleError, match="no own hull"):
        snapshot.judging("own", raw)


@pytest.mark.parametrize(
    ("potential", "is_named", "match"),
    [
        (replace(CHGNET, labels=""), True, "nobody states which labels chgnet-0.3.0 predicts"),
        (CHGNET, False, "the settings name no labels on the scale vasp/PBE"),
        (get_potential("chgnet-r2scan"), True, r"predicts energies on the scale vasp/r2SCAN.* names ones on vasp/PBE"),
    ],
)
def test_a_dft_hull_that_cannot_judge_is_refused_at_the_start(named, potential, is_named, match):
    check_labelled(CHGNET, named)
    with pytest.raises(EnergyScaleError, match=match):
        check_labelled(potential, named if is_named else None)


def test_raw_labels_judge_a_users_potential_once_it_says_that_it_predicts_them(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GENMAT_DATA_FOLDER", str(tmp_path / "allowed"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    raw = replace(SCALE, correction="none")
    found = as_labels([0, 1, 2])
    write_reference(replace(found, metadata=replace(found.metadata, scale=raw)), tmp_path / "raw.parquet")
    monkeypatch.setenv("GENMAT_LABELS", str(tmp_path / "raw.parquet"))
    screen = "screen: {hull: dft, potential: soft, "
    campaign = parse_campaign(CAMPAIGN.format(name="raw").replace("screen: {", screen), source="test")
    add = ["models", "add", "soft", "--kind", "lennard_jones.LennardJonesModel", "--option", "compute_stress=true"]
    add += ["--functional", "PBE", "--hubbard", "MP", "--pseudopotentials", "PBE", "--correction", "none", "--json"]

    assert run([*add]) == 0
    assert json.loads(capsys.readouterr().out)["labels"] is None
    with pytest.raises(EnergyScaleError, match=r"nobody states which labels soft predicts: add it again .* --labels"):
        create_campaign(store, campaign)
    assert store.campaigns.get("raw") is None

    assert run([*add, "--labels", "vasp"]) == 0
    assert json.loads(capsys.readouterr().out)["labels"] == "vasp/PBE+U:MP/PBE/none"
    create_campaign(store, campaign)
    judging = load_snapshot(store, freeze(store, "raw", round_number=0, structure_ids=[])).judging(
        "dft", get_potential("soft")
    )
    assert judging.scale == raw
    model = store.models.require("soft")
    assert (model.name, model.version) == ("torchsim", "lennard_jones.LennardJonesModel")
    assert model.location == "no weights file"


def test_other_labels_than_the_frozen_ones_are_refused(store, named, tmp_path, monkeypatch):
    record = begin(store)
    assert record.labels_id == named.id
    write_reference(as_labels([0, 1, 2]), tmp_path / "other.parquet")
    for path, other in ((str(tmp_path / "other.parquet"), "[0-9a-f]{12}"), ("", "none")):
        monkeypatch.setenv("GENMAT_LABELS", path)
        with pytest.raises(
            CampaignError, match=f"begun with the labels {named.id[:12]}, the setting labels names {other}"
        ):
            load_snapshot(store, record)


def test_a_snapshot_from_before_labels_has_none(store, monkeypatch):
    monkeypatch.delenv("GENMAT_LABELS", raising=False)
    record = begin(store, screen="hull: own")
    stored = record.model_dump()
    del stored["labels_id"]
    assert SnapshotRecord(**stored) == record
    assert load_snapshot(store, record).labels is None


def test_a_campaign_judges_by_labels_and_its_survivors_never_enter_their_hull(store, named):
    text = CAMPAIGN.format(name="dft").replace("screen: {max_relaxed: 4", "screen: {hull: dft, max_relaxed: 2")
    text = text.replace("rounds: 2", "rounds: 1")
    campaign = parse_campaign(text, source="test")
    create_campaign(store, campaign)
    document = run_campaign(store, "dft", workers=1)
    candidates = list(store.candidates.iterate({"campaign": "dft"}))
    judged = [v for c in candidates for v in c.verdicts if v.stage == Stage.STABILITY]
    assert judged
    assert {v.values["hull"] for v in judged} == {"dft"}
    assert any("above the DFT hull" in v.detail or "below the DFT hull" in v.detail for v in judged)
    assert store.properties.count({"name": "energy_above_own_hull"})
    definition = document.rounds[0].ssun["definition"]["hull"]
    assert definition.startswith("DFT hull, vasp/PBE+U:MP/PBE/MP2020, ")
    assert "energies of chgnet-0.3.0 predict that scale" in definition
    relaxed = [c.relaxed_structure_id for c in candidates if c.relaxed_structure_id is not None]
    first, later = (
        load_snapshot(store, record)
        for record in (document.snapshots[0], freeze(store, "dft", round_number=1, structure_ids=relaxed))
    )
    assert len(later.hull.entries) - len(first.hull.entries) == len(relaxed)
    assert later.labels.hull.entries is first.labels.hull.entries


def test_real_labels_compete_as_they_are_and_give_the_distances_that_the_source_states(
    shared_data, store, tmp_path, monkeypatch
):
    """Crystals of the Materials Project, as if VASP had computed them here: nothing else needs to be computed."""
    systems = ["Li", "O", "P", "Li-O", "O-P", "Li-P", "Li-O-P", "Na", "Cl", "Na-Cl"]
    table = pq.read_table(shared_data / "mp_structures.parquet", filters=[("chemsys", "in", systems)]).to_pylist()
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "mp.parquet")
    crystals = read_source(tmp_path / "mp.parquet")
    corners = read_elements(shared_data / "mp_elemental_reference_entries_2023-02-07.json.gz")
    found = label_energies(crystals, scale=Vasp().scale, elements=corners)
    kept = {crystal.material_id: crystal for crystal in crystals if crystal.material_id in found.energies}
    journal = Journal(tmp_path / "known.jsonl")
    describe_known(list(kept.values()), journal, progress=lambda *_: None)
    labels = assemble_labelled(found, journal, source="MP", source_sha256="", attribution="Materials Project")
    write_reference(labels, tmp_path / "dft.parquet")
    monkeypatch.setenv("GENMAT_LABELS", str(tmp_path / "dft.parquet"))
    stated = {row["material_id"]: row["energy_above_hull"] for row in table}
    differences, missing = [], []
    for name, crystal in kept.items():
        computed = Computed(name, crystal.structure(), {"energy_per_atom": found.energies[name]})
        above, competing = hull_distance(store, Vasp(), computed)
        if above is None:
            missing.append(competing)
        else:
            differences.append(above - stated[name])
    assert len(differences) > len(kept) / 2
    assert max(map(abs, differences)) < 0.005
    assert all("no energy of the competing" in text for text in missing)
