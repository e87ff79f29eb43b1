"""What first principles said about earlier rounds decides about the next: audits, shifts, bounds."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import pytest

from genmat.campaign.io import parse_campaign
from genmat.database.documents import CandidateDocument, PropertyDocument, RoundState, VerdictRecord
from genmat.database.store import connect
from genmat.models.potentials import get_potential
from genmat.screening.uncertainty import DFT_HULL, MIN_AUDIT, shipped_calibration
from genmat.screening.verdict import Stage
from genmat.settings import Settings
from genmat.validation.vasp import Vasp
from tests.cluster.cheap_engine import CheapEngine
from tests.validation.conftest import rocksalt
from workflows.calibration import audited_residuals, hull_calibration
from workflows.chunk import PRESCREEN, SELECT
from workflows.validation import open_validation

from .conftest import put_on_target

if TYPE_CHECKING:
    from genmat.energy import EnergyScale

CHGNET = get_potential("chgnet-0.3.0")
CHEAP = CheapEngine.scale
CAMPAIGN = """
name: judged
validate: {engine: gpaw, top: 1, hull_tolerance: 0.1}
screen: {hull_tolerance: 0.08}
"""


@pytest.fixture
def store(tmp_path):
    # Queries by the in-process store: a server of its own for every test takes longer than the tests.
    with connect(Settings.load(data_folder=tmp_path / "memory", mongod="/bin/false")) as store:
        yield store


_NUMBER = count()


def plant(
    store, residuals: list[float], scale: EnergyScale, *, why: str = "audit", round_number: int = 0, label: bool = True
) -> None:
    """Store candidates of a round whose distances by an engine are those by the potential, 0.05, plus residuals."""
    for residual in residuals:
        number = next(_NUMBER)
        key, above = f"computed-{number}", 0.05 + residual
        values = {"structure_id": key, "chosen_as": why}
        if label:
            values |= {"energy_above_hull": above, "energy_above_hull_residual": residual}
            stored = PropertyDocument(
                id=f"p{number}", structure_id=key, name="energy_above_hull", value=above, unit="eV/atom",
                fidelity="dft", method=scale.engine, energy_scale=scale.to_dict(),
            )  # fmt: skip
            store.properties.insert_if_absent([stored])
        verdict = VerdictRecord(
            stage=Stage.VALIDATE, passed=label, reason="ok" if label else "validation_failed",
            values=values | {"volume_change_from_start": -residual, "rmsd_from_start": residual / 10},
        )  # fmt: skip
        draw = CandidateDocument(
            id=f"planted-{number}", campaign="judged", round=round_number, index=number, generator="g",
            generator_hash="h", seed=0, formula_pretty="NaCl", elements=["Cl", "Na"], energy_above_hull=0.05,
            verdicts=[verdict],
        )  # fmt: skip
        store.candidates.insert_if_absent([draw])


def steps(number: int, start: float = 0.0) -> list[float]:
    return [start + 0.001 * place for place in range(number)]


def calibrated(store, *, hull: str = "own", before: int = 1):
    return hull_calibration(store, "judged", before=before, potential=CHGNET, hull=hull)


def test_audits_of_earlier_rounds_calibrate_once_there_are_enough(store):
    plant(store, steps(MIN_AUDIT - 1), CHEAP)
    plant(store, [0.5], CHEAP, why="best")
    plant(store, [0.5], CHEAP, why="uncertain")
    plant(store, [0.5], CHEAP, label=False)  # failed
    plant(store, [0.5], CHEAP, round_number=1)
    assert calibrated(store) == (shipped_calibration(CHGNET.scale), False)
    plant(store, [0.018], CHEAP)
    found, is_generated = calibrated(store)
    assert is_generated
    assert found.population == "19 audited of judged"
    assert max(filter(math.isfinite, found.categories["all"].high)) == pytest.approx(0.018)


def test_audits_of_two_scales_are_never_pooled_and_the_latest_decides(store):
    other = replace(CHEAP, engine="cheap-2")
    plant(store, steps(MIN_AUDIT), CHEAP)
    plant(store, [0.3], other, round_number=1)
    assert len(audited_residuals(store, "judged", before=1)) == MIN_AUDIT
    assert [item.value for item in audited_residuals(store, "judged", before=2)] == [pytest.approx(0.3)]
    assert calibrated(store, before=2)[1] is False


def test_distances_to_the_hull_of_labels_are_calibrated_on_the_scale_of_the_labels_alone(store):
    plant(store, steps(MIN_AUDIT), CHEAP)
    assert calibrated(store)[1] is True
    assert calibrated(store, hull="dft") == (shipped_calibration(CHGNET.scale, labels=DFT_HULL, hull="dft"), False)
    plant(store, steps(MIN_AUDIT, 0.1), Vasp().scale)
    plant(store, [0.5], CHEAP, round_number=1)
    found, is_generated = calibrated(store, hull="dft", before=2)
    assert (found.population, is_generated) == ("19 audited of judged", True)
    assert found.categories["all"].high[0] == pytest.approx(0.109)  # the median; of all 38 it is lower


@pytest.mark.parametrize(
    ("number", "uncertain", "shift", "suggested", "bounds"),
    [
        (2, "near the potential's", 0.0, None, (3, None, None)),
        (3, "near the engine's", 0.051, None, (4, None, None)),
        (9, "near the engine's", 0.054, 0.05, (10, 0.9, 0.09)),
    ],
)
def test_residuals_of_earlier_rounds_decide_who_is_near_the_tolerance_and_suggest_another(
    store, monkeypatch, number, uncertain, shift, suggested, bounds
):
    monkeypatch.setattr("genmat.validation.registry.get_engine", lambda _: CheapEngine())
    campaign = parse_campaign(CAMPAIGN.replace("top: 1", "top: 4"), source="test")
    distances = {"best": 0.0, "second": 0.0, "third": 0.0, "near the potential's": 0.081, "near the engine's": 0.05}
    salts = {name: rocksalt(5.6 + 0.02 * place) for place, name in enumerate(distances)}
    keys = put_on_target(store, campaign, salts)
    for place, (key, distance) in enumerate(zip(keys, distances.values(), strict=True)):
        known = {"chemsys": f"system {place}", "formula_pretty": "NaCl", "round": 1, "energy_above_hull": distance}
        store.candidates.set_fields({key: {**known, "status": "accepted", "rank": place + 1}})
    plant(store, steps(number, 0.05), CHEAP, why="best")
    plant(store, [0.9], replace(CHEAP, engine="cheap-2"), why="best")  # calibrates no energy, but geometry
    state = RoundState(round=1, phase=PRESCREEN)
    open_validation(store, campaign, campaign.validation, state)
    open_validation(store, campaign, campaign.validation, state)
    (selection,) = store.provenance.find({"campaign": "judged", "stage": SELECT})
    told = selection.parameters["calibration"]
    assert (told["residuals"], told["shift"]) == (number, pytest.approx(shift))
    assert told["suggested_hull_tolerance"] == (None if suggested is None else pytest.approx(suggested))
    assert tuple(told["geometry"].values()) == pytest.approx(bounds)
    chosen = selection.parameters["chosen"]
    assert [key for key, why in chosen.items() if why == "uncertain"] == [f"{uncertain}-draw"]
    assert len(chosen) == 4
