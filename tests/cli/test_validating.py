"""What a site has not set up, or asks for by a wrong name, is one line before anything runs."""

from __future__ import annotations

import json

import pytest

from genmat.validation.vasp import engine
from tests.validation.conftest import replaying_site, rocksalt, silicon


@pytest.mark.parametrize(
    ("name", "site", "expected"),
    [
        ("vsap", ("sh", "."), "unknown engine 'vsap'. Did you mean 'vasp'?"),
        ("vasp", ("srun-absent vasp_std", "."), "the command 'srun-absent vasp_std' does not exist"),
        ("vasp-r2scan", ("sh", None), "no POTCAR files: PMG_VASP_PSP_DIR is not set"),
        ("vasp", ("sh", "absent"), "PMG_VASP_PSP_DIR absent is no folder"),
    ],
)
def test_engine_that_cannot_run_is_told_in_one_line(genmat, monkeypatch, name, site, expected):
    rocksalt().to("NaCl.cif")
    monkeypatch.setattr(engine, "_site", lambda: site)
    result = genmat("validate", "NaCl.cif", "--engine", name)
    assert (result.code, result.out) == (2, "")
    assert expected in result.line


@pytest.mark.parametrize(
    ("name", "asked", "expected"),
    [
        ("vasp", "band_gap,elstic", "unknown property 'elstic'. Did you mean 'elastic'?"),
        (
            "vasp-r2scan",
            "elastic",
            "vasp-r2scan does not compute elastic; it computes band_gap_hse. Engines that do: vasp",
        ),
        ("gpaw", "phonon", "gpaw does not compute phonon; it computes only energy, geometry and the gap on its mesh"),
        ("vasp", "elastic,elastic", "properties name elastic 2 times; once is enough"),
    ],
)
def test_property_that_no_engine_or_not_this_one_computes_is_told_in_one_line(genmat, name, asked, expected):
    rocksalt().to("NaCl.cif")
    result = genmat("validate", "NaCl.cif", "--engine", name, "--properties", asked)
    assert (result.code, result.out) == (2, "")
    assert expected in result.line


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")
def test_crystals_are_measured_after_they_were_relaxed(genmat, shared_data, tmp_path, monkeypatch):
    site = tmp_path / "site"
    site.mkdir()
    for name, value in replaying_site(site, shared_data / "vasp" / "nonmetallic").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(engine, "_site", lambda: (str(site / "vasp"), str(site / "potcars")))
    silicon().to("Si.cif")
    asked = ("validate", "Si.cif", "--engine", "vasp", "--properties", "band_gap_hse")
    expected = json.loads(genmat(*asked, "--estimate", "--json").out)["core_hours"]
    assert expected["Si.cif: band_gap_hse"] > expected["Si.cif"]
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # one environment for all
    result = genmat(*asked, "--json")
    (found,) = json.loads(result.out)
    assert found["converged"], found["detail"]
    assert found["properties"] == {"band_gap_hse": {"band_gap": pytest.approx(0.617, abs=0.001)}}
    n_runs = len((site / "calls").read_text().split())
    assert "band_gap 0.616" in genmat(*asked).out
    assert len((site / "calls").read_text().split()) == n_runs
