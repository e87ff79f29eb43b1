from __future__ import annotations

import json
from pathlib import Path

import pytest

from genmat.campaign.io import load_campaign
from genmat.cli.doctor import _TESTS
from genmat.settings import Settings


def test_init_writes_a_campaign_that_is_valid(genmat):
    result = genmat("init", "project")
    assert result.code == 0
    campaign = load_campaign(Path("project/campaign.yaml"))
    assert campaign.learn.rounds == 2
    schema = json.loads(Path("project/campaign.schema.json").read_text())
    assert "target" in schema["properties"]


def test_init_refuses_to_overwrite(genmat):
    Path("campaign.yaml").write_text("mine")
    result = genmat("init")
    assert result.code == 2
    assert "exists and is not overwritten" in result.line
    assert Path("campaign.yaml").read_text() == "mine"
    assert not Path("campaign.schema.json").exists()


def test_schema_prints_the_json_schema(genmat):
    assert json.loads(genmat("schema").out)["$schema"].startswith("https://json-schema.org/")


def test_doctor_prints_each_setting_with_its_source_and_no_password(salts, genmat, monkeypatch):
    monkeypatch.setenv("GENMAT_DATABASE_URI", "mongodb://user:s3cret@127.0.0.1:9/genmat")
    monkeypatch.setenv("GENMAT_DATABASE_TIMEOUT", "0.2")
    monkeypatch.setenv("GENMAT_RETRY_TIME", "0")
    result = genmat("doctor", "--json", "--log-level", "error")
    assert result.code == 2
    assert "s3cret" not in result.out + result.err
    report = json.loads(result.out)
    settings = {entry["name"]: entry for entry in report["settings"]}
    assert settings["database_uri"]["source"] == "GENMAT_DATABASE_URI"
    assert settings["log_level"] == {**settings["log_level"], "value": "error", "source": "flag"}
    checks = {check["name"]: check for check in report["checks"]}
    assert checks["database"]["ok"] is False
    assert checks["potential weights"]["ok"] is True
    assert checks["data folder"]["ok"] is True


def test_doctor_tells_a_missing_reference(salts, genmat):
    result = genmat("doctor", "--reference", "absent.parquet")
    assert result.code == 2
    assert "campaigns cannot run: reference" in result.out
    assert "absent.parquet does not exist" in result.out


@pytest.mark.parametrize(
    ("command", "potcars", "ok", "expected"),
    [
        ("sh", ".", True, "vasp by 'sh', POTCAR files in ."),
        ("./container sh-absent", ".", True, "not checked: that 'sh-absent' exists where container starts it"),
        ("vasp-absent", ".", None, "the command 'vasp-absent' does not exist: set ATOMATE2_VASP_CMD"),
        ("sh", None, None, "no POTCAR files: PMG_VASP_PSP_DIR is not set"),
        ("sh", "absent", None, "PMG_VASP_PSP_DIR absent is no folder"),
    ],
)
def test_doctor_tells_whether_vasp_and_its_potcars_are_here(monkeypatch, command, potcars, ok, expected):
    launcher = Path("container")
    launcher.write_text("#!/bin/sh\n")
    launcher.chmod(0o755)
    monkeypatch.setattr("genmat.validation.vasp.engine._site", lambda: (command, potcars))
    found, detail = _TESTS["vasp"](Settings())
    assert (found, expected in detail) == (ok, True)
    assert detail.endswith("campaigns run without validation by it") == (ok is None)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("absent.parquet", None, "does not exist"),
        ("table.xlsx", b"x", "expected .parquet, .csv"),
        ("table.parquet", b"PAR1 no", "truncated or no parquet"),
        ("table.csv", b"material_id,energy\na,1\n", "neither a column 'cif' nor 'file'"),
    ],
)
def test_a_source_that_cannot_be_used_is_one_line(genmat, name, content, expected):
    if content is not None:
        Path(name).write_bytes(content)
    result = genmat("data", "build-reference", name, "--work-folder", "work", "--output", "reference.parquet")
    assert result.code == 2
    assert expected in result.line
    assert not Path("work").exists()


def test_a_bad_cif_in_a_source_is_one_line_that_names_the_file(genmat):
    Path("cifs").mkdir()
    Path("cifs/broken.cif").write_text("data_x\n_cell_length_a 5.6\nloop_\n")
    result = genmat("data", "build-reference", "cifs", "--work-folder", "work", "--output", "reference.parquet")
    assert result.code == 2
    assert "broken.cif" in result.line


def test_an_unknown_potential_names_the_nearest(genmat):
    arguments = ("--work-folder", "work", "--output", "r.parquet", "--potential", "chgnet-0.3")
    assert "Did you mean 'chgnet-0.3.0'" in genmat("data", "build-reference", "x.csv", *arguments).line


def test_a_source_without_its_elements_names_them():
    import numpy as np

    from genmat.cli.data import complete
    from genmat.errors import MissingReferenceError
    from genmat.reference.sources import SourceCrystal

    salt = SourceCrystal("salt", ("Na", "Cl"), 3 * np.eye(3), np.zeros((2, 3)))
    with pytest.raises(MissingReferenceError, match="no elemental crystal of Cl, Na"):
        complete([salt])


def test_missing_elements_that_are_known_are_added():
    import numpy as np

    from genmat.cli.data import complete
    from genmat.reference.sources import SourceCrystal

    lead = SourceCrystal("alloy", ("Pd", "Pb"), 3 * np.eye(3), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))
    assert [crystal.material_id for crystal in complete([lead])] == ["alloy", "element-Pb", "element-Pd"]


@pytest.mark.slow
def test_a_reference_is_built_shown_and_not_built_twice(genmat):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = {
        "material_id": ["lead", "palladium"],
        "species": [["Pb"], ["Pd"]],
        "lattice": [[0, 2.5, 2.5, 2.5, 0, 2.5, 2.5, 2.5, 0], [0, 1.95, 1.95, 1.95, 0, 1.95, 1.95, 1.95, 0]],
        "frac_coords": [[0.0] * 3] * 2,
        "energy_above_hull": [0.0, 0.0],
    }
    pq.write_table(pa.table(rows), "metals.parquet")
    arguments = ("metals.parquet", "--work-folder", "work", "--output", "reference.parquet", "--workers", "1")
    first = genmat("data", "build-reference", *arguments, "--json", "--attribution", "me")
    assert first.code == 0, first.err
    report = json.loads(first.out)
    assert report["elements"] == ["Pd", "Pb"]
    assert report["metadata"]["attribution"] == "me"
    again = json.loads(genmat("data", "build-reference", *arguments, "--json", "--attribution", "me").out)
    assert again["id"] == report["id"]
    assert "me" in genmat("data", "show", "--reference", "reference.parquet").out


@pytest.mark.parametrize(
    ("name", "content", "scale", "expected"),
    [
        ("absent.json", None, "vasp/PBE+U:MP/PBE/MP2020", "does not exist"),
        ("t.json", '[{"material_id": "a"', "vasp/PBE+U:MP/PBE/MP2020", "truncated or no JSON"),
        ("t.json", '"text"', "vasp/PBE+U:MP/PBE/MP2020", "expected a list of records"),
        ("t.json", '[{"material_id": "a"}]', "vasp/PBE+U:MP/PBE/MP2020", "unusable crystal: 1"),
        ("t.json", "[]", "PBE", "not written as engine/functional"),
    ],
)
def test_labels_that_cannot_be_used_are_one_line(genmat, name, content, scale, expected):
    if content is not None:
        Path(name).write_text(content)
    result = genmat("data", "build-labels", name, "--scale", scale, "--work-folder", "w", "--output", "r.parquet")
    assert result.code == 2
    assert expected in result.err.splitlines()[-1]
    assert not Path("r.parquet").exists()


def test_labels_become_a_reference_that_says_what_was_left_out(genmat):
    rows = [
        {
            "material_id": name,
            "species": ["Pb"],
            "lattice": [0, a, a, a, 0, a, a, a, 0],
            "frac_coords": [0.0] * 3,
            **label,
        }
        for name, a, label in (("lead", 2.5, {"energy_per_atom": -3.7}), ("wide", 3.0, {}))
    ]
    Path("t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    arguments = ("t.jsonl", "--scale", "vasp/PBE+U:MP/PBE/MP2020", "--work-folder", "w", "--output", "r.parquet")
    first = genmat("data", "build-labels", *arguments, "--json")
    assert first.code == 0, first.err
    report = json.loads(first.out)
    assert report["metadata"]["protocol"] == {"refused": {"no energy": 1}}
    assert json.loads(genmat("data", "build-labels", *arguments, "--json").out)["id"] == report["id"]
    assert "vasp/PBE+U:MP/PBE/MP2020" in genmat("data", "show", "--reference", "r.parquet").out
