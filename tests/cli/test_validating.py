"""What a site has not set up, or asks for by a wrong name, is one line before anything runs."""

from __future__ import annotations

import pytest

from genmat.validation.vasp import engine
from tests.validation.conftest import rocksalt


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
